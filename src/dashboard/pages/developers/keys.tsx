import {
  Button,
  Checkbox,
  Group,
  Modal,
  NativeSelect,
  Radio,
  Stack,
  Text,
  TextInput,
  VisuallyHidden,
} from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import {
  type ApiKey,
  type ApiKeyWithSecret,
  DEFAULT_KEY_PERMISSIONS,
  KEY_PERMISSION_WORDS,
} from '../../../api/contract/api-keys.ts';
import { createKey, keysQuery, revokeKey, wakeKey } from '../../api/keys.ts';
import { useMay, useMe } from '../../api/session.ts';
import { Refusal, useAct, useInvalidFocus } from '../../parts/act.tsx';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Notice } from '../../parts/notice.tsx';
import { Page } from '../../parts/page.tsx';
import { Code, KeepSecret } from '../../parts/secret.tsx';
import { Sign } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';

/** The keys that programs call the API with: made for something, shown once, woken after a restore, revoked. */
export function Keys() {
  const keys = useQuery(keysQuery);
  const mayManage = useMay('keys.manage');
  // On a phone the button at the end of a row matters more than when the key was made.
  const hidden = useMediaQuery('(max-width: 48em)') ? ['created_at', 'created_by'] : [];
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const [waking, setWaking] = useState<readonly ApiKey[] | null>(null);
  const asleep = (keys.data ?? []).filter(isAsleep);

  const create = (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setCreating(true)} disabled={!mayManage}>
      Create key
    </Button>
  );
  return (
    <Page
      title="API keys"
      about={
        <>
          Programs call the API with these. A key may do what it was made for and nothing else: never manage
          people or keys, nor be the second person. <a href="/docs">API reference</a>
        </>
      }
      actions={create}
    >
      {keys.isPending && <Loading />}
      {keys.isError && <Failed error={keys.error} onRetry={() => void keys.refetch()} />}
      {keys.data?.length === 0 && (
        <Empty title="No program can call the API yet: there is no key.">{create}</Empty>
      )}
      {asleep.length > 0 && (
        <Notice
          tone="amber"
          title={`${asleep.length === 1 ? 'One key sleeps' : `${asleep.length} keys sleep`} since the books were restored from a backup.`}
        >
          <Text size="sm" mb="xs">
            Their programs are refused with 401. One that was revoked after the backup would work again: wake
            those that you know, and revoke the others.
          </Text>
          {mayManage && asleep.length > 1 && (
            <Button size="compact-sm" variant="default" onClick={() => setWaking(asleep)}>
              Wake all {asleep.length} …
            </Button>
          )}
        </Notice>
      )}
      {keys.data && keys.data.length > 0 && (
        <DataTable
          name="API keys"
          columns={columnsWith(mayManage ? { revoke: setRevoking, wake: (key) => setWaking([key]) } : null)}
          wraps
          rows={keys.data}
          rowId={(key) => key.api_key_id}
          hidden={hidden}
          fetching={keys.isFetching}
        />
      )}
      {creating && <CreateKey onClose={() => setCreating(false)} />}
      {revoking && <RevokeKey apiKey={revoking} onClose={() => setRevoking(null)} />}
      {waking && <WakeKeys asleep={waking} onClose={() => setWaking(null)} />}
    </Page>
  );
}

const column = columnsOf<ApiKey>();

interface Acts {
  readonly revoke: (key: ApiKey) => void;
  readonly wake: (key: ApiKey) => void;
}

function columnsWith(acts: Acts | null) {
  return [
    column.accessor('name', { header: 'Name' }),
    column.accessor('last_four', {
      header: 'Key',
      cell: ({ getValue }) => (
        <span className="mono" style={{ whiteSpace: 'nowrap' }}>
          <span aria-hidden>…</span>
          {getValue()}
        </span>
      ),
    }),
    column.display({
      id: 'state',
      header: 'State',
      cell: ({ row: { original: key } }) => <State of={key} />,
    }),
    column.accessor('permissions', {
      header: 'May',
      cell: ({ getValue }) => sentenceOf(getValue()),
    }),
    column.accessor('last_used_at', {
      header: 'Last used',
      cell: ({ getValue }) => <TimeOr at={getValue()} otherwise="never" />,
    }),
    column.accessor('created_at', { header: 'Created', cell: ({ getValue }) => <Time at={getValue()} /> }),
    column.accessor('created_by', {
      header: 'Created by',
      cell: ({ getValue }) => getValue() ?? <Quiet>the program</Quiet>,
    }),
    column.display({
      id: 'actions',
      header: () => <VisuallyHidden>Actions</VisuallyHidden>,
      meta: { align: 'right' },
      cell: ({ row: { original: key } }) =>
        key.revoked_at === null && acts ? (
          <Group gap={6} justify="flex-end" wrap="nowrap">
            {isAsleep(key) && (
              <Button
                size="compact-sm"
                variant="default"
                aria-label={`Wake key ${key.name}`}
                onClick={() => acts.wake(key)}
              >
                Wake …
              </Button>
            )}
            <Button
              size="compact-sm"
              variant="default"
              aria-label={`Revoke key ${key.name}`}
              onClick={() => acts.revoke(key)}
            >
              Revoke …
            </Button>
          </Group>
        ) : null,
    }),
  ];
}

function isAsleep({ asleep_since, revoked_at }: ApiKey): boolean {
  return asleep_since !== null && revoked_at === null;
}

function State({ of: key }: { readonly of: ApiKey }) {
  if (key.revoked_at !== null) {
    return <Sign is="off" word="Revoked" detail={key.revoked_by && `by ${key.revoked_by}`} />;
  }
  const expired = key.expires_at !== null && new Date(key.expires_at) <= new Date();
  if (!expired && isAsleep(key)) return <Sign is="waits" word="Sleeps" detail="since a restore" />;
  return (
    <>
      {expired ? <Sign is="off" word="Expired" /> : <Sign is="good" word="Works" />}
      {key.expires_at !== null && (
        <Quiet>
          {' '}
          {expired ? '' : 'until '}
          <Time at={key.expires_at} />
        </Quiet>
      )}
    </>
  );
}

/** What a key may do, in words: a shop's server's needs as one of them. */
function sentenceOf(given: ApiKey['permissions']): string {
  const shop = DEFAULT_KEY_PERMISSIONS.every((word) => given.includes(word));
  const more = KEY_PERMISSION_WORDS.filter(
    ({ name }) => given.includes(name) && !(shop && DEFAULT_KEY_PERMISSIONS.includes(name)),
  );
  if (more.length === KEY_PERMISSION_WORDS.length - DEFAULT_KEY_PERMISSIONS.length && shop) {
    return 'Everything that a key can be given';
  }
  const words = [...(shop ? ['do what a shop’s server needs'] : []), ...more.map(({ may }) => may)];
  const text = words.join(', ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function TimeOr({ at, otherwise }: { readonly at: string | null; readonly otherwise: string }) {
  return at === null ? <Quiet>{otherwise}</Quiet> : <Time at={at} />;
}

function Quiet({ children }: { readonly children: ReactNode }) {
  return (
    <Text component="span" inherit c="dimmed">
      {children}
    </Text>
  );
}

const LIVES = [
  { label: 'Until it is revoked', value: '' },
  { label: '30 days', value: '30' },
  { label: '90 days', value: '90' },
  { label: 'One year', value: '365' },
];
const DAY_MS = 86_400_000;

function CreateKey({ onClose }: { readonly onClose: () => void }) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const form = useInvalidFocus(problem);
  const mine = useMe().permissions;
  const [name, setName] = useState('');
  const [kind, setKind] = useState('shop');
  const [chosen, setChosen] = useState<readonly ApiKey['permissions'][number][]>([]);
  const [days, setDays] = useState('');
  const [made, setMade] = useState<ApiKeyWithSecret | null>(null);
  if (made) return <NewKey made={made} onDone={onClose} />;

  return (
    <Modal opened onClose={onClose} title="Create key" closeButtonProps={{ 'aria-label': 'Close' }}>
      <form
        ref={form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void run(async () => {
            setMade(
              await createKey({
                name: name.trim(),
                ...(kind === 'chosen' && { permissions: [...chosen] }),
                ...(days !== '' && {
                  expires_at: new Date(Date.now() + Number(days) * DAY_MS).toISOString(),
                }),
              }),
            );
            void client.invalidateQueries({ queryKey: ['keys'] });
          });
        }}
      >
        <Stack gap="md">
          <TextInput
            label="What uses it"
            description="The name stands in the request log, and at every refund that is made with the key."
            placeholder="Order service"
            value={name}
            maxLength={100}
            error={fieldProblem(problem, 'name')}
            onChange={(event) => setName(event.currentTarget.value)}
            data-autofocus
          />
          <Radio.Group
            label="What it may do"
            description="It cannot be changed later. Where a second person is asked for, the key counts as you."
            value={kind}
            onChange={setKind}
          >
            <Stack gap={8} mt={8}>
              <Radio
                value="shop"
                label="What a shop’s server needs"
                description="Tell of orders and payments, refund them, cancel and follow refunds, run files of refunds. Nothing about people, keys, settings, gateways or webhooks."
              />
              <Radio value="chosen" label="Only what is chosen here" />
            </Stack>
          </Radio.Group>
          {kind === 'chosen' && (
            <Checkbox.Group
              label="It may"
              value={[...chosen]}
              onChange={(names) =>
                setChosen(KEY_PERMISSION_WORDS.map(({ name }) => name).filter((word) => names.includes(word)))
              }
            >
              <Stack gap={6} mt={6}>
                {KEY_PERMISSION_WORDS.filter(({ name }) => mine.includes(name)).map(({ name, may }) => (
                  <Checkbox key={name} value={name} label={may} />
                ))}
              </Stack>
            </Checkbox.Group>
          )}
          <NativeSelect
            label="It works"
            data={LIVES}
            value={days}
            onChange={(event) => setDays(event.currentTarget.value)}
          />
          <Refusal problem={problem} fields={['name']} />
          <Button
            type="submit"
            loading={busy}
            disabled={name.trim() === '' || (kind === 'chosen' && chosen.length === 0)}
          >
            Create key
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}

function NewKey({ made, onDone }: { readonly made: ApiKeyWithSecret; readonly onDone: () => void }) {
  return (
    <KeepSecret
      title={`Key ${made.name}`}
      value={made.key}
      of="key"
      keepWhere="Refundry has only its fingerprint. Put it where your program keeps its secrets, never into a web page or an app."
      onDone={onDone}
    >
      <div>
        <Text size="sm" mb={6}>
          Try it. The key is the user name of Basic authentication; there is no password.
        </Text>
        <Code>{`curl -u '${made.key}:' \\\n  ${window.location.origin}/v1/me`}</Code>
      </div>
    </KeepSecret>
  );
}

function RevokeKey({ apiKey, onClose }: { readonly apiKey: ApiKey; readonly onClose: () => void }) {
  const client = useQueryClient();
  return (
    <Dialog
      title={`Revoke key ${apiKey.name}`}
      act={`Revoke key ${apiKey.name}`}
      danger
      onClose={onClose}
      onAct={async () => {
        await revokeKey(apiKey);
        await client.invalidateQueries({ queryKey: ['keys'] });
      }}
    >
      <Text size="md">
        Within five seconds every request with the key ending in{' '}
        <span className="mono">{apiKey.last_four}</span> is refused with 401. Refunds that were made with it
        go on.
      </Text>
      <Text size="md">
        {apiKey.last_used_at === null ? (
          'No program has used it so far.'
        ) : (
          <>
            Last used: <Time at={apiKey.last_used_at} />. Whatever uses it needs another key first.
          </>
        )}
      </Text>
      <Text size="md">A revoked key cannot be brought back.</Text>
    </Dialog>
  );
}

function WakeKeys({ asleep, onClose }: { readonly asleep: readonly ApiKey[]; readonly onClose: () => void }) {
  const client = useQueryClient();
  const act = asleep.length === 1 ? `Wake key ${asleep[0]!.name}` : `Wake ${asleep.length} keys`;
  return (
    <Dialog
      title={act}
      act={act}
      onClose={onClose}
      onAct={async () => {
        try {
          for (const key of asleep) await wakeKey(key);
        } finally {
          await client.invalidateQueries({ queryKey: ['keys'] });
        }
      }}
    >
      <Text size="md">
        Your books come from a backup, and so {asleep.length === 1 ? 'does this key' : 'do these keys'}: it is
        not known whether {asleep.length === 1 ? 'it was' : 'one of them was'} revoked since.
      </Text>
      <ul>
        {asleep.map((key) => (
          <li key={key.api_key_id}>
            {key.name}, ending in <span className="mono">{key.last_four}</span>, made by{' '}
            {key.created_by ?? 'the program'}
          </li>
        ))}
      </ul>
      <Text size="md">Wake only what you know to be in use. It works again at once.</Text>
    </Dialog>
  );
}
