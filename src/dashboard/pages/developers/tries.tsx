import { Group, Stack, Text } from '@mantine/core';
import { Fragment } from 'react';
import type { WebhookTry } from '../../../api/contract/webhook-endpoints.ts';
import { Id } from '../../parts/id.tsx';
import { Facts } from '../../parts/page.tsx';
import { Sign } from '../../parts/status.tsx';
import { durationText, Time } from '../../parts/time.tsx';
import classes from './tries.module.css';

/** Every request that was made for a delivery, the newest first. */
export function Tries({ tries }: { readonly tries: readonly WebhookTry[] }) {
  return (
    <Stack gap={0}>
      {[...tries]
        .sort((a, b) => b.at.localeCompare(a.at))
        .map((made, index) => (
          <div key={made.at} className={classes.try}>
            <Group justify="space-between" gap="xs">
              <Group gap="xs">
                <Text size="sm" fw={550}>
                  Try {tries.length - index}
                </Text>
                <Sign
                  is={made.acknowledged ? 'good' : 'bad'}
                  word={made.acknowledged ? 'Acknowledged' : 'Not acknowledged'}
                />
              </Group>
              <Text size="sm" c="dimmed" component="div">
                <Time at={made.at} exact />
              </Text>
            </Group>
            <Answer made={made} />
          </div>
        ))}
    </Stack>
  );
}

/** What went out and what came back. */
export function Answer({ made }: { readonly made: WebhookTry }) {
  return (
    <>
      <Text size="sm" mt={4}>
        {made.outcome_says} {made.detail}
      </Text>
      <Facts
        facts={[
          ['Answer', made.status === null ? 'none' : `status ${made.status}`],
          ['Took', durationText(made.duration_ms)],
          [
            'Sent to',
            <span key="url" className="mono">
              {made.url}
            </span>,
          ],
          [
            'Message',
            <Fragment key="message">
              {made.request_bytes} bytes, SHA-256 <Id value={made.request_sha256} of="SHA-256" />
            </Fragment>,
          ],
        ]}
      />
      {made.response_excerpt && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
        <pre className={classes.answer} tabIndex={0}>
          {made.response_excerpt}
        </pre>
      )}
    </>
  );
}
