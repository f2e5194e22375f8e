import { Button, Stack, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useLocation } from '@tanstack/react-router';
import { useState } from 'react';
import type { LinkAnswer } from '../../../api/contract/sign-in.ts';
import { Problem } from '../../api/client.ts';
import { linkQuery, spendLink } from '../../api/sign-in.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Failed, Loading } from '../../parts/answers.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { NewPasswordField } from '../../parts/password.tsx';
import { roleOf } from '../../parts/roles.ts';
import { Time } from '../../parts/time.tsx';
import { Code } from './code.tsx';
import { useEnter } from './enter.ts';
import { Step } from './entrance.tsx';

/** A one-time link, for joining a team or for a new password. What follows "#" never leaves for a server's log. */
export function OneTimeLink() {
  const token = useLocation({ select: ({ hash }) => hash });
  const link = useQuery({ ...linkQuery(token), enabled: token !== '' });
  if (link.data) return <ChoosePassword token={token} link={link.data} />;
  if (link.error instanceof Problem && link.error.code === 'link_ended') {
    return <Ended about={link.error.message} />;
  }
  if (token === '' || (link.error instanceof Problem && link.error.field === 'token')) {
    return (
      <Ended about="A part of its address is missing or was changed. Open the whole link as it was given to you." />
    );
  }
  return (
    <Step title="One-time link">
      {link.isError ? (
        <Failed error={link.error} onRetry={() => void link.refetch()} />
      ) : (
        <Loading rows={4} />
      )}
    </Step>
  );
}

function Ended({ about }: { readonly about: string }) {
  return (
    <Step title="This link does not work" about={about}>
      <Button component={Link} to="/sign-in" variant="default">
        Go to sign-in
      </Button>
    </Step>
  );
}

function ChoosePassword({ token, link }: { readonly token: string; readonly link: LinkAnswer }) {
  const joins = link.kind === 'join';
  const [name, setName] = useState(link.name);
  const [password, setPassword] = useState('');
  const [waitsForCode, setWaitsForCode] = useState(false);
  const enter = useEnter(undefined);
  const { busy, problem, run } = useAct();

  async function submit(): Promise<void> {
    await run(async () => {
      const { status } = await spendLink(token, joins ? { password, name } : { password });
      if (status === 'code_needed') setWaitsForCode(true);
      else enter();
    });
  }

  if (waitsForCode) return <Code onDone={enter} onStartAgain={() => enter()} />;
  if (problem instanceof Problem && problem.code === 'link_ended') return <Ended about={problem.message} />;
  const expires = (
    <>
      The link works once, and only until <Time at={link.expires_at} exact />.
    </>
  );
  return (
    <Step
      title={joins ? `Join ${link.merchant_name}` : 'Choose a new password'}
      about={
        joins ? (
          <>
            You are invited as <b>{roleOf(link.role).label}</b>. {roleOf(link.role).may} {expires}
          </>
        ) : (
          <>
            For {link.email} at {link.merchant_name}. Your old password stops working and you are signed out
            everywhere else. {expires}
          </>
        )
      }
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Stack gap="md">
          <Refusal problem={problem} fields={['name', 'password']} />
          <TextInput
            label="E-mail"
            description={joins ? 'With this you sign in.' : undefined}
            type="email"
            name="email"
            autoComplete="username"
            readOnly
            value={link.email}
          />
          {joins && (
            <TextInput
              label="Your name"
              description="Your team sees it beside what you do."
              name="name"
              autoComplete="name"
              required
              withAsterisk={false}
              maxLength={100}
              value={name}
              error={fieldProblem(problem, 'name')}
              onChange={(event) => setName(event.currentTarget.value)}
            />
          )}
          <NewPasswordField
            label={joins ? 'Password' : 'New password'}
            value={password}
            error={fieldProblem(problem, 'password')}
            onChange={setPassword}
          />
          <Button type="submit" loading={busy}>
            {joins ? 'Join and sign in' : 'Set the password and sign in'}
          </Button>
        </Stack>
      </form>
    </Step>
  );
}
