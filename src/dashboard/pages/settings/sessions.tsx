import { Badge, Button, Group, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { endOtherSessions, endSession, type Session, sessionsQuery } from '../../api/account.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Failed, Loading } from '../../parts/answers.tsx';
import { deviceText } from '../../parts/device.ts';
import { Section } from '../../parts/page.tsx';
import { Time } from '../../parts/time.tsx';
import classes from './sessions.module.css';

/** Where the person is signed in, and the way to end that. */
export function Sessions() {
  const client = useQueryClient();
  const sessions = useQuery(sessionsQuery);
  const refresh = () => client.invalidateQueries({ queryKey: sessionsQuery.queryKey });
  const { busy, problem, run } = useAct();
  const list = sessions.data?.sessions ?? [];
  return (
    <Section
      title="Where you are signed in"
      actions={
        list.length > 1 && (
          <Button
            variant="default"
            size="compact-sm"
            loading={busy}
            onClick={() => void run(endOtherSessions).then(refresh)}
          >
            Sign out everywhere else
          </Button>
        )
      }
    >
      <Refusal problem={problem} />
      {sessions.isPending && <Loading rows={3} />}
      {sessions.isError && <Failed error={sessions.error} onRetry={() => void sessions.refetch()} />}
      <ul className={classes.list} aria-label="Where you are signed in">
        {list.map((session) => (
          <SessionRow key={session.session_id} session={session} onEnded={refresh} />
        ))}
      </ul>
    </Section>
  );
}

const OPENED_BY: Readonly<Record<Session['opened_by'], string>> = {
  password: 'with the password alone',
  link: 'by a one-time link',
  code: 'with password and code',
  backup_code: 'with password and backup code',
};

function SessionRow({
  session,
  onEnded,
}: {
  readonly session: Session;
  readonly onEnded: () => Promise<void>;
}) {
  const device = deviceText(session.user_agent);
  const { busy, problem, run } = useAct();
  return (
    <li className={classes.row}>
      <div className={classes.what}>
        <Group gap="xs">
          <Text size="sm" fw={500} component="span" title={session.user_agent ?? undefined}>
            {device}
          </Text>
          {session.current && <Badge>This one</Badge>}
        </Group>
        <Text size="xs" c="dimmed">
          {session.address ? `${session.address} · ` : ''}
          {OPENED_BY[session.opened_by]} since <Time at={session.started_at} exact /> · used{' '}
          <Time at={session.last_used_at} />
        </Text>
        <Refusal problem={problem} />
      </div>
      {!session.current && (
        <Button
          variant="default"
          size="compact-sm"
          loading={busy}
          aria-label={`Sign out ${device}`}
          onClick={() => void run(() => endSession(session.session_id)).then(onEnded)}
        >
          Sign out
        </Button>
      )}
    </li>
  );
}
