import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { changePassword, rename, sessionsQuery } from '../../api/account.ts';
import { meQuery, useMe } from '../../api/session.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Notice } from '../../parts/notice.tsx';
import { Page, Section } from '../../parts/page.tsx';
import { NewPasswordField, PasswordField } from '../../parts/password.tsx';
import { roleOf } from '../../parts/roles.ts';
import classes from './account.module.css';
import { SecondFactor } from './second-factor.tsx';
import { Sessions } from './sessions.tsx';

/** A person's own sign-in. */
export function Account() {
  const { user, role, merchant } = useMe();
  if (!user || !role) return null;
  const mustSetUp = merchant.require_second_factor && !user.second_factor;
  return (
    <Page title="Account" about={`${user.email}, ${roleOf(role).label} at ${merchant.name}`}>
      <div className={classes.column}>
        {mustSetUp && (
          <Notice tone="amber" title="Set up a second factor to go on">
            <Text size="sm">
              {merchant.name} asks everybody for one. Until yours is set up, all other pages bring you back
              here.
            </Text>
          </Notice>
        )}
        <SecondFactor email={user.email} on={user.second_factor} required={merchant.require_second_factor} />
        <Name name={user.name} />
        <Password email={user.email} />
        <Sessions />
      </div>
    </Page>
  );
}

function Name({ name }: { readonly name: string }) {
  const client = useQueryClient();
  const [typed, setTyped] = useState(name);
  const [saved, setSaved] = useState(false);
  const { busy, problem, run } = useAct();

  async function submit(): Promise<void> {
    setSaved(await run(async () => client.setQueryData(meQuery.queryKey, await rename(typed))));
  }

  return (
    <Section title="Name">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Stack gap="sm">
          <Refusal problem={problem} fields={['name']} />
          <TextInput
            label="Your name"
            description="Your team sees it beside what you do."
            autoComplete="name"
            required
            withAsterisk={false}
            maxLength={100}
            value={typed}
            error={fieldProblem(problem, 'name')}
            onChange={(event) => {
              setTyped(event.currentTarget.value);
              setSaved(false);
            }}
          />
          <Group gap="sm">
            <Button
              type="submit"
              variant="default"
              loading={busy}
              disabled={typed.trim() === name || typed.trim() === ''}
            >
              Save the name
            </Button>
            {saved && (
              <Text size="sm" role="status">
                Saved.
              </Text>
            )}
          </Group>
        </Stack>
      </form>
    </Section>
  );
}

function Password({ email }: { readonly email: string }) {
  const client = useQueryClient();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [changed, setChanged] = useState(false);
  const { busy, problem, run } = useAct();

  async function submit(): Promise<void> {
    const done = await run(() => changePassword(current, next));
    setChanged(done);
    if (!done) return;
    setCurrent('');
    setNext('');
    await client.invalidateQueries({ queryKey: sessionsQuery.queryKey });
  }

  return (
    <Section title="Password">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Stack gap="sm">
          <Refusal problem={problem} fields={['current_password', 'password', 'new_password']} />
          {/* Tells a password keeper whose password it is. */}
          <input type="hidden" name="username" autoComplete="username" value={email} readOnly />
          <PasswordField
            label="Current password"
            name="current-password"
            autoComplete="current-password"
            value={current}
            error={fieldProblem(problem, 'current_password') ?? fieldProblem(problem, 'password')}
            onChange={(event) => setCurrent(event.currentTarget.value)}
          />
          <NewPasswordField
            label="New password"
            value={next}
            error={fieldProblem(problem, 'new_password')}
            onChange={setNext}
          />
          <Group gap="sm">
            <Button type="submit" variant="default" loading={busy}>
              Change the password
            </Button>
            <Text size="sm" c={changed ? 'var(--ink)' : 'dimmed'} role="status">
              {changed
                ? 'Changed. You are signed out everywhere but here.'
                : 'It signs you out everywhere but here.'}
            </Text>
          </Group>
        </Stack>
      </form>
    </Section>
  );
}
