import { Button, Checkbox, Group, Progress, Text, Textarea } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type {
  GatewayAccount,
  GatewayAccountTest,
  GatewayDescription,
} from '../../../api/contract/gateway-accounts.ts';
import { changeAccount, releaseAccount, testAccount } from '../../api/gateways.ts';
import { Refusal, useAct } from '../../parts/act.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { fieldProblem } from '../../parts/field-problem.ts';
import { Json } from '../../parts/json.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Facts } from '../../parts/page.tsx';
import { Copyable } from '../../parts/secret.tsx';
import { Sign } from '../../parts/status.tsx';
import { durationText, Time, useNow } from '../../parts/time.tsx';
import classes from './gateways.module.css';

/** Pending refunds are counted no further. */
const COUNTED_TO = 10_000;

interface Props {
  readonly account: GatewayAccount;
  readonly gateway: GatewayDescription | undefined;
  readonly mayManage: boolean;
  readonly onEdit: () => void;
}

/** One account: how it does just now, and what can be done with it. */
export function AccountCard({ account, gateway, mayManage, onEdit }: Props) {
  const [switching, setSwitching] = useState(false);
  const nowMs = useNow();
  const { health } = account;
  const label = gateway?.label ?? account.gateway;
  return (
    <article className={classes.account} aria-label={`${label} ${account.name}`}>
      <Group justify="space-between" gap="xs">
        <h2 className={classes.name}>
          {label} <span className={classes.which}>{account.name}</span>
        </h2>
        <Group gap={6}>
          {gateway && !gateway.moves_real_money && <Sign is="off" word="No real money" />}
          <HealthSign account={account} nowMs={nowMs} />
        </Group>
      </Group>
      {account.held && <Held account={account} held={account.held} label={label} mayManage={mayManage} />}
      <Facts
        facts={[
          [
            'Rate used',
            <div key="rate">
              <span className="figure">
                {health.calls_in_last_second} of {account.max_per_second} calls a second
              </span>
              <Progress
                mt={4}
                size="sm"
                value={(100 * health.calls_in_last_second) / account.max_per_second}
                aria-label={`Rate used by ${label} ${account.name}`}
              />
            </div>,
          ],
          ['At the same time', `up to ${account.max_concurrent} calls`],
          [
            'Pending refunds',
            <Link
              key="pending"
              to="/operations/refunds"
              search={{ gateway: account.gateway, status: 'PENDING' }}
            >
              {health.pending_refunds < COUNTED_TO ? health.pending_refunds : `${COUNTED_TO} or more`}
            </Link>,
          ],
          [
            'Tried again',
            health.paused_until && new Date(health.paused_until).getTime() > nowMs && (
              <Time key="paused" at={health.paused_until} exact />
            ),
          ],
          [
            'Last error',
            health.last_error && (
              <span key="error">
                {health.last_error} {health.last_error_at && <Time at={health.last_error_at} />}
              </span>
            ),
          ],
          ...(gateway?.credential_fields ?? [])
            .filter((field) => account.credentials[field.name] !== undefined)
            .map(
              (field) =>
                [
                  field.label,
                  <span key={field.name} className="mono">
                    {account.credentials[field.name]}
                  </span>,
                ] as const,
            ),
          ['Account there', account.identity],
          [
            'Webhook rejected',
            health.webhook_rejected_at && (
              <span key="webhook">
                {health.webhook_rejected_because} <Time at={health.webhook_rejected_at} />
              </span>
            ),
          ],
          ['Address', account.base_url ?? gateway?.base_url],
        ]}
      />
      <div>
        <div className={classes.label}>Address to enter at {label} for its webhooks</div>
        <Copyable value={account.webhook_url} of="webhook address" />
      </div>
      {mayManage && (
        <TestConnection account={account}>
          <Button variant="default" size="compact-sm" onClick={onEdit}>
            Edit
          </Button>
          <Button variant="default" size="compact-sm" onClick={() => setSwitching(true)}>
            {account.enabled ? 'Switch off …' : 'Switch on …'}
          </Button>
        </TestConnection>
      )}
      {switching && <SwitchAccount account={account} label={label} onClose={() => setSwitching(false)} />}
    </article>
  );
}

function HealthSign({ account, nowMs }: { readonly account: GatewayAccount; readonly nowMs: number }) {
  const { failures_in_a_row, paused_until } = account.health;
  if (account.held) return <Sign is="bad" word="Held" detail="nothing is sent" />;
  if (!account.enabled) return <Sign is="off" word="Off" />;
  if (paused_until !== null && new Date(paused_until).getTime() > nowMs) {
    const detail = failures_in_a_row > 0 ? 'calls kept failing' : 'refunds are refused alike';
    return <Sign is="bad" word="Paused" detail={detail} />;
  }
  if (failures_in_a_row > 0) {
    return <Sign is="waits" word="Failing" detail={`${failures_in_a_row} in a row`} />;
  }
  return <Sign is="good" word="No failures" />;
}

/** Why nothing is sent through the account, and the two ways on. */
function Held({
  account,
  held,
  label,
  mayManage,
}: {
  readonly account: GatewayAccount;
  readonly held: NonNullable<GatewayAccount['held']>;
  readonly label: string;
  readonly mayManage: boolean;
}) {
  const [releasing, setReleasing] = useState(false);
  return (
    <Notice tone="red" title="Nothing is sent through this account.">
      <Text size="sm">
        Since <Time at={held.since} exact />. {held.why} Either these books went back in time (a backup, a
        snapshot or a standby): then sending again what they lost would pay twice, and the operator marks them
        with <span className="mono">refundry restore --as-of</span>. Or another installation refunds through
        the same account at {label}.
      </Text>
      <ul>
        {held.refunds.map((refund) => (
          <li key={refund.refund_id}>
            <span className="mono">{refund.gateway_refund_id ?? refund.refund_id}</span>
            {refund.gateway_payment_id && (
              <>
                {' '}
                of payment <span className="mono">{refund.gateway_payment_id}</span>
              </>
            )}
            , told <Time at={refund.heard_at} />
          </li>
        ))}
      </ul>
      {mayManage ? (
        <Button variant="default" size="compact-sm" onClick={() => setReleasing(true)}>
          Release …
        </Button>
      ) : (
        <Text size="sm">Somebody with the role Admin can release it.</Text>
      )}
      {releasing && <ReleaseAccount account={account} label={label} onClose={() => setReleasing(false)} />}
    </Notice>
  );
}

function ReleaseAccount({
  account,
  label,
  onClose,
}: {
  readonly account: GatewayAccount;
  readonly label: string;
  readonly onClose: () => void;
}) {
  const client = useQueryClient();
  const [reason, setReason] = useState('');
  const [shared, setShared] = useState(false);
  return (
    <Dialog
      title={`Release ${label} ${account.name}`}
      act="Release and send"
      danger
      disabled={reason.trim() === ''}
      fields={['reason']}
      onClose={onClose}
      onAct={async () => {
        await releaseAccount(account.gateway_account_id, { reason: reason.trim(), shared });
        await client.invalidateQueries({ queryKey: ['accounts'] });
      }}
    >
      {(problem) => (
        <>
          <Text size="md">
            What waits goes out to {label} at once. Look first whether the refunds that are named are in your
            own lists: what these books lost and somebody asks for again is paid a second time.
          </Text>
          <Textarea
            label="What was found"
            description="Kept for those who read it in years."
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            error={fieldProblem(problem, 'reason')}
            autosize
            minRows={2}
            maxLength={1000}
            required
          />
          <Checkbox
            label="Another installation refunds through the same account"
            description="Its refunds hold this account no more; nor do refunds that these books lose."
            checked={shared}
            onChange={(event) => setShared(event.currentTarget.checked)}
          />
        </>
      )}
    </Dialog>
  );
}

/** Asks the gateway something harmless, and says what was tried and what came back. */
export function TestConnection({
  account,
  children,
}: {
  readonly account: GatewayAccount;
  readonly children?: React.ReactNode;
}) {
  const { busy, problem, run } = useAct();
  const client = useQueryClient();
  const [result, setResult] = useState<GatewayAccountTest | null>(null);
  return (
    <>
      <Group gap="xs">
        <Button
          variant="default"
          size="compact-sm"
          loading={busy}
          onClick={() =>
            void run(async () => {
              setResult(null);
              setResult(await testAccount(account.gateway_account_id));
              await client.invalidateQueries({ queryKey: ['accounts'] });
            })
          }
        >
          Test connection
        </Button>
        {children}
      </Group>
      <div aria-live="polite" className={classes.result}>
        <Refusal problem={problem} />
        {result && <TestResult result={result} />}
      </div>
    </>
  );
}

const OUTCOMES = {
  works: { tone: 'plain', title: 'The connection works.' },
  refused: { tone: 'red', title: 'The gateway does not accept these credentials.' },
  busy: { tone: 'amber', title: 'The gateway is too busy to say.' },
  no_answer: { tone: 'red', title: 'No usable answer came back.' },
} as const;

function TestResult({ result }: { readonly result: GatewayAccountTest }) {
  const { tone, title } = OUTCOMES[result.outcome];
  return (
    <Notice tone={tone} title={title}>
      <Text size="sm">
        Asked: <span className="mono">{result.tried}</span>. {result.says} It took{' '}
        {durationText(result.duration_ms)}.
      </Text>
      {Object.keys(result.answer).length > 0 && (
        <details className={classes.evidence}>
          <summary>What came back</summary>
          <Json value={result.answer} of="answer" />
        </details>
      )}
    </Notice>
  );
}

function SwitchAccount({
  account,
  label,
  onClose,
}: {
  readonly account: GatewayAccount;
  readonly label: string;
  readonly onClose: () => void;
}) {
  const client = useQueryClient();
  const turn = account.enabled ? 'off' : 'on';
  const { pending_refunds: pending } = account.health;
  return (
    <Dialog
      title={`Switch ${label} ${account.name} ${turn}`}
      act={`Switch ${turn}`}
      danger={account.enabled}
      onClose={onClose}
      onAct={async () => {
        await changeAccount(account.gateway_account_id, { enabled: !account.enabled });
        await client.invalidateQueries({ queryKey: ['accounts'] });
      }}
    >
      {account.enabled ? (
        <>
          <Text size="md">
            While it is off nothing is sent to {label} through this account, and nothing is asked of it. What
            its webhooks say is still taken in.
          </Text>
          <Text size="md">
            {pending === 0
              ? 'No refund waits for it just now.'
              : `${pending === 1 ? 'The 1 refund' : `The ${pending} refunds`} of this account that ${pending === 1 ? 'has' : 'have'} no end yet will wait until it is switched on again.`}{' '}
            New refunds of its payments are still accepted, and wait too.
          </Text>
        </>
      ) : (
        <Text size="md">
          {pending === 0
            ? `Refunds of its payments go out to ${label} again.`
            : `What waits (${pending === 1 ? '1 refund' : `${pending} refunds`}) goes out to ${label} at once, as fast as the account's limits allow.`}
        </Text>
      )}
    </Dialog>
  );
}
