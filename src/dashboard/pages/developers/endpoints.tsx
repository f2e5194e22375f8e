import { ActionIcon, Button, Group, Menu, Stack, Text } from '@mantine/core';
import { IconDots } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import type { WebhookEndpoint, WebhookEndpointTest } from '../../../api/contract/webhook-endpoints.ts';
import { TRY_OUTCOMES, type TryOutcome } from '../../../api/contract/webhook-events.ts';
import { testEndpoint } from '../../api/webhooks.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Sign } from '../../parts/status.tsx';
import { durationText, Time } from '../../parts/time.tsx';
import { RemoveEndpoint, ResendRange, RotateSecret, SwitchEndpoint } from './endpoint-acts.tsx';
import { EndpointForm } from './endpoint-form.tsx';
import classes from './endpoints.module.css';
import { HealthStrip } from './health-strip.tsx';
import { Answer } from './tries.tsx';

type Doing = 'edit' | 'rotate' | 'resend' | 'switch' | 'remove';

/** One address where the merchant is told: how it does, and what can be done with it. */
export function EndpointRow({
  endpoint,
  mayManage,
}: {
  readonly endpoint: WebhookEndpoint;
  readonly mayManage: boolean;
}) {
  const [doing, setDoing] = useState<Doing | null>(null);
  const [result, setResult] = useState<ReactNode>(null);
  const test = useAct();
  const client = useQueryClient();
  const close = () => setDoing(null);

  return (
    <article className={classes.endpoint} aria-label={endpoint.url}>
      <Stack gap={4}>
        <Group gap="xs">
          <h3 className={classes.url}>{endpoint.url}</h3>
          <EndpointSign endpoint={endpoint} />
        </Group>
        <div className={classes.events}>{endpoint.events.join(', ')}</div>
        <State endpoint={endpoint} />
      </Stack>
      <div className={classes.strip}>
        <HealthStrip endpointId={endpoint.endpoint_id} />
      </div>
      {mayManage && (
        <Group gap={6} wrap="nowrap">
          <Button
            variant="default"
            size="compact-sm"
            loading={test.busy}
            onClick={() =>
              void test.run(async () => {
                setResult(null);
                setResult(<TestResult test={await testEndpoint(endpoint.endpoint_id)} />);
                await client.invalidateQueries({ queryKey: ['endpoints'] });
              })
            }
          >
            Send test
          </Button>
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="default" size={26} aria-label={`More for ${endpoint.url}`}>
                <IconDots size={16} />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => setDoing('edit')}>Edit …</Menu.Item>
              <Menu.Item onClick={() => setDoing('resend')}>Resend a range …</Menu.Item>
              <Menu.Item onClick={() => setDoing('rotate')}>Rotate the signing secret …</Menu.Item>
              <Menu.Item onClick={() => setDoing('switch')}>
                {endpoint.enabled ? 'Switch off …' : 'Switch on …'}
              </Menu.Item>
              <Menu.Item color="red" onClick={() => setDoing('remove')}>
                Remove …
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
      )}
      {(result !== null || test.problem !== null) && (
        <div className={classes.below} aria-live="polite">
          <Refusal problem={test.problem} />
          {result}
        </div>
      )}
      {doing === 'edit' && <EndpointForm endpoint={endpoint} onClose={close} />}
      {doing === 'rotate' && <RotateSecret endpoint={endpoint} onClose={close} />}
      {doing === 'resend' && (
        <ResendRange
          endpoint={endpoint}
          onClose={close}
          onResent={(resent) =>
            setResult(
              <Notice
                tone="plain"
                title={
                  resent === 1 ? '1 event is being sent again.' : `${resent} events are being sent again.`
                }
              />,
            )
          }
        />
      )}
      {doing === 'switch' && <SwitchEndpoint endpoint={endpoint} onClose={close} />}
      {doing === 'remove' && <RemoveEndpoint endpoint={endpoint} onClose={close} />}
    </article>
  );
}

function EndpointSign({ endpoint }: { readonly endpoint: WebhookEndpoint }) {
  if (!endpoint.enabled) return <Sign is="off" word="Off" />;
  if (endpoint.failures_in_a_row > 0) {
    return <Sign is="bad" word="Failing" detail={`${endpoint.failures_in_a_row} in a row`} />;
  }
  if (endpoint.last_success_at === null) return <Sign is="waits" word="Nothing sent yet" />;
  return <Sign is="good" word="Works" />;
}

function State({ endpoint }: { readonly endpoint: WebhookEndpoint }) {
  const { previous_secret_valid_until: twoUntil } = endpoint;
  return (
    <>
      {!endpoint.enabled && (
        <Text size="sm">
          Nothing is sent to it. {endpoint.disabled_reason && `Reason: ${endpoint.disabled_reason}`}
        </Text>
      )}
      {endpoint.enabled && endpoint.failing_since !== null && (
        <Text size="sm">
          Failing since <Time at={endpoint.failing_since} />
          {endpoint.last_failure && `. ${TRY_OUTCOMES[endpoint.last_failure as TryOutcome]}`}
        </Text>
      )}
      {endpoint.last_success_at !== null && (
        <Text size="xs" c="dimmed">
          Last acknowledged <Time at={endpoint.last_success_at} />
        </Text>
      )}
      {twoUntil !== null && new Date(twoUntil).getTime() > Date.now() && (
        <Text size="xs" c="dimmed">
          Two secrets are valid: the one before until <Time at={twoUntil} exact />
        </Text>
      )}
    </>
  );
}

function TestResult({ test }: { readonly test: WebhookEndpointTest }) {
  return (
    <Notice
      tone={test.acknowledged ? 'plain' : 'red'}
      title={
        test.acknowledged
          ? `The test message was acknowledged in ${durationText(test.duration_ms)}.`
          : 'The test message was not acknowledged.'
      }
    >
      <Answer made={test} />
    </Notice>
  );
}
