import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import type { Me } from '../../../api/contract/me.ts';
import {
  beginSecondFactor,
  confirmSecondFactor,
  endSecondFactor,
  type NewSecondFactor,
  newBackupCodes,
  sessionsQuery,
} from '../../api/account.ts';
import { meQuery } from '../../api/session.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Section } from '../../parts/page.tsx';
import { PasswordField } from '../../parts/password.tsx';
import { QrCode } from '../../parts/qr-code.tsx';
import { Copyable } from '../../parts/secret.tsx';
import classes from './account.module.css';
import { BackupCodes } from './backup-codes.tsx';

interface Props {
  readonly email: string;
  readonly on: boolean;
  /** Whether the merchant asks everybody for one. */
  readonly required: boolean;
}

type Doing =
  | { readonly step: 'nothing' }
  | { readonly step: 'set up' | 'switch off' | 'new codes' }
  | { readonly step: 'confirm'; readonly made: NewSecondFactor }
  | { readonly step: 'keep codes'; readonly codes: readonly string[]; readonly isNew: boolean };

const NOTHING: Doing = { step: 'nothing' };

/** The second factor: set up with an app, its backup codes, and the way to be rid of it. */
export function SecondFactor({ email, on, required }: Props) {
  const client = useQueryClient();
  const [doing, setDoing] = useState<Doing>(NOTHING);
  const stop = () => setDoing(NOTHING);
  const frame = useRef<HTMLDivElement>(null);
  const begun = useRef(false);
  useEffect(() => {
    // The other steps begin with a field that takes the focus.
    const hasNoField = doing.step === 'nothing' || doing.step === 'keep codes';
    if (begun.current && hasNoField) frame.current?.focus();
    begun.current ||= doing.step !== 'nothing';
  }, [doing.step]);
  function learn(me: Me): void {
    client.setQueryData(meQuery.queryKey, me);
    // This browser's session is a new one from here on.
    void client.invalidateQueries({ queryKey: sessionsQuery.queryKey });
  }

  return (
    <Section title="Second factor">
      <div ref={frame} tabIndex={-1} className={classes.frame}>
        {doing.step === 'nothing' && (
          <Stack gap="sm">
            <Text size="sm">
              {on
                ? 'On. After your password, sign-in asks for the six digits that your app shows, or for a backup code.'
                : 'Off. With one, a stolen password is not enough: sign-in also asks for six digits that an app on your phone shows.'}
            </Text>
            <Group gap="xs">
              {on ? (
                <>
                  <Button variant="default" onClick={() => setDoing({ step: 'new codes' })}>
                    Make new backup codes
                  </Button>
                  <Button
                    variant="default"
                    disabled={required}
                    onClick={() => setDoing({ step: 'switch off' })}
                  >
                    Switch it off
                  </Button>
                  {required && (
                    <Text size="sm" c="dimmed">
                      Your merchant asks everybody for a second factor, so it stays on.
                    </Text>
                  )}
                </>
              ) : (
                <Button
                  variant={required ? 'filled' : 'default'}
                  onClick={() => setDoing({ step: 'set up' })}
                >
                  Set up a second factor
                </Button>
              )}
            </Group>
          </Stack>
        )}
        {doing.step === 'set up' && (
          <ByPassword
            email={email}
            about="First your password, so that nobody else at this browser can do it. When it is on, your other browsers are signed out."
            button="Continue"
            act={beginSecondFactor}
            onDone={(made) => setDoing({ step: 'confirm', made })}
            onStop={stop}
          />
        )}
        {doing.step === 'confirm' && (
          <Confirm
            made={doing.made}
            onDone={(me) => {
              setDoing({ step: 'keep codes', codes: doing.made.backup_codes, isNew: true });
              learn(me);
            }}
            onStop={stop}
          />
        )}
        {doing.step === 'keep codes' && <KeepCodes codes={doing.codes} isNew={doing.isNew} onDone={stop} />}
        {doing.step === 'new codes' && (
          <ByPassword
            email={email}
            about="You get ten new backup codes, and those of before stop working."
            button="Make new backup codes"
            act={newBackupCodes}
            onDone={({ backup_codes: codes }) => setDoing({ step: 'keep codes', codes, isNew: false })}
            onStop={stop}
          />
        )}
        {doing.step === 'switch off' && (
          <ByPassword
            email={email}
            about="From then on your password alone signs you in. The app's entry and your backup codes stop working, and your other browsers are signed out."
            button="Switch the second factor off"
            act={endSecondFactor}
            onDone={(me) => {
              stop();
              learn(me);
            }}
            onStop={stop}
          />
        )}
      </div>
    </Section>
  );
}

/** Something that only the person may do, who proves it by the password. */
function ByPassword<Answer>(props: {
  readonly email: string;
  readonly about: string;
  readonly button: string;
  readonly act: (password: string) => Promise<Answer>;
  readonly onDone: (answer: Answer) => void;
  readonly onStop: () => void;
}) {
  const [password, setPassword] = useState('');
  const { busy, problem, run } = useAct();
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void run(async () => props.onDone(await props.act(password)));
      }}
    >
      <Stack gap="sm">
        <Text size="sm">{props.about}</Text>
        <Refusal problem={problem} fields={['password']} />
        <input type="hidden" name="username" autoComplete="username" value={props.email} readOnly />
        <PasswordField
          label="Your password"
          name="password"
          autoComplete="current-password"
          autoFocus
          value={password}
          error={fieldProblem(problem, 'password')}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        <Group gap="xs">
          <Button type="submit" loading={busy}>
            {props.button}
          </Button>
          <Button variant="default" onClick={props.onStop}>
            Leave it as it is
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Confirm({
  made,
  onDone,
  onStop,
}: {
  readonly made: NewSecondFactor;
  readonly onDone: (me: Me) => void;
  readonly onStop: () => void;
}) {
  const [code, setCode] = useState('');
  const { busy, problem, run } = useAct();
  const secret = new URL(made.otpauth_uri).searchParams.get('secret') ?? '';
  return (
    <div className={classes.setup}>
      <QrCode text={made.otpauth_uri} label="Code to scan with an authenticator app" />
      <form
        className={classes.steps}
        onSubmit={(event) => {
          event.preventDefault();
          void run(async () => onDone(await confirmSecondFactor(code.replaceAll(/\s/g, ''))));
        }}
      >
        <Stack gap="sm">
          <Text size="sm">
            Scan this with an authenticator app, such as the password keeper or the code app on your phone. Or
            give it this secret:
          </Text>
          <Copyable value={secret} of="secret" />
          <Refusal problem={problem} fields={['code']} />
          <TextInput
            label="Six digits that the app shows"
            name="code"
            autoComplete="one-time-code"
            inputMode="numeric"
            maxLength={7}
            autoFocus
            required
            withAsterisk={false}
            value={code}
            error={fieldProblem(problem, 'code')}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          <Group gap="xs">
            <Button type="submit" loading={busy}>
              Switch it on
            </Button>
            <Button variant="default" onClick={onStop}>
              Leave it as it is
            </Button>
          </Group>
        </Stack>
      </form>
    </div>
  );
}

function KeepCodes({
  codes,
  isNew,
  onDone,
}: {
  readonly codes: readonly string[];
  readonly isNew: boolean;
  readonly onDone: () => void;
}) {
  return (
    <Stack gap="sm">
      <Text size="sm" role="status">
        {isNew ? 'The second factor is on. ' : 'The codes of before no longer work. '}
        Keep these backup codes where you do not keep your phone: each lets you in once without it. They are
        shown only now.
      </Text>
      <BackupCodes codes={codes} />
      <Group>
        <Button onClick={onDone}>I have kept them</Button>
      </Group>
    </Stack>
  );
}
