import { Checkbox, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { Invitation, Member, NewLink } from '../../../api/contract/team.ts';
import {
  changeMember,
  endSessionsOf,
  invite,
  removeMember,
  resetSignIn,
  withdrawInvitation,
} from '../../api/team.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { ROLES, type RoleName, roleOf } from '../../parts/roles.ts';

/** What an admin is about to do. */
export type Ask =
  | { readonly to: 'invite'; readonly again?: Invitation }
  | { readonly to: 'withdraw'; readonly invitation: Invitation }
  | {
      readonly to: 'change role' | 'disable' | 'enable' | 'remove' | 'reset' | 'end sessions';
      readonly member: Member;
    };

/** A one-time link, and whom it is for. */
export interface MadeLink extends Pick<NewLink, 'link' | 'expires_at'> {
  readonly name: string;
}

interface Props {
  readonly asks: Ask;
  readonly onLink: (made: MadeLink) => void;
  readonly onClose: () => void;
}

/** Says what will happen to the person, and does it. */
export function TeamDialog({ asks, onLink, onClose }: Props) {
  switch (asks.to) {
    case 'invite':
      return <Invite again={asks.again ?? null} onLink={onLink} onClose={onClose} />;
    case 'withdraw':
      return (
        <Dialog
          title={`Withdraw the invitation of ${asks.invitation.name}`}
          act="Withdraw the invitation"
          danger
          onAct={() => withdrawInvitation(asks.invitation.invitation_id)}
          onClose={onClose}
        >
          <Text size="sm">The link that was made for {asks.invitation.email} stops working now.</Text>
        </Dialog>
      );
    case 'change role':
      return <ChangeRole member={asks.member} onClose={onClose} />;
    case 'reset':
      return <Reset member={asks.member} onLink={onLink} onClose={onClose} />;
    default:
      return <Simple to={asks.to} member={asks.member} onClose={onClose} />;
  }
}

const SIMPLE = {
  disable: {
    title: 'Switch off the access of',
    says: 'They are signed out everywhere now and cannot sign in until access is switched on again. What they did stays on record.',
    act: 'Switch access off',
    danger: true,
    does: (userId: string) => changeMember(userId, { disabled: true }),
  },
  enable: {
    title: 'Switch on the access of',
    says: 'They can sign in again, with the password and the role that they had.',
    act: 'Switch access on',
    danger: false,
    does: (userId: string) => changeMember(userId, { disabled: false }),
  },
  remove: {
    title: 'Remove',
    says: 'They are signed out everywhere now, and their sign-in is deleted. What they did stays on record under their name.',
    act: 'Remove from the team',
    danger: true,
    does: removeMember,
  },
  'end sessions': {
    title: 'Sign out',
    says: 'Every browser in which they are signed in asks for the password again. Nothing else changes.',
    act: 'Sign out everywhere',
    danger: false,
    does: endSessionsOf,
  },
} as const;

function Simple({
  to,
  member,
  onClose,
}: {
  readonly to: keyof typeof SIMPLE;
  readonly member: Member;
  readonly onClose: () => void;
}) {
  const { title, says, act, danger, does } = SIMPLE[to];
  return (
    <Dialog
      title={`${title} ${member.name}`}
      act={act}
      danger={danger}
      onAct={() => does(member.user_id)}
      onClose={onClose}
    >
      <Text size="sm">{says}</Text>
      {member.you && (
        <Text size="sm" fw={500}>
          This is you: you are signed out at once.
        </Text>
      )}
    </Dialog>
  );
}

function Invite({
  again,
  onLink,
  onClose,
}: {
  readonly again: Invitation | null;
  readonly onLink: (made: MadeLink) => void;
  readonly onClose: () => void;
}) {
  const [email, setEmail] = useState(again?.email ?? '');
  const [name, setName] = useState(again?.name ?? '');
  const [role, setRole] = useState<RoleName>(again?.role ?? 'support');
  return (
    <Dialog
      title={again ? `A new link for ${again.name}` : 'Invite a person'}
      act={again ? 'Make a new link' : 'Make the invitation'}
      fields={['email', 'name', 'role']}
      onAct={async () => onLink(await invite({ email, name, role }))}
      onClose={onClose}
    >
      {(problem) => (
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            {again
              ? 'The link that was made before stops working.'
              : 'You get a link to pass on. It works once, for three days; nothing is sent by itself.'}
          </Text>
          <TextInput
            label="E-mail"
            type="email"
            autoComplete="off"
            readOnly={again !== null}
            value={email}
            error={fieldProblem(problem, 'email')}
            onChange={(event) => setEmail(event.currentTarget.value)}
            data-autofocus
          />
          <TextInput
            label="Name"
            autoComplete="off"
            maxLength={100}
            value={name}
            error={fieldProblem(problem, 'name')}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <RoleChoice value={role} error={fieldProblem(problem, 'role')} onChange={setRole} />
        </Stack>
      )}
    </Dialog>
  );
}

function ChangeRole({ member, onClose }: { readonly member: Member; readonly onClose: () => void }) {
  const [role, setRole] = useState<RoleName>(member.role);
  return (
    <Dialog
      title={`The role of ${member.name}`}
      act={role === member.role ? `Keep ${roleOf(role).label}` : `Make ${member.name} ${roleOf(role).label}`}
      fields={['role']}
      onAct={async () => role !== member.role && changeMember(member.user_id, { role })}
      onClose={onClose}
    >
      {(problem) => (
        <>
          <RoleChoice value={role} error={fieldProblem(problem, 'role')} onChange={setRole} />
          <Text size="sm" c="dimmed">
            It holds from their next click, without signing in again.
          </Text>
          {member.you && role !== member.role && (
            <Text size="sm" fw={500}>
              This is you: another admin must make you one again.
            </Text>
          )}
        </>
      )}
    </Dialog>
  );
}

function RoleChoice({
  value,
  error,
  onChange,
}: {
  readonly value: RoleName;
  readonly error: string | null;
  readonly onChange: (role: RoleName) => void;
}) {
  return (
    <Radio.Group label="Role" value={value} error={error} onChange={(role) => onChange(role as RoleName)}>
      <Stack gap="xs" mt={6}>
        {ROLES.map(({ name, label, may }) => (
          <Radio key={name} value={name} label={label} description={may} />
        ))}
      </Stack>
    </Radio.Group>
  );
}

function Reset({
  member,
  onLink,
  onClose,
}: {
  readonly member: Member;
  readonly onLink: (made: MadeLink) => void;
  readonly onClose: () => void;
}) {
  const [secondFactorToo, setSecondFactorToo] = useState(false);
  return (
    <Dialog
      title={`Reset the sign-in of ${member.name}`}
      act="Reset and make a link"
      danger
      onAct={async () =>
        onLink({ ...(await resetSignIn(member.user_id, secondFactorToo)), name: member.name })
      }
      onClose={onClose}
    >
      <Text size="sm">
        Their password stops working now and they are signed out everywhere. You get a link to pass on, with
        which they choose a new password.
      </Text>
      {member.second_factor && (
        <Checkbox
          label="Switch their second factor off too"
          description="For a phone that was lost, along with the backup codes."
          checked={secondFactorToo}
          onChange={(event) => setSecondFactorToo(event.currentTarget.checked)}
        />
      )}
    </Dialog>
  );
}
