import { Checkbox, NumberInput, Text, TextInput } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { WebhookEndpoint } from '../../../api/contract/webhook-endpoints.ts';
import { DEFAULT_SECRET_GRACE_MS, MAX_SECRET_GRACE_MS } from '../../../api/contract/webhook-events.ts';
import {
  changeEndpoint,
  endpointHealthQuery,
  removeEndpoint,
  resendRange,
  rotateSecret,
} from '../../api/webhooks.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { useMoments } from '../../parts/moments.tsx';
import { KeepSecret } from '../../parts/secret.tsx';
import { usePreferences } from '../../preferences.tsx';

interface Props {
  readonly endpoint: WebhookEndpoint;
  readonly onClose: () => void;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Everything on the page that hangs on endpoints. */
function useRefresh(): () => Promise<unknown> {
  const client = useQueryClient();
  return () =>
    Promise.all([
      client.invalidateQueries({ queryKey: ['endpoints'] }),
      client.invalidateQueries({ queryKey: ['deliveries'] }),
    ]);
}

export function RotateSecret({ endpoint, onClose }: Props) {
  const refresh = useRefresh();
  const [hours, setHours] = useState<string | number>(DEFAULT_SECRET_GRACE_MS / HOUR_MS);
  const [secret, setSecret] = useState<string | null>(null);
  if (secret !== null) {
    return (
      <KeepSecret
        title="New signing secret"
        value={secret}
        of="signing secret"
        keepWhere={`Put it where ${endpoint.url} verifies signatures.`}
        onDone={onClose}
      />
    );
  }
  return (
    <Dialog
      title="Rotate the signing secret"
      act="Make a new secret"
      fields={['grace_hours']}
      closesWhenDone={false}
      onClose={onClose}
      onAct={async () => {
        setSecret((await rotateSecret(endpoint.endpoint_id, Number(hours))).signing_secret);
        await refresh();
      }}
    >
      {(problem) => (
        <>
          <Text size="md">
            Messages to {endpoint.url} are signed with both secrets until the time below is over, so that you
            can change the receiver without losing one.
          </Text>
          <NumberInput
            label="Hours that the present secret stays valid"
            description="0 ends it now."
            min={0}
            max={MAX_SECRET_GRACE_MS / HOUR_MS}
            value={hours}
            onChange={setHours}
            error={fieldProblem(problem, 'grace_hours')}
          />
        </>
      )}
    </Dialog>
  );
}

export function ResendRange({
  endpoint,
  onClose,
  onResent,
}: Props & { readonly onResent: (resent: number) => void }) {
  const refresh = useRefresh();
  const { zone } = usePreferences();
  const { toField, fromField } = useMoments();
  const [from, setFrom] = useState(() => toField(new Date(Date.now() - DAY_MS).toISOString()) ?? '');
  // The minute under way counts too.
  const [before, setBefore] = useState(() => toField(new Date(Date.now() + 60_000).toISOString()) ?? '');
  const [onlyFailed, setOnlyFailed] = useState(true);
  const [created_from, created_before] = [fromField(from), fromField(before)];
  return (
    <Dialog
      title="Resend a range"
      act={onlyFailed ? 'Resend what was not acknowledged' : 'Resend all events of the range'}
      disabled={created_from === undefined || created_before === undefined}
      fields={['created_from', 'created_before']}
      onClose={onClose}
      onAct={async () => {
        const { resent } = await resendRange(endpoint.endpoint_id, {
          created_from: created_from!,
          created_before: created_before!,
          only_failed: onlyFailed,
        });
        onResent(resent);
        await refresh();
      }}
    >
      {(problem) => (
        <>
          <Text size="md">
            Events of this time that {endpoint.url} has chosen are sent to it again, also those from before it
            was added or while it was off. Each tells the order as it is now.
          </Text>
          <TextInput
            type="datetime-local"
            label={`From (${zone})`}
            value={from}
            onChange={(event) => setFrom(event.currentTarget.value)}
            error={fieldProblem(problem, 'created_from')}
          />
          <TextInput
            type="datetime-local"
            label={`Before (${zone})`}
            value={before}
            onChange={(event) => setBefore(event.currentTarget.value)}
            error={fieldProblem(problem, 'created_before')}
          />
          <Checkbox
            label="Leave out what was acknowledged"
            checked={onlyFailed}
            onChange={(event) => setOnlyFailed(event.currentTarget.checked)}
          />
        </>
      )}
    </Dialog>
  );
}

export function SwitchEndpoint({ endpoint, onClose }: Props) {
  const refresh = useRefresh();
  const waiting = useQuery(endpointHealthQuery(endpoint.endpoint_id)).data?.waiting ?? 0;
  const [reason, setReason] = useState('');
  if (!endpoint.enabled) {
    return (
      <Dialog
        title="Switch the endpoint on"
        act="Switch on"
        onClose={onClose}
        onAct={async () => {
          await changeEndpoint(endpoint.endpoint_id, { enabled: true });
          await refresh();
        }}
      >
        <Text size="md">
          From now on {endpoint.url} is told of events again. What happened while it was off is not sent by
          itself: use Resend a range for that.
        </Text>
      </Dialog>
    );
  }
  return (
    <Dialog
      title="Switch the endpoint off"
      act="Switch off"
      danger
      fields={['disabled_reason']}
      onClose={onClose}
      onAct={async () => {
        await changeEndpoint(endpoint.endpoint_id, {
          enabled: false,
          ...(reason.trim() && { disabled_reason: reason.trim() }),
        });
        await refresh();
      }}
    >
      {(problem) => (
        <>
          <Text size="md">
            {endpoint.url} is told nothing until it is switched on again. {givenUp(waiting)} What it misses
            can be sent later with Resend a range.
          </Text>
          <TextInput
            label="Reason"
            description="For whoever finds it switched off. May be left empty."
            value={reason}
            maxLength={500}
            onChange={(event) => setReason(event.currentTarget.value)}
            error={fieldProblem(problem, 'disabled_reason')}
          />
        </>
      )}
    </Dialog>
  );
}

export function RemoveEndpoint({ endpoint, onClose }: Props) {
  const refresh = useRefresh();
  const waiting = useQuery(endpointHealthQuery(endpoint.endpoint_id)).data?.waiting ?? 0;
  return (
    <Dialog
      title="Remove the endpoint"
      act="Remove the endpoint"
      danger
      onClose={onClose}
      onAct={async () => {
        await removeEndpoint(endpoint.endpoint_id);
        await refresh();
      }}
    >
      <Text size="md">
        {endpoint.url} is told nothing more. {givenUp(waiting)} Its signing secret is forgotten. Its
        deliveries stay in the log below.
      </Text>
    </Dialog>
  );
}

function givenUp(waiting: number): string {
  if (waiting === 0) return 'Nothing waits for it just now.';
  return waiting === 1
    ? 'The delivery that waits for it is given up.'
    : `The ${waiting} deliveries that wait for it are given up.`;
}
