import { Button, Group, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import type { WaitingChange } from '../../../api/contract/settings.ts';
import { useMay, useMe } from '../../api/session.ts';
import { decideChange, merchantQuery } from '../../api/settings.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Time } from '../../parts/time.tsx';

/** A guard that somebody wants off: it is on until another admin agrees, or its time has come. */
export function Waiting({ change, label }: { readonly change: WaitingChange; readonly label: string }) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const mayConfirm = useMay('settings.confirm');
  const mayStop = useMay('settings.stop');
  const isMine = useMe().user?.email === change.asked_by;
  const decide = (what: 'confirm' | 'stop') =>
    void run(async () => {
      client.setQueryData(merchantQuery.queryKey, await decideChange(change, what));
      await client.invalidateQueries({ queryKey: ['me'] });
    });
  return (
    <Notice tone="amber" title={`Still on. ${change.asked_by} asked to switch this off.`}>
      <Text size="sm">
        {change.takes_effect_at === null ? (
          <>
            Another admin has to confirm it until <Time at={change.lapses_at} exact />; otherwise it stays on.
          </>
        ) : (
          <>
            Nobody else of your team could confirm it, so it goes off by itself at{' '}
            <Time at={change.takes_effect_at} exact />, unless somebody stops it.
          </>
        )}
      </Text>
      <Group gap="xs" mt="xs">
        {mayConfirm && !isMine && (
          <Button
            size="compact-sm"
            loading={busy}
            aria-label={`Switch it off: ${label}`}
            onClick={() => decide('confirm')}
          >
            Switch it off
          </Button>
        )}
        {mayStop && (
          <Button
            size="compact-sm"
            variant="default"
            disabled={busy}
            aria-label={`Keep it on: ${label}`}
            onClick={() => decide('stop')}
          >
            Keep it on
          </Button>
        )}
      </Group>
      <Refusal problem={problem} />
    </Notice>
  );
}
