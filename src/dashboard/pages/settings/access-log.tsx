import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import type { AccessLogPage } from '../../../api/contract/team.ts';
import { accessLogQuery } from '../../api/team.ts';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Section } from '../../parts/page.tsx';
import { Pager } from '../../parts/pager.tsx';
import { roleOf } from '../../parts/roles.ts';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';

/** Who changed what about people, who signed in and who failed to: rows that nobody can change. */
export function AccessLog() {
  const { cursor } = useSearch({ from: '/signed-in/settings/team' });
  const navigate = useNavigate({ from: '/settings/team' });
  const log = useQuery(accessLogQuery(cursor));
  return (
    <Section title="What was changed, who signed in, and who failed to">
      {log.isPending && <Loading rows={5} />}
      {log.isError && <Failed error={log.error} onRetry={() => void log.refetch()} />}
      {log.data?.entries.length === 0 && <Empty title="Nothing has been changed yet." />}
      {log.data && log.data.entries.length > 0 && (
        <>
          <DataTable
            name="Changes"
            columns={columns}
            rows={log.data.entries}
            rowId={(entry) => entry.entry_id}
            fetching={log.isFetching}
            wraps
          />
          <Pager
            shown={log.data.entries.length}
            cursor={cursor}
            next={log.data.next_cursor}
            onGo={(to) => void navigate({ search: to === undefined ? {} : { cursor: to } })}
          />
        </>
      )}
    </Section>
  );
}

type AccessEntry = AccessLogPage['entries'][number];

const column = columnsOf<AccessEntry>();

const columns = [
  column.accessor('at', { header: 'When', cell: ({ getValue }) => <Time at={getValue()} /> }),
  column.accessor('by', { header: 'Who' }),
  column.display({
    id: 'what',
    header: 'What',
    cell: ({ row: { original: entry } }) => sentenceOf(entry),
  }),
];

/** What was done to whom, to stand beside who did it. */
function sentenceOf({ action, email, details }: AccessEntry): string {
  return `${WORDS[action]?.(email, details) ?? `${action} ${email}`}.`;
}

type Details = AccessEntry['details'];

const WORDS: Readonly<Record<string, (email: string, details: Details) => string>> = {
  sign_in_failed: (email, { count }) => `Failed to sign in as ${email || 'several people'}${times(count)}`,
  sign_in_locked: (email, { count }) =>
    `Tried to sign in as ${email || 'several people'} too often, and was kept out${times(count)}`,
  code_failed: (email, { count }) =>
    `Gave a wrong code of the second factor of ${email || 'several people'}${times(count)}`,
  key_unknown: (_, { key_name, why, count }) =>
    `Called with ${key_name ? `the API key ${key_name}, which is ${why}` : 'several API keys that do not work'}${times(count)}`,
  signed_in: (_, { address }) => (address ? `Signed in from ${address}` : 'Signed in'),
  invited: (email, { role }) => `Invited ${email}${as(role)}`,
  invitation_withdrawn: (email) => `Withdrew the invitation of ${email}`,
  joined: (_, { role }) => `Joined${as(role)}`,
  role_changed: (email, { from, to, links_ended }) =>
    `Changed the role of ${email} from ${label(from)} to ${label(to)}${andLinks(links_ended)}`,
  disabled: (email, { links_ended }) => `Switched the access of ${email} off${andLinks(links_ended)}`,
  enabled: (email) => `Switched the access of ${email} on`,
  removed: (email, { links_ended }) => `Removed ${email} from the team${andLinks(links_ended)}`,
  reset: (email, { second_factor }) =>
    `Reset the password of ${email}${second_factor ? ' and switched their second factor off' : ''}`,
  password_chosen: () => 'Chose a new password by a one-time link',
  password_changed: () => 'Changed their password',
  second_factor_on: () => 'Switched their second factor on',
  second_factor_off: () => 'Switched their second factor off',
  backup_codes_made: () => 'Made new backup codes',
  sessions_ended: (email, { count }) =>
    `Signed ${email} out of ${count === 1 ? 'one browser' : `${count} browsers`}`,
  key_made: (_, { name }) => `Made the API key ${name}`,
  key_revoked: (_, { name }) => `Revoked the API key ${name}`,
  key_woken: (_, { name }) => `Woke the API key ${name} after a restore`,
  settings_changed: (_, details) => `Changed settings: ${changesIn(details)}`,
  settings_asked_for: (_, details) => `Asked to turn a guard off, which waits: ${changesIn(details)}`,
  settings_confirmed: (_, { asked_by, ...details }) =>
    `Confirmed what ${asked_by} asked for: ${changesIn(details)}`,
  settings_stopped: (_, { asked_by, ...details }) =>
    `Stopped what ${asked_by} asked for: ${changesIn(details)}`,
  gateway_account_made: (_, { gateway, name }) => `Added the account ${name} at ${gateway}`,
  gateway_account_changed: (_, { gateway, name, changed }) =>
    `Changed the account ${name} at ${gateway}: ${[changed].flat().join(', ')}`,
  unnamed_payments_moved: (_, { gateway, to }) =>
    `Payments at ${gateway} that name no account lie from then on ${nameIn(to) ?? 'nowhere: they are refused'}`,
  gateway_account_released: (_, { gateway, name, reason, shared }) =>
    `Released the held account ${name} at ${gateway}${shared ? ', shared with another installation' : ''}: ${reason}`,
  endpoint_made: (_, { url }) => `Added the webhook endpoint ${url}`,
  endpoint_changed: (_, { url, changed }) =>
    `Changed the webhook endpoint ${url}: ${[changed].flat().join(', ')}`,
  endpoint_removed: (_, { endpoint_id }) => `Removed the webhook endpoint ${endpoint_id}`,
  endpoint_secret_replaced: (_, { url }) => `Replaced the signing secret of ${url}`,
  renamed: (_, { from, to }) => `Changed their name from ${from} to ${to}`,
};

function times(count: unknown): string {
  return typeof count === 'number' && count > 1 ? `, ${count} times more` : '';
}

function andLinks(count: unknown): string {
  return typeof count === 'number'
    ? `, and ended ${count === 1 ? 'a link' : `${count} links`} of theirs`
    : '';
}

function changesIn(details: Details): string {
  return Object.entries(details)
    .map(([setting, value]) => `${setting} to ${value}`)
    .join(', ');
}

function nameIn(account: unknown): string | null {
  const isAccount = typeof account === 'object' && account !== null && 'name' in account;
  return isAccount ? `at the account ${account.name}` : null;
}

function as(role: unknown): string {
  return typeof role === 'string' ? ` as ${roleOf(role).label}` : '';
}

function label(role: unknown): string {
  return roleOf(String(role)).label;
}
