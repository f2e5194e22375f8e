import { ActionIcon, Menu, Text, VisuallyHidden } from '@mantine/core';
import { IconDots } from '@tabler/icons-react';
import type { Invitation, ListedMember, Team } from '../../../api/contract/team.ts';
import { roleOf } from '../../parts/roles.ts';
import { Sign } from '../../parts/status.tsx';
import { columnsOf } from '../../parts/table.tsx';
import { dayText, Time } from '../../parts/time.tsx';
import { usePreferences } from '../../preferences.tsx';
import type { Ask } from './team-dialogs.tsx';

type Row = { readonly id: string; readonly email: string; readonly name: string; readonly role: string } & (
  | { readonly kind: 'member'; readonly member: ListedMember; readonly onlyAdmin: boolean }
  | { readonly kind: 'invitation'; readonly invitation: Invitation }
);

/** Those who have joined, then those who are invited. */
export function rowsOf({ members, invitations }: Team): Row[] {
  const admins = members.filter((each) => each.role === 'admin' && !each.disabled && each.has_password);
  return [
    ...members.map((member) => ({
      kind: 'member' as const,
      id: member.user_id,
      email: member.email,
      name: member.name,
      role: member.role,
      member,
      onlyAdmin: member.role === 'admin' && !member.disabled && admins.every((each) => each === member),
    })),
    ...invitations.map((invitation) => ({
      kind: 'invitation' as const,
      id: invitation.invitation_id,
      email: invitation.email,
      name: invitation.name,
      role: invitation.role,
      invitation,
    })),
  ];
}

const column = columnsOf<Row>();

export function columnsWith(factorRequired: boolean, onAsk: (ask: Ask) => void) {
  return [
    column.display({
      id: 'name',
      header: 'Name',
      cell: ({ row: { original: row } }) =>
        row.kind === 'member' && row.member.you ? `${row.name} (you)` : row.name,
    }),
    column.accessor('email', { header: 'E-mail' }),
    column.accessor('role', { header: 'Role', cell: ({ getValue }) => roleOf(getValue()).label }),
    column.display({
      id: 'state',
      header: 'State',
      cell: ({ row: { original: row } }) => <State row={row} />,
    }),
    column.display({
      id: 'second_factor',
      header: 'Second factor',
      cell: ({ row: { original: row } }) =>
        row.kind === 'member' && <SecondFactorSign on={row.member.second_factor} required={factorRequired} />,
    }),
    column.display({
      id: 'last_seen',
      header: 'Last seen',
      cell: ({ row: { original: row } }) =>
        row.kind === 'member' &&
        (row.member.last_seen_at ? (
          <Time at={row.member.last_seen_at} />
        ) : (
          <Text size="sm" c="dimmed" component="span">
            signed out
          </Text>
        )),
    }),
    column.display({
      id: 'actions',
      header: () => <VisuallyHidden>Actions</VisuallyHidden>,
      meta: { align: 'right' },
      cell: ({ row: { original: row } }) => <Actions row={row} onAsk={onAsk} />,
    }),
  ];
}

function State({ row }: { readonly row: Row }) {
  const { zone } = usePreferences();
  if (row.kind === 'invitation') {
    const until = dayText(new Date(row.invitation.expires_at), zone);
    return <Sign is="waits" word="Invited" detail={`by ${row.invitation.invited_by}, until ${until}`} />;
  }
  if (row.member.disabled) return <Sign is="off" word="Switched off" />;
  if (!row.member.has_password) return <Sign is="waits" word="Needs a new password" />;
  return <Sign is="good" word="May sign in" />;
}

function SecondFactorSign({ on, required }: { readonly on: boolean; readonly required: boolean }) {
  if (on) return <Sign is="good" word="On" />;
  return required ? <Sign is="waits" word="To be set up" /> : <Sign is="off" word="Off" />;
}

function Actions({ row, onAsk }: { readonly row: Row; readonly onAsk: (ask: Ask) => void }) {
  return (
    <Menu position="bottom-end" width={260}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions for ${row.name}`}>
          <IconDots size={17} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {row.kind === 'invitation' ? (
          <>
            <Menu.Item onClick={() => onAsk({ to: 'invite', again: row.invitation })}>
              Make a new link …
            </Menu.Item>
            <Menu.Item onClick={() => onAsk({ to: 'withdraw', invitation: row.invitation })}>
              Withdraw the invitation …
            </Menu.Item>
          </>
        ) : (
          <MemberActions member={row.member} onlyAdmin={row.onlyAdmin} onAsk={onAsk} />
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function MemberActions({
  member,
  onlyAdmin,
  onAsk,
}: {
  readonly member: ListedMember;
  readonly onlyAdmin: boolean;
  readonly onAsk: (ask: Ask) => void;
}) {
  return (
    <>
      {onlyAdmin && (
        <Menu.Label>
          {member.name} is the only admin. Before this can change, somebody else must be one.
        </Menu.Label>
      )}
      <Menu.Item disabled={onlyAdmin} onClick={() => onAsk({ to: 'change role', member })}>
        Change the role …
      </Menu.Item>
      <Menu.Item
        disabled={onlyAdmin}
        onClick={() => onAsk({ to: member.disabled ? 'enable' : 'disable', member })}
      >
        {member.disabled ? 'Switch access on …' : 'Switch access off …'}
      </Menu.Item>
      <Menu.Item disabled={onlyAdmin} onClick={() => onAsk({ to: 'remove', member })}>
        Remove from the team …
      </Menu.Item>
      <Menu.Divider />
      {member.you && <Menu.Label>Your own password and second factor are under Account.</Menu.Label>}
      <Menu.Item disabled={member.you} onClick={() => onAsk({ to: 'reset', member })}>
        Reset sign-in …
      </Menu.Item>
      <Menu.Item disabled={member.you} onClick={() => onAsk({ to: 'end sessions', member })}>
        Sign out everywhere …
      </Menu.Item>
    </>
  );
}
