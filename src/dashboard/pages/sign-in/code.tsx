import { Anchor, Button, Group, Stack, TextInput } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import { Problem } from '../../api/client.ts';
import { giveCode } from '../../api/sign-in.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import classes from './entrance.module.css';
import { Step } from './entrance.tsx';

interface Props {
  readonly onDone: () => void;
  /** The sign-in that waited for the code is over; `why` is null when the person went back. */
  readonly onStartAgain: (why: Problem | null) => void;
}

const KINDS = {
  app: {
    about: 'Your authenticator app shows six digits for Refundry.',
    label: 'Code from the app',
    other: 'Use a backup code instead',
  },
  backup: {
    about: 'One of the codes that you kept when you set up the second factor. Each works once.',
    label: 'Backup code',
    other: 'Use the app instead',
  },
} as const;

/** The second factor: six digits of the app, or a backup code. */
export function Code({ onDone, onStartAgain }: Props) {
  const [kind, setKind] = useState<keyof typeof KINDS>('app');
  const [code, setCode] = useState('');
  const input = useRef<HTMLInputElement>(null);
  const { busy, problem, run, clear } = useAct();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another kind of code is another thing to type
  useEffect(() => input.current?.focus(), [kind]);

  async function submit(): Promise<void> {
    const done = await run(async () => {
      try {
        await giveCode(kind === 'app' ? code.replaceAll(/\s/g, '') : code.trim());
        onDone();
      } catch (error) {
        if (!(error instanceof Problem && error.code === 'start_again')) throw error;
        onStartAgain(error);
      }
    });
    if (!done) input.current?.select();
  }

  function change(): void {
    setKind(kind === 'app' ? 'backup' : 'app');
    setCode('');
    clear();
  }

  const { about, label, other } = KINDS[kind];
  return (
    <Step title="Second factor" about={about}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Stack gap="md">
          <Refusal problem={problem} fields={['code']} />
          <TextInput
            ref={input}
            className={classes.code}
            label={label}
            name="code"
            autoComplete="one-time-code"
            inputMode={kind === 'app' ? 'numeric' : 'text'}
            autoCapitalize="none"
            spellCheck={false}
            maxLength={kind === 'app' ? 7 : 20}
            required
            withAsterisk={false}
            value={code}
            error={fieldProblem(problem, 'code')}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          <Button type="submit" loading={busy}>
            Continue
          </Button>
          <Group justify="space-between">
            <Anchor component="button" type="button" size="sm" onClick={change}>
              {other}
            </Anchor>
            <Anchor component="button" type="button" size="sm" onClick={() => onStartAgain(null)}>
              Start again
            </Anchor>
          </Group>
        </Stack>
      </form>
    </Step>
  );
}
