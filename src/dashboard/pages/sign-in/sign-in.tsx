import { Button, Stack, Text, TextInput } from '@mantine/core';
import { useSearch } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import type { Problem } from '../../api/client.ts';
import { signIn } from '../../api/sign-in.ts';
import { useAct } from '../../parts/act.tsx';
import { Failed } from '../../parts/answers.tsx';
import { PasswordField } from '../../parts/password.tsx';
import { Code } from './code.tsx';
import { useEnter } from './enter.ts';
import { Step } from './entrance.tsx';

/** E-mail and password, then the second factor of those who have one. */
export function SignIn() {
  const { back } = useSearch({ from: '/signed-out/sign-in' });
  const enter = useEnter(back);
  const [waitsForCode, setWaitsForCode] = useState(false);
  const [before, setBefore] = useState<Problem | null>(null);

  return waitsForCode ? (
    <Code
      onDone={enter}
      onStartAgain={(why) => {
        setBefore(why);
        setWaitsForCode(false);
      }}
    />
  ) : (
    <Password
      goesBack={back !== undefined}
      before={before}
      onDone={(codeNeeded) => (codeNeeded ? setWaitsForCode(true) : enter())}
    />
  );
}

interface PasswordProps {
  readonly goesBack: boolean;
  /** Why the person is here again. */
  readonly before: Problem | null;
  readonly onDone: (codeNeeded: boolean) => void;
}

function Password({ goesBack, before, onDone }: PasswordProps) {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const passwordInput = useRef<HTMLInputElement>(null);
  const { busy, problem, run } = useAct();

  async function submit(): Promise<void> {
    const done = await run(async () => {
      const { status } = await signIn(email, password);
      onDone(status === 'code_needed');
    });
    if (!done) passwordInput.current?.select();
  }

  return (
    <Step
      title="Sign in"
      about={goesBack ? 'Then you go on to where you were.' : 'To the refund desk of your team.'}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Stack gap="md">
          {(problem ?? before) !== null && <Failed error={problem ?? before} />}
          <TextInput
            label="E-mail"
            type="email"
            name="email"
            autoComplete="username"
            autoFocus
            required
            withAsterisk={false}
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
          />
          <PasswordField
            ref={passwordInput}
            label="Password"
            name="password"
            autoComplete="current-password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <Button type="submit" loading={busy}>
            Sign in
          </Button>
          <Text size="xs" c="dimmed">
            Forgotten it? An admin of your team can make you a link to choose a new password, and so can
            whoever runs the server.
          </Text>
        </Stack>
      </form>
    </Step>
  );
}
