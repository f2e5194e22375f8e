import { Button, Text } from '@mantine/core';
import { IconDownload, IconRefresh, IconUpload } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import type { Batch } from '../../../api/contract/batches.ts';
import { checkAgain, failedHref, sendCorrected } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Refusal } from '../../parts/act.tsx';
import { Money } from '../../parts/money.tsx';
import { Notice } from '../../parts/notice.tsx';
import { Section } from '../../parts/page.tsx';
import { Time } from '../../parts/time.tsx';
import { Bar } from './bar.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { COLUMNS_OF, Rows, type RowsTab } from './rows.tsx';
import { useBatchAct } from './use-batch-act.ts';
import { byCurrency, bytesText, count, lookAlikesOf } from './words.ts';

/** What each row is worth before anything is sent. */
export function CheckStep(props: StepProps) {
  const { batch, onStep } = props;
  const mayRun = useMay('batches.run');
  const mayExport = useMay('batches.export');
  if (batch.status === 'checking' || !batch.check) return <Checking batch={batch} />;
  const { good, look_alike, bad } = batch.rows;
  const { check } = batch;
  const sendable = check.confirmable_rows + lookAlikesOf(batch);
  return (
    <>
      {batch.problem && (
        <Notice tone="red" title="The corrected file could not be read; the rows are as they were before it">
          <Text size="sm">{batch.problem.message}</Text>
        </Notice>
      )}
      {batch.file.other_sheets.length > 0 && batch.file.sheet !== null && (
        <Text size="sm" mb="xs">
          Only the sheet “{batch.file.sheet}” was read. Not read:{' '}
          {batch.file.other_sheets
            .map(({ name, hidden }) => `“${name}”${hidden ? ' (hidden)' : ''}`)
            .join(', ')}
          .
        </Text>
      )}
      <dl className={classes.figures}>
        <Figure name="Good" tone="good" rows={good} amounts={check.totals} />
        <Figure name="Look-alikes" tone="waits" rows={look_alike} amounts={check.look_alike_totals} />
        <Figure name="Bad" tone="bad" rows={bad} amounts={{}} />
      </dl>
      <div className={classes.row}>
        {batch.status === 'checked' && mayRun && (
          <Button disabled={sendable === 0} onClick={() => onStep('confirm')}>
            {bad === 0 || sendable === 0 ? 'Go on to confirm' : `Go on without the ${count(bad, 'bad row')}`}
          </Button>
        )}
        {bad > 0 && mayExport && (
          <Button
            variant="default"
            component="a"
            href={failedHref(batch.batch_id)}
            download
            leftSection={<IconDownload size={15} />}
          >
            Download failed rows
          </Button>
        )}
        {batch.status === 'checked' && mayRun && bad > 0 && <Corrected batch={batch} />}
        {batch.status === 'checked' && mayRun && <CheckAgain batch={batch} />}
      </div>
      {batch.status === 'checked' && sendable === 0 && (
        <Text size="sm" mt="xs">
          No row can be sent as it is: download the failed rows, correct them and upload them here.
        </Text>
      )}
      <Text size="sm" c="dimmed" mt="xs">
        Checked <Time at={check.checked_at} />. Nothing {batch.started_at ? 'of it was' : 'is'} sent by
        checking; every row is looked at once more at the moment it is sent.
      </Text>

      <div className={classes.pair}>
        {batch.kind === 'refunds' && check.by_gateway.length > 0 && (
          <Section title={look_alike > 0 ? 'By gateway, look-alikes counted in' : 'By gateway'}>
            <div className={classes.scroll}>
              <table className={classes.small} aria-label="By gateway and currency">
                <thead>
                  <tr>
                    <th scope="col">Gateway</th>
                    <th scope="col" data-align="right">
                      Rows
                    </th>
                    <th scope="col" data-align="right">
                      Amount
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {sorted(check.by_gateway).map((line) => (
                    <tr key={`${line.gateway} ${line.currency}`}>
                      <th scope="row">{line.gateway}</th>
                      <td data-align="right">{line.rows.toLocaleString()}</td>
                      <td data-align="right">
                        <Money amount={line.amount} currency={line.currency} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </Section>
        )}
        {check.problems.length > 0 && (
          <Section title="Problems">
            <ul className={classes.problems}>
              {check.problems.map((problem) => (
                <li key={problem.code}>
                  <span className={classes.problemCount}>{problem.rows.toLocaleString()}</span>
                  <span>{problem.message}</span>
                  <span className={`mono ${classes.problemCode}`}>{problem.code}</span>
                </li>
              ))}
            </ul>
          </Section>
        )}
      </div>
      <Section title="Rows">
        <Rows {...props} tabs={tabsOf(batch)} />
      </Section>
    </>
  );
}

type ByGateway = NonNullable<Batch['check']>['by_gateway'];

function sorted(lines: ByGateway): ByGateway {
  const key = (line: ByGateway[number]) => `${line.gateway} ${line.currency}`;
  return lines.toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
}

function Checking({ batch }: { readonly batch: Batch }) {
  const { total, checked } = batch.rows;
  const reading = checked === 0;
  return (
    <div className={classes.narrow}>
      <Bar name="Checking rows" done={checked} of={reading ? null : total}>
        {reading ? (
          <>
            <b>{count(total, 'row')}</b> read so far
          </>
        ) : (
          <>
            <b>{checked.toLocaleString()}</b> of {count(total, 'row')} checked
          </>
        )}
      </Bar>
      <Text size="sm" c="dimmed" mt="sm">
        Each row is compared with its order: whether it exists and was paid, what is left of it with the
        file’s other rows counted in, whether it was refunded before. Nothing is sent. You may leave this
        page.
      </Text>
    </div>
  );
}

function Figure({
  name,
  tone,
  rows,
  amounts,
}: {
  readonly name: string;
  readonly tone: 'good' | 'waits' | 'bad';
  readonly rows: number;
  readonly amounts: Readonly<Record<string, string>>;
}) {
  return (
    <div className={classes.figure} data-tone={rows > 0 ? tone : undefined}>
      <dt>{name}</dt>
      <dd>
        <span className={classes.figureRows}>{count(rows, 'row')}</span>
        {byCurrency(amounts).map(([currency, amount]) => (
          <Money key={currency} amount={amount} currency={currency} />
        ))}
      </dd>
    </div>
  );
}

function tabsOf(batch: Batch): RowsTab[] {
  const { bad, look_alike, total } = batch.rows;
  const columns = COLUMNS_OF[batch.kind];
  const tabs: RowsTab[] = [
    {
      value: 'bad',
      label: 'Bad',
      count: bad,
      filter: { verdict: 'bad' },
      columns: columns.bad,
      empty: 'No row is bad.',
    },
    {
      value: 'look-alikes',
      label: 'Look-alike',
      count: look_alike,
      filter: { verdict: 'look_alike' },
      columns: columns.alike,
      empty: 'No row looks like a refund made before.',
    },
    {
      value: 'all',
      label: 'All',
      count: total,
      filter: {},
      columns: columns.checked,
      empty: 'The file has no rows.',
    },
  ];
  return bad > 0 ? tabs : look_alike > 0 ? [tabs[1]!, tabs[0]!, tabs[2]!] : tabs.toReversed();
}

function CheckAgain({ batch }: { readonly batch: Batch }) {
  const { busy, problem, run } = useBatchAct();
  return (
    <>
      <Button
        variant="default"
        loading={busy}
        leftSection={<IconRefresh size={15} />}
        onClick={() => void run(() => checkAgain(batch.batch_id))}
      >
        Check again
      </Button>
      <Refusal problem={problem} />
    </>
  );
}

/** Rows that were corrected take the place of those that they name. */
export function Corrected({ batch }: { readonly batch: Batch }) {
  const input = useRef<HTMLInputElement>(null);
  const [sent, setSent] = useState<{ readonly bytes: number; readonly of: number } | null>(null);
  const { busy, problem, run } = useBatchAct();

  async function send(file: File): Promise<void> {
    setSent({ bytes: 0, of: file.size });
    await run(() => sendCorrected(batch.batch_id, file, (bytes) => setSent({ bytes, of: file.size })));
    setSent(null);
  }

  return (
    <>
      <Button
        variant="default"
        loading={busy}
        leftSection={<IconUpload size={15} />}
        onClick={() => input.current?.click()}
      >
        Upload corrected file
      </Button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label="Corrected file"
        accept=".csv,.tsv,.txt,.xlsx,text/csv,application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = '';
          if (file) void send(file);
        }}
      />
      {sent && (
        <Text size="sm" role="status">
          {bytesText(Math.min(sent.bytes, sent.of))} of {bytesText(sent.of)} sent
        </Text>
      )}
      {problem !== null && (
        <div className={classes.whole}>
          <Notice tone="plain" title="The corrected file was not taken; the rows are as they were." />
          <Refusal problem={problem} />
        </div>
      )}
    </>
  );
}
