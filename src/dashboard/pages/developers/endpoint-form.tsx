import { ActionIcon, Button, Checkbox, Group, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { WebhookEndpoint } from '../../../api/contract/webhook-endpoints.ts';
import {
  DEFAULT_WEBHOOK_EVENTS,
  WEBHOOK_EVENT_NAMES,
  WEBHOOK_EVENTS,
} from '../../../api/contract/webhook-events.ts';
import { changeEndpoint, createEndpoint } from '../../api/webhooks.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Notice } from '../../parts/notice.tsx';
import { KeepSecret } from '../../parts/secret.tsx';

interface Header {
  readonly key: number;
  readonly name: string;
  readonly value: string;
}

/** Adds an endpoint, or changes one. What is kept secret is not shown: left empty, it stays as it is. */
export function EndpointForm({
  endpoint,
  onClose,
}: {
  readonly endpoint: WebhookEndpoint | null;
  readonly onClose: () => void;
}) {
  const client = useQueryClient();
  const [url, setUrl] = useState(endpoint?.url ?? '');
  const [username, setUsername] = useState(endpoint?.username ?? '');
  const [password, setPassword] = useState('');
  const [kept, setKept] = useState(Object.keys(endpoint?.headers ?? {}));
  const [added, setAdded] = useState<readonly Header[]>([]);
  const [events, setEvents] = useState<readonly string[]>(endpoint?.events ?? DEFAULT_WEBHOOK_EVENTS);
  const [secret, setSecret] = useState<string | null>(null);

  const moves = endpoint !== null && originOf(url) !== originOf(endpoint.url);
  const losesSecrets = moves && (endpoint.password !== null || Object.keys(endpoint.headers).length > 0);

  if (secret !== null) {
    return (
      <KeepSecret
        title="Endpoint added"
        value={secret}
        of="signing secret"
        keepWhere={`With it ${url} verifies that messages come from here (header webhook-signature, Standard Webhooks).`}
        onDone={onClose}
      />
    );
  }

  async function save(): Promise<void> {
    const headers = Object.fromEntries(
      added.filter(({ name }) => name.trim() !== '').map(({ name, value }) => [name.trim(), value]),
    );
    const common = { url: url.trim(), username: username.trim() || null, events: [...events] };
    if (endpoint === null) {
      const made = await createEndpoint({ ...common, password: password || null, headers });
      setSecret(made.signing_secret);
    } else {
      const removed = Object.keys(endpoint.headers).filter((name) => moves || !kept.includes(name));
      await changeEndpoint(endpoint.endpoint_id, {
        ...common,
        // Without a user name there is nothing that a password could belong to.
        ...(password ? { password } : common.username === null || moves ? { password: null } : {}),
        headers: { ...Object.fromEntries(removed.map((name) => [name, null])), ...headers },
      });
    }
    await client.invalidateQueries({ queryKey: ['endpoints'] });
  }

  return (
    <Dialog
      title={endpoint ? 'Edit the endpoint' : 'Add an endpoint'}
      act={endpoint ? 'Save the endpoint' : 'Add the endpoint'}
      fields={['url', 'username', 'password', 'events']}
      closesWhenDone={endpoint !== null}
      onClose={onClose}
      onAct={save}
    >
      {(problem) => (
        <Stack gap="md">
          <TextInput
            label="URL"
            description="It has to answer with status 200 within 15 seconds."
            placeholder="https://shop.example.com/hooks/refunds"
            type="url"
            value={url}
            maxLength={2048}
            onChange={(event) => setUrl(event.currentTarget.value)}
            error={fieldProblem(problem, 'url')}
            data-autofocus
          />
          {losesSecrets && (
            <Notice tone="amber" title="This is another host.">
              <Text size="sm">
                The password and the headers of before are not sent to it. Give them again below, or they are
                left out.
              </Text>
            </Notice>
          )}
          <Checkbox.Group
            label="Events"
            description="Each message holds the whole order with all its refunds."
            value={[...events]}
            onChange={setEvents}
            error={fieldProblem(problem, 'events')}
          >
            <Stack gap={8} mt={8}>
              {WEBHOOK_EVENT_NAMES.map((name) => (
                <Checkbox
                  key={name}
                  value={name}
                  size="xs"
                  label={<span className="mono">{name}</span>}
                  description={WEBHOOK_EVENTS[name]}
                />
              ))}
            </Stack>
          </Checkbox.Group>
          <Group grow align="flex-start">
            <TextInput
              label="User name"
              description="For Basic authentication."
              value={username}
              autoComplete="off"
              maxLength={255}
              onChange={(event) => setUsername(event.currentTarget.value)}
              error={fieldProblem(problem, 'username')}
            />
            <PasswordInput
              label="Password"
              description={endpoint?.password && !moves ? 'There is one; empty keeps it.' : 'Kept encrypted.'}
              value={password}
              autoComplete="new-password"
              maxLength={255}
              onChange={(event) => setPassword(event.currentTarget.value)}
              error={fieldProblem(problem, 'password')}
              aria-invalid={fieldProblem(problem, 'password') !== null}
              visibilityToggleButtonProps={{ 'aria-label': 'Show password', type: 'button' }}
              visibilityToggleFocusable
            />
          </Group>
          <Headers kept={moves ? [] : kept} onKept={setKept} added={added} onAdded={setAdded} />
        </Stack>
      )}
    </Dialog>
  );
}

function originOf(url: string): string | null {
  return URL.canParse(url.trim()) ? new URL(url.trim()).origin : null;
}

/** Headers of the merchant's own. The values of those that are there cannot be seen, only replaced or taken away. */
function Headers({
  kept,
  onKept,
  added,
  onAdded,
}: {
  readonly kept: string[];
  readonly onKept: (names: string[]) => void;
  readonly added: readonly Header[];
  readonly onAdded: (headers: readonly Header[]) => void;
}) {
  const change = (key: number, changes: Partial<Header>) =>
    onAdded(added.map((header) => (header.key === key ? { ...header, ...changes } : header)));
  return (
    <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
      <Text component="legend" size="sm" fw={500} p={0}>
        Headers
      </Text>
      <Stack gap={6} mt={4}>
        {kept.map((name) => (
          <Group key={name} gap="xs" justify="space-between">
            <Text size="sm" className="mono">
              {name}: ********
            </Text>
            <Button
              variant="subtle"
              color="gray"
              size="compact-xs"
              onClick={() => onKept(kept.filter((other) => other !== name))}
            >
              Remove header {name}
            </Button>
          </Group>
        ))}
        {added.map((header) => (
          <Group key={header.key} gap="xs" wrap="nowrap">
            <TextInput
              aria-label="Header name"
              placeholder="X-Route"
              size="xs"
              value={header.name}
              maxLength={64}
              onChange={(event) => change(header.key, { name: event.currentTarget.value })}
            />
            <TextInput
              aria-label="Header value"
              placeholder="refunds"
              size="xs"
              flex={1}
              value={header.value}
              maxLength={1024}
              onChange={(event) => change(header.key, { value: event.currentTarget.value })}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label="Take this header away"
              onClick={() => onAdded(added.filter(({ key }) => key !== header.key))}
            >
              <IconX size={15} />
            </ActionIcon>
          </Group>
        ))}
        <div>
          <Button
            variant="subtle"
            size="compact-xs"
            onClick={() =>
              onAdded([
                ...added,
                { key: Math.max(0, ...added.map(({ key }) => key)) + 1, name: '', value: '' },
              ])
            }
          >
            Add a header
          </Button>
        </div>
      </Stack>
    </fieldset>
  );
}
