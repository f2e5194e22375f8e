import { Button, Modal, Stack, Text, TextInput, VisuallyHidden } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { ApiKey, ApiKeyWithSecret } from '../../../api/contract/api-keys.ts';
import { createKey, keysQuery, revokeKey } from '../../api/keys.ts';
import { useMay } from '../../api/session.ts';
import { Refusal, useAct, useInvalidFocus } from '../../parts/act.tsx';
import { Empty, Failed, Loading } from '../../parts/answers.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Page } from '../../parts/page.tsx';
import { Code, KeepSecret } from '../../parts/secret.tsx';
import { Sign } from '../../parts/status.tsx';
import { columnsOf, DataTable } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';

/** The keys that programs call the API with: made, shown once, revoked. */
export function Keys() {
  const keys = useQuery(keysQuery);
  const mayManage = useMay('keys.manage');
  // On a phone the button at the end of a row matters more than when the key was made.
  const hidden = useMediaQuery('(max-width: 48em)') ? ['created_at', 'created_by'] : [];
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);

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
          Programs call the API with these. A key may do all that a person of the role Admin may, except
          managing people. <a href="/docs">API reference</a>
        </>
      }
      actions={create}
    >
      {keys.isPending && <Loading />}
      {keys.isError && <Failed error={keys.error} onRetry={() => void keys.refetch()} />}
      {keys.data?.length === 0 && (
        <Empty title="No program can call the API yet: there is no key.">{create}</Empty>
      )}
      {keys.data && keys.data.length > 0 && (
        <DataTable
          name="API keys"
          columns={columnsWith(mayManage ? setRevoking : null)}
          rows={keys.data}
          rowId={(key) => key.api_key_id}
          hidden={hidden}
          fetching={keys.isFetching}
        />
      )}
      {creating && <CreateKey onClose={() => setCreating(false)} />}
      {revoking && <RevokeKey apiKey={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

const column = columnsOf<ApiKey>();

function columnsWith(onRevoke: ((key: ApiKey) => void) | null) {
  return [
    column.accessor('name', { header: 'Name' }),
    column.accessor('last_four', {
      header: 'Key',
      cell: ({ getValue }) => (
        <span className="mono">
          <span aria-hidden>…</span>
          {getValue()}
        </span>
      ),
    }),
    column.display({
      id: 'state',
      header: 'State',
      cell: ({ row: { original: key } }) =>
        key.revoked_at === null ? (
          <Sign is="good" word="Works" />
        ) : (
          <Sign is="off" word="Revoked" detail={key.revoked_by && `by ${key.revoked_by}`} />
        ),
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
        key.revoked_at === null
          ? onRevoke && (
              <Button
                size="compact-sm"
                variant="default"
                aria-label={`Revoke key ${key.name}`}
                onClick={() => onRevoke(key)}
              >
                Revoke …
              </Button>
            )
          : null,
    }),
  ];
}

function TimeOr({ at, otherwise }: { readonly at: string | null; readonly otherwise: string }) {
  return at === null ? <Quiet>{otherwise}</Quiet> : <Time at={at} />;
}

function Quiet({ children }: { readonly children: string }) {
  return (
    <Text component="span" inherit c="dimmed">
      {children}
    </Text>
  );
}

function CreateKey({ onClose }: { readonly onClose: () => void }) {
  const client = useQueryClient();
  const { busy, problem, run } = useAct();
  const form = useInvalidFocus(problem);
  const [name, setName] = useState('');
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
            setMade(await createKey({ name: name.trim() }));
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
          <Refusal problem={problem} fields={['name']} />
          <Button type="submit" loading={busy} disabled={name.trim() === ''}>
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
        <Code>{`curl -u '${made.key}:' \\\n  ${window.location.origin}/v1/settings`}</Code>
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
