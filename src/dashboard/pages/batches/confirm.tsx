import { Button, Radio, Stack, Text, TextInput } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import type { Merchant } from '../../../api/contract/settings.ts';
import { confirmBatch } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { merchantQuery } from '../../api/settings.ts';
import { Refusal } from '../../parts/act.tsx';
import { clearSpellings, decimalsOf, groupDigits, moneyText, readTypedAmount } from '../../parts/amounts.ts';
import { Failed, Loading } from '../../parts/answers.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Facts } from '../../parts/page.tsx';
import { Time } from '../../parts/time.tsx';
import { Decide } from '../approvals/decide.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { useBatchAct } from './use-batch-act.ts';
import { byCurrency, count, lookAlikesOf, things, totalsText, totalsTogether } from './words.ts';

/** What will happen, and the total typed by a person who has read it. */
export function ConfirmStep(props: StepProps) {
  const { batch, onStep } = props;
  const mayRun = useMay('batches.run');
  // What the button says has to hold when it is pressed.
  const merchant = useQuery({ ...merchantQuery, refetchInterval: 5_000 });
  if (batch.status === 'awaiting_approval') {
    return (
      <Stack gap="md" className={classes.narrow}>
        <Confirmed batch={batch} />
        <Decide batch={batch} />
      </Stack>
    );
  }
  if (batch.status !== 'checked' || !batch.check) return <Confirmed batch={batch} />;
  if (batch.check.confirmable_rows + lookAlikesOf(batch) === 0) {
    return (
      <Notice tone="amber" title="No row can be sent as it is">
        <Button size="compact-sm" variant="default" mt={6} onClick={() => onStep('check')}>
          Look at the check
        </Button>
      </Notice>
    );
  }
  if (!mayRun) return <Text>It waits for somebody of operations to confirm it.</Text>;
  if (merchant.isError) return <Failed error={merchant.error} onRetry={() => void merchant.refetch()} />;
  if (!merchant.data) return <Loading rows={4} />;
  return <ConfirmForm key={batch.check.checked_at} {...props} settings={merchant.data.settings} />;
}

function ConfirmForm({ batch, onStep, settings }: StepProps & { readonly settings: Merchant['settings'] }) {
  const check = batch.check!;
  const { busy, problem, run } = useBatchAct();
  const [lookAlikes, setLookAlikes] = useState<'send' | 'leave' | null>(null);
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({});
  const alikeRows = lookAlikesOf(batch);
  const alike = alikeRows > 0;
  const undecided = alike && lookAlikes === null;
  const sendsAlike = lookAlikes === 'send';
  const rows = check.confirmable_rows + (sendsAlike ? alikeRows : 0);
  const totals = sendsAlike ? totalsTogether(check.totals, check.look_alike_totals) : check.totals;
  const asked = wantedOf(batch, rows, totals);
  const ready =
    !undecided && rows > 0 && asked.length > 0 && asked.every((one) => one.reads(typed[one.key] ?? '').right);
  const waits = settings.batch_wait_minutes > 0;
  const approved = settings.batch_approval;

  async function confirm(): Promise<void> {
    if (!ready) return;
    const done = await run(() =>
      confirmBatch(batch.batch_id, {
        ...(batch.kind === 'refunds' ? { totals } : { rows }),
        ...(alike && lookAlikes !== null && { look_alikes: lookAlikes }),
      }),
    );
    if (done) onStep();
  }

  return (
    <form
      className={classes.narrow}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void confirm();
      }}
    >
      <Stack gap="md">
        {alike && (
          <Radio.Group
            label={alikeWords(alikeRows)}
            description="The same amount of the same order once more. Look at them under Check, then say what becomes of them."
            value={lookAlikes}
            onChange={(value) => setLookAlikes(value as 'send' | 'leave')}
          >
            <Stack gap={6} mt={8}>
              <Radio
                value="leave"
                label={`Leave them: ${totalsText(check.look_alike_totals) || count(alikeRows, 'row')} stay unsent`}
              />
              <Radio
                value="send"
                label={`Send them too: ${totalsText(check.look_alike_totals) || count(alikeRows, 'row')} more go out`}
              />
            </Stack>
          </Radio.Group>
        )}
        {!undecided && rows > 0 && (
          <>
            <p className={classes.says}>
              {saysWhat(batch, rows, totals)} {saysWhen(settings)} <b>{finality(batch)}</b>
            </p>
            {asked.map((one) => (
              <TypedTotal
                key={one.key}
                wanted={one}
                typed={typed[one.key] ?? ''}
                onType={(text) => setTyped((before) => ({ ...before, [one.key]: text }))}
              />
            ))}
          </>
        )}
        {!undecided && rows === 0 && <Text size="sm">Without the look-alikes nothing is left to send.</Text>}
        <Refusal problem={problem} />
        <div className={classes.row}>
          <Button type="submit" loading={busy} disabled={!ready}>
            {approved
              ? 'Confirm and ask for approval'
              : waits
                ? `Confirm: start in ${count(settings.batch_wait_minutes, 'minute')}`
                : `Confirm and ${batch.kind === 'refunds' ? 'send' : 'settle'} ${things(batch, rows)}`}
          </Button>
          <Button variant="default" onClick={() => onStep('check')}>
            Back to the check
          </Button>
        </div>
        {undecided && (
          <Text size="sm" c="dimmed">
            Say first what becomes of the look-alikes.
          </Text>
        )}
      </Stack>
    </form>
  );
}

function alikeWords(rows: number): string {
  return rows === 1
    ? '1 row looks like a refund made before, or stands in the file twice'
    : `${rows.toLocaleString()} rows look like refunds made before, or stand in the file twice`;
}

interface Wanted {
  readonly key: string;
  readonly label: string;
  /** The text to be typed, as the page writes it everywhere. */
  readonly shown: string;
  /** Other ways to write just that. */
  readonly alsoWritten: string | null;
  readonly reads: (typed: string) => { readonly right: boolean; readonly problem: string };
}

function wantedOf(batch: Batch, rows: number, totals: Readonly<Record<string, string>>): Wanted[] {
  if (batch.kind === 'status_updates') return [wantedRows(rows)];
  return byCurrency(totals).map(([currency, amount]) => wantedTotal(currency, amount));
}

function wantedTotal(currency: string, amount: string): Wanted {
  const field = { currency, decimals: decimalsOf(amount), example: amount };
  const shown = groupDigits(amount);
  return {
    key: currency,
    label: `Type the total in ${currency}`,
    shown,
    alsoWritten: clearSpellings(amount, field).find((spelling) => spelling !== shown) ?? null,
    reads: (typed) => {
      const reading = readTypedAmount(typed, field);
      if (!reading.ok) return { right: false, problem: reading.message };
      return {
        right: reading.amount === amount,
        problem: `${moneyText(reading.amount, currency)} is not ${moneyText(amount, currency)}.`,
      };
    },
  };
}

function wantedRows(rows: number): Wanted {
  const plain = String(rows);
  const shown = groupDigits(plain);
  return {
    key: 'rows',
    label: 'Type the number of rows',
    shown,
    alsoWritten: plain === shown ? null : plain,
    reads: (typed) => ({
      right: [plain, shown].includes(typed.trim()),
      problem: `${typed.trim()} is not ${shown}.`,
    }),
  };
}

function TypedTotal({
  wanted,
  typed,
  onType,
}: {
  readonly wanted: Wanted;
  readonly typed: string;
  readonly onType: (text: string) => void;
}) {
  const { label, shown, alsoWritten } = wanted;
  const { right, problem } = wanted.reads(typed);
  // While it may still become the total it is not called wrong.
  const onTheWay = [shown, alsoWritten ?? ''].some((text) => text.startsWith(typed.trim()));
  return (
    <TextInput
      label={
        <>
          {label}: <span className={`mono ${classes.exact}`}>{shown}</span>
        </>
      }
      value={typed}
      autoComplete="off"
      inputMode="decimal"
      maxLength={40}
      maw={320}
      onChange={(event) => onType(event.currentTarget.value)}
      error={right || onTheWay ? undefined : problem}
      rightSection={right ? <IconCheck size={16} aria-hidden className={classes.right} /> : null}
      description={
        right ? 'That is the total.' : alsoWritten === null ? undefined : `Or write it as ${alsoWritten}.`
      }
      inputWrapperOrder={['label', 'input', 'description', 'error']}
    />
  );
}

function saysWhat(batch: Batch, rows: number, totals: Readonly<Record<string, string>>): string {
  const left = batch.rows.total - batch.rows.made - batch.rows.refused - rows;
  const rest =
    left > 0
      ? ` ${count(left, 'other row stays', 'other rows stay')} unsent.`
      : ' No row of the file stays out.';
  if (batch.kind === 'status_updates') {
    return `${count(rows, 'refund')} in manual review ${rows === 1 ? 'is' : 'are'} settled as the file says, and your webhooks are told.${rest}`;
  }
  const gateways = [...new Set(batch.check!.by_gateway.map(({ gateway }) => gateway))];
  const through = gateways.length > 0 ? ` through ${gateways.join(', ')}` : '';
  return `${count(rows, 'refund')} of ${totalsText(totals)} in all ${rows === 1 ? 'goes' : 'go'} out${through}.${rest}`;
}

function saysWhen(settings: Merchant['settings']): string {
  const { batch_wait_minutes: minutes, batch_approval: approval, batch_approval_hours: hours } = settings;
  const wait =
    minutes > 0
      ? `nothing is sent for ${count(minutes, 'minute')}, and until then it can be cancelled as a whole.`
      : null;
  if (approval) {
    const then = wait ? ` After that ${wait}` : ' It starts as soon as they have.';
    return `A second person, neither who uploaded nor who confirmed it, has to approve it within ${count(hours, 'hour')}.${then}`;
  }
  return wait
    ? `${wait[0]!.toUpperCase()}${wait.slice(1)}`
    : 'It starts at once; it can be paused, and what has not gone out can be cancelled.';
}

function finality(batch: Batch): string {
  return batch.kind === 'refunds'
    ? 'A refund that has gone out cannot be called back.'
    : 'A settled refund cannot be unsettled here.';
}

/** Who confirmed what. */
export function Confirmed({ batch }: { readonly batch: Batch }) {
  const { confirmation: said } = batch;
  if (!said) return <Text>It has not been confirmed.</Text>;
  return (
    <div className={classes.narrow}>
      <Facts
        facts={[
          [
            'Confirmed',
            `${things(batch, said.rows)}${batch.kind === 'refunds' ? ` of ${totalsText(said.totals)}` : ''}`,
          ],
          [
            'Look-alikes',
            said.look_alikes === null ? null : said.look_alikes === 'send' ? 'sent too' : 'left out',
          ],
          [
            'Confirmed by',
            <>
              {said.confirmed_by.name}, <Time at={said.confirmed_at} exact />
            </>,
          ],
          [
            'Approved by',
            said.approved_by && said.approved_at && (
              <>
                {said.approved_by.name}, <Time at={said.approved_at} exact />
              </>
            ),
          ],
          [
            'To be approved until',
            batch.status === 'awaiting_approval' && said.approval_expires_at && (
              <Time at={said.approval_expires_at} exact />
            ),
          ],
          ['Starts', batch.status === 'waiting' && batch.starts_at && <Time at={batch.starts_at} exact />],
        ]}
      />
    </div>
  );
}
