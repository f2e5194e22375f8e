import { Button, Group, SegmentedControl } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { BYTE_ORDER_MARK, csvRow } from '../../../api/contract/csv.ts';
import { Section } from '../../parts/page.tsx';
import classes from './home.module.css';

/** What a chart draws, as a table. */
export interface Numbers {
  /** The first names what a row is of; the others are counted. */
  readonly columns: readonly string[];
  readonly rows: readonly {
    readonly cells: readonly (string | number)[];
    /** The refunds behind the row, as their list's address has it. */
    readonly search?: RefundSearch;
  }[];
}

export type RefundSearch = Readonly<Record<string, string | undefined>>;

interface Props {
  readonly title: string;
  readonly about?: ReactNode;
  readonly numbers: Numbers;
  /** How its file is called, without its ending. */
  readonly file: string;
  readonly children: ReactNode;
}

/** A chart under its title, or the numbers behind it; these also as a file. */
export function Chart({ title, about, numbers, file, children }: Props) {
  const [shown, setShown] = useState('chart');
  const empty = numbers.rows.length === 0;
  return (
    <Section
      title={title}
      actions={
        <Group gap={6}>
          <SegmentedControl
            size="xs"
            aria-label={`${title}, as`}
            data={[
              { value: 'chart', label: 'Chart' },
              { value: 'table', label: 'Table' },
            ]}
            value={shown}
            onChange={setShown}
          />
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconDownload size={14} />}
            disabled={empty}
            aria-label={`CSV of ${title.toLowerCase()}`}
            onClick={() => download(`${file}.csv`, csvOf(numbers))}
          >
            CSV
          </Button>
        </Group>
      }
    >
      {about && <div className={classes.about}>{about}</div>}
      {empty ? (
        <p className={classes.nothing}>Nothing in this time.</p>
      ) : shown === 'chart' ? (
        <figure className={classes.chart} aria-label={title}>
          {children}
        </figure>
      ) : (
        <NumbersTable title={title} numbers={numbers} />
      )}
    </Section>
  );
}

function NumbersTable({ title, numbers }: { readonly title: string; readonly numbers: Numbers }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
    <section className={classes.scroll} aria-label={`${title}, table`} tabIndex={0}>
      <table className={classes.numbers} aria-label={title}>
        <thead>
          <tr>
            {numbers.columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {numbers.rows.map(({ cells, cells: [name, ...counts], search }) => (
            <tr key={cells.join(' ')}>
              <th scope="row">
                {search ? (
                  <Link to="/operations/refunds" search={search}>
                    {name}
                  </Link>
                ) : (
                  name
                )}
              </th>
              {counts.map((count, at) => (
                <td key={numbers.columns[at + 1]}>
                  {typeof count === 'number' ? count.toLocaleString() : count}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function csvOf({ columns, rows }: Numbers): string {
  return BYTE_ORDER_MARK + [columns, ...rows.map(({ cells }) => cells)].map(csvRow).join('');
}

function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
  const link = Object.assign(document.createElement('a'), { href: address, download: name });
  link.click();
  URL.revokeObjectURL(address);
}
