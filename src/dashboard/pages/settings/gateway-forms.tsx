import {
  Button,
  Checkbox,
  NumberInput,
  PasswordInput,
  Stack,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import type {
  CredentialField,
  GatewayAccount,
  GatewayDescription,
} from '../../../api/contract/gateway-accounts.ts';
import { changeAccount, createAccount } from '../../api/gateways.ts';
import { Refusal, useAct, useInvalidFocus } from '../../parts/act.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Notice } from '../../parts/notice.tsx';
import { Section } from '../../parts/page.tsx';
import { Copyable } from '../../parts/secret.tsx';
import { TestConnection } from './gateway-account.tsx';
import classes from './gateways.module.css';

/** First which gateway, then the fields that its connector asks for. */
export function NewAccount({
  gateways,
  chosen,
  onChoose,
  onAdded,
}: {
  readonly gateways: readonly GatewayDescription[];
  readonly chosen: GatewayDescription | undefined;
  readonly onChoose: (gateway: string) => void;
  readonly onAdded: (account: GatewayAccount) => void;
}) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const form = useInvalidFocus(problem);
  const [name, setName] = useState('');
  const [baseUrl, setBaseUrl] = useState('');
  const [values, setValues] = useState<Values>({});
  const [limits, setLimits] = useState<Limits>({ max_concurrent: '', max_per_second: '' });

  if (!chosen) {
    return (
      <Stack gap="sm">
        <Text size="sm">At which gateway?</Text>
        {gateways.map((gateway) => (
          <button
            key={gateway.gateway}
            type="button"
            className={classes.choice}
            onClick={() => onChoose(gateway.gateway)}
          >
            <strong>{gateway.label}</strong>
            <ul className={classes.says}>
              {!gateway.moves_real_money && <li>No real money moves.</li>}
              {gateway.capabilities_say.map((sentence) => (
                <li key={sentence}>{sentence}</li>
              ))}
            </ul>
          </button>
        ))}
      </Stack>
    );
  }

  function add(event: FormEvent, { gateway }: GatewayDescription): void {
    event.preventDefault();
    void run(async () => {
      const account = await createAccount({
        gateway,
        ...(name.trim() && { name: name.trim() }),
        ...(baseUrl.trim() && { base_url: baseUrl.trim() }),
        credentials: Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim() !== '')),
        ...chosenLimits(limits),
      });
      await client.invalidateQueries({ queryKey: ['accounts'] });
      await client.invalidateQueries({ queryKey: ['me'] });
      onAdded(account);
    });
  }

  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event) => add(event, chosen)}
      aria-label={`${chosen.label} account`}
    >
      <Stack gap="md">
        <Text size="md" fw={550}>
          {chosen.label}
          {chosen.docs_url && (
            <>
              {' · '}
              <a href={chosen.docs_url} target="_blank" rel="noreferrer">
                its documentation
              </a>
            </>
          )}
        </Text>
        {chosen.credential_fields.map((field) => (
          <CredentialInput
            key={field.name}
            field={field}
            value={values[field.name] ?? ''}
            problem={fieldProblem(problem, `credentials.${field.name}`)}
            onChange={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
          />
        ))}
        <TextInput
          label="Name"
          description="Tells several accounts of one gateway apart. The one named default takes what names no account."
          placeholder="default"
          value={name}
          maxLength={100}
          onChange={(event) => setName(event.currentTarget.value)}
          error={fieldProblem(problem, 'name')}
        />
        <TextInput
          label="Address"
          description={`${chosen.label}'s own when empty. It cannot be changed later.`}
          placeholder={chosen.base_url}
          type="url"
          value={baseUrl}
          maxLength={2048}
          onChange={(event) => setBaseUrl(event.currentTarget.value)}
          error={fieldProblem(problem, 'base_url')}
        />
        <LimitInputs limits={limits} onChange={setLimits} usual={chosen.capabilities} problem={problem} />
        <Refusal problem={problem} fields={fieldsOf(chosen)} />
        <Button type="submit" loading={busy}>
          Add the account
        </Button>
      </Stack>
    </form>
  );
}

/** Secrets are not shown: what is left empty stays as it is. */
export function EditAccount({
  account,
  gateway,
}: {
  readonly account: GatewayAccount;
  readonly gateway: GatewayDescription | undefined;
}) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const form = useInvalidFocus(problem);
  const [name, setName] = useState(account.name);
  const [values, setValues] = useState<Values>({});
  const [removed, setRemoved] = useState<readonly string[]>([]);
  const [limits, setLimits] = useState<Limits>({
    max_concurrent: account.max_concurrent,
    max_per_second: account.max_per_second,
  });
  const [saved, setSaved] = useState(false);
  const fields = gateway?.credential_fields ?? [];

  function save(event: FormEvent): void {
    event.preventDefault();
    setSaved(false);
    void run(async () => {
      const typed = Object.entries(values).filter(([, value]) => value.trim() !== '');
      const credentials = {
        ...Object.fromEntries(removed.map((field) => [field, null])),
        ...Object.fromEntries(typed),
      };
      await changeAccount(account.gateway_account_id, {
        name: name.trim(),
        ...(Object.keys(credentials).length > 0 && { credentials }),
        ...chosenLimits(limits),
      });
      await client.invalidateQueries({ queryKey: ['accounts'] });
      setValues({});
      setRemoved([]);
      setSaved(true);
    });
  }

  return (
    <>
      <Text size="sm" mb={6}>
        Enter this address at {gateway?.label ?? account.gateway} for its webhooks:
      </Text>
      <Copyable value={account.webhook_url} of="webhook address" />
      <Stack gap={8} mt="md">
        <TestConnection account={account} />
      </Stack>
      <Section title="Settings">
        <form ref={form} noValidate onSubmit={save} aria-label="Account settings">
          <Stack gap="md">
            {fields.map((field) => {
              const held = account.credentials[field.name];
              const gone = removed.includes(field.name);
              return (
                <div key={field.name}>
                  <CredentialInput
                    field={field}
                    held={held}
                    disabled={gone}
                    value={gone ? '' : (values[field.name] ?? (field.secret ? '' : (held ?? '')))}
                    problem={fieldProblem(problem, `credentials.${field.name}`)}
                    onChange={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
                  />
                  {held !== undefined && !field.required && (
                    <Checkbox
                      mt={6}
                      size="xs"
                      label={`Remove ${field.label.toLowerCase()}`}
                      checked={gone}
                      onChange={(event) =>
                        setRemoved(
                          event.currentTarget.checked
                            ? [...removed, field.name]
                            : removed.filter((other) => other !== field.name),
                        )
                      }
                    />
                  )}
                </div>
              );
            })}
            <TextInput
              label="Name"
              value={name}
              maxLength={100}
              onChange={(event) => setName(event.currentTarget.value)}
              error={fieldProblem(problem, 'name')}
            />
            <LimitInputs
              limits={limits}
              onChange={setLimits}
              usual={gateway?.capabilities}
              problem={problem}
            />
            <Refusal problem={problem} fields={gateway ? fieldsOf(gateway) : []} />
            <Button type="submit" loading={busy}>
              Save the account
            </Button>
            <div aria-live="polite">
              {saved && <Notice tone="plain" title="Saved. Refunds go out with it from now on." />}
            </div>
          </Stack>
        </form>
      </Section>
    </>
  );
}

type Values = Readonly<Record<string, string>>;

interface Limits {
  readonly max_concurrent: string | number;
  readonly max_per_second: string | number;
}

function fieldsOf(gateway: GatewayDescription): string[] {
  return [
    ...gateway.credential_fields.map((field) => `credentials.${field.name}`),
    'name',
    'base_url',
    'max_concurrent',
    'max_per_second',
  ];
}

/** The limits that were typed; the connector's own stand for the others. */
function chosenLimits(limits: Limits): { max_concurrent?: number; max_per_second?: number } {
  return {
    ...(limits.max_concurrent !== '' && { max_concurrent: Number(limits.max_concurrent) }),
    ...(limits.max_per_second !== '' && { max_per_second: Number(limits.max_per_second) }),
  };
}

function CredentialInput({
  field,
  held,
  disabled = false,
  value,
  problem,
  onChange,
}: {
  readonly field: CredentialField;
  /** What is there already, masked where it is secret. */
  readonly held?: string | undefined;
  readonly disabled?: boolean;
  readonly value: string;
  readonly problem: string | null;
  readonly onChange: (value: string) => void;
}) {
  const common = {
    label: field.label,
    description:
      held !== undefined && field.secret ? `${field.help} Now ${held}; empty keeps it.` : field.help,
    value,
    disabled,
    error: problem,
    required: field.required && held === undefined,
    spellCheck: false,
  };
  if (field.type === 'secret_lines') {
    return (
      <Textarea
        {...common}
        autosize
        minRows={3}
        maxRows={8}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  if (field.type === 'secret') {
    return (
      <PasswordInput
        {...common}
        aria-invalid={problem !== null}
        autoComplete="new-password"
        visibilityToggleFocusable
        visibilityToggleButtonProps={{ 'aria-label': `Show ${field.label.toLowerCase()}`, type: 'button' }}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  return (
    <TextInput {...common} autoComplete="off" onChange={(event) => onChange(event.currentTarget.value)} />
  );
}

function LimitInputs({
  limits,
  onChange,
  usual,
  problem,
}: {
  readonly limits: Limits;
  readonly onChange: (limits: Limits) => void;
  readonly usual: GatewayDescription['capabilities'] | undefined;
  readonly problem: unknown;
}) {
  return (
    <>
      <NumberInput
        label="Calls at the same time"
        {...(usual && {
          description: `Usually ${usual.max_concurrent}.`,
          placeholder: String(usual.max_concurrent),
        })}
        min={1}
        value={limits.max_concurrent}
        onChange={(value) => onChange({ ...limits, max_concurrent: value })}
        error={fieldProblem(problem, 'max_concurrent')}
      />
      <NumberInput
        label="Calls in one second"
        {...(usual && {
          description: `Usually ${usual.max_per_second}.`,
          placeholder: String(usual.max_per_second),
        })}
        min={1}
        value={limits.max_per_second}
        onChange={(value) => onChange({ ...limits, max_per_second: value })}
        error={fieldProblem(problem, 'max_per_second')}
      />
    </>
  );
}
