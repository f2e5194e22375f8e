import { Button, Checkbox, Select, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import type { Batch, BatchKind } from '../../../api/contract/batches.ts';
import { readAgain } from '../../api/batches.ts';
import { useMay } from '../../api/session.ts';
import { Refusal } from '../../parts/act.tsx';
import { Notice } from '../../parts/notice.tsx';
import type { StepProps } from './batch.tsx';
import classes from './batches.module.css';
import { useBatchAct } from './use-batch-act.ts';

/** Our columns, in the words of whoever made the file. */
const FIELDS: Readonly<Record<BatchKind, readonly (readonly [name: string, about: string])[]>> = {
  refunds: [
    ['order_id', 'Order id'],
    ['txn_id', 'Transaction id'],
    ['unique_request_id', 'Your key of the refund'],
    ['amount', 'Amount, in major units'],
    ['amount_minor', 'Amount, in minor units'],
    ['currency', 'Currency'],
    ['note', 'Note'],
    ['refund_type', 'Refund type'],
    ['customer_email', 'Customer’s e-mail'],
  ],
  status_updates: [
    ['refund_id', 'Refund id'],
    ['order_id', 'Order id'],
    ['unique_request_id', 'Your key of the refund'],
    ['status', 'Status: SUCCESS or FAILURE'],
    ['arn', 'ARN'],
    ['evidence', 'Evidence'],
  ],
};

/** The file's columns have other names: a person says which is which. */
export function ColumnsStep({ batch }: StepProps) {
  const mayRun = useMay('batches.run');
  const { busy, problem, run } = useBatchAct();
  const headers = batch.file.columns.map(({ header }) => header);
  const [meant, setMeant] = useState<Readonly<Record<string, string | null>>>(() => known(batch));
  const [remember, setRemember] = useState(false);
  const chosen = Object.entries(meant).filter((pair): pair is [string, string] => pair[1] !== null);

  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void run(() =>
          readAgain(batch.batch_id, {
            columns: Object.fromEntries(chosen.map(([header, field]) => [field, header])),
            save_columns: remember,
          }),
        );
      }}
    >
      <Stack gap="sm">
        <Notice tone="amber" title="The columns of this file have other names than expected">
          <Text size="sm">{batch.problem?.message}</Text>
        </Notice>
        <div className={classes.scroll}>
          <table className={classes.columnsTable} aria-label="Columns of the file">
            <thead>
              <tr>
                <th scope="col">In the file</th>
                <th scope="col">Its first rows</th>
                <th scope="col">Is</th>
              </tr>
            </thead>
            <tbody>
              {batch.file.columns.map(({ header, samples = [] }, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: two columns may have the same header, and none ever moves
                <tr key={`${at} ${header}`}>
                  <th scope="row" className={classes.header}>
                    {header || <i>without a name</i>}
                  </th>
                  <td className={classes.samples}>
                    {samples.map((cell, row) => (
                      // biome-ignore lint/suspicious/noArrayIndexKey: cells are alike and never move
                      <span key={row} className={classes.sample}>
                        {cell || '—'}
                      </span>
                    ))}
                  </td>
                  <td className={classes.choice}>
                    <Select
                      aria-label={`${header || `Column ${at + 1}`} is`}
                      placeholder="only kept and given back"
                      clearable
                      disabled={!mayRun || header === '' || headers.indexOf(header) !== at}
                      value={meant[header] ?? null}
                      onChange={(field) => setMeant((before) => moved(before, header, field))}
                      data={FIELDS[batch.kind].map(([value, about]) => ({
                        value,
                        label: `${value} · ${about}`,
                      }))}
                      maw={330}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <Checkbox
          label="Remember this for later files"
          description="Files with these columns are then read without asking."
          checked={remember}
          disabled={!mayRun}
          onChange={(event) => setRemember(event.currentTarget.checked)}
        />
        <Refusal problem={problem} />
        {mayRun && (
          <div className={classes.row}>
            <Button type="submit" loading={busy} disabled={chosen.length === 0}>
              Read the file with these columns
            </Button>
            <Text size="sm" c="dimmed">
              Then each row is checked. Nothing is sent.
            </Text>
          </div>
        )}
      </Stack>
    </form>
  );
}

/** What the server found by itself. */
function known(batch: Batch): Record<string, string | null> {
  return Object.fromEntries(batch.file.columns.map(({ header, field }) => [header, field]));
}

/** A column of ours is one of the file's at most. */
function moved(
  before: Readonly<Record<string, string | null>>,
  header: string,
  field: string | null,
): Record<string, string | null> {
  const freed = Object.entries(before).map(([other, is]) => [other, is === field ? null : is]);
  return { ...Object.fromEntries(freed), [header]: field };
}
