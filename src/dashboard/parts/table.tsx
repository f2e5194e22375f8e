import {
  type ColumnDef,
  columnVisibilityFeature,
  createColumnHelper,
  type RowData,
  tableFeatures,
  useTable,
} from '@tanstack/react-table';
import { type KeyboardEvent, type MouseEvent, useEffect, useRef, useState } from 'react';
import classes from './table.module.css';

const features = tableFeatures({ columnVisibilityFeature });

export type Column<Row extends RowData> = ColumnDef<typeof features, Row> & {
  readonly meta?: {
    readonly align?: 'right';
    readonly width?: number | string;
    /** Left out where the screen is narrow. */
    readonly wideOnly?: true;
  };
};

/** `columnsOf<Order>()` gives the helper that makes a list's columns. */
export function columnsOf<Row extends RowData>() {
  return createColumnHelper<typeof features, Row>();
}

interface Props<Row extends RowData> {
  /** What the table is of, for screen readers: "Orders". */
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: a column's value type is its own
  readonly columns: readonly ColumnDef<typeof features, Row, any>[];
  readonly rows: readonly Row[];
  readonly rowId: (row: Row) => string;
  /** Ids of the columns that are not shown. */
  readonly hidden?: readonly string[];
  /** The row whose details stand open beside the table. */
  readonly openId?: string | null;
  readonly onOpen?: (row: Row) => void;
  /** Where a row's own page is: ⌘click or a middle click opens it. */
  readonly hrefOf?: (row: Row) => string;
  /** One letter does something with the row that has the focus, such as `r` for refunding it. */
  readonly keys?: Readonly<Record<string, (row: Row) => void>>;
  readonly fetching?: boolean;
  /** Cells hold sentences: rows grow with them, and on a phone each row stands as a block of its own. */
  readonly wraps?: boolean;
  /** In such a block each cell says what it is; one without content is left out there, and is a dash elsewhere. */
  readonly labelled?: boolean;
}

/**
 * Rows that are walked by arrow keys and opened by Enter or a click; Home and End go to the ends. One row is in the
 * tab order at a time, so that Tab leaves the table instead of walking through it.
 */
export function DataTable<Row extends RowData>(props: Props<Row>) {
  const {
    name,
    columns,
    rows,
    rowId,
    hidden = [],
    openId,
    onOpen,
    hrefOf,
    keys = {},
    fetching,
    wraps = false,
    labelled = false,
  } = props;
  const table = useTable({
    features,
    columns: columns as ColumnDef<typeof features, Row>[],
    data: rows as Row[],
    getRowId: rowId,
    state: { columnVisibility: Object.fromEntries(hidden.map((id) => [id, false])) },
  });
  const body = useRef<HTMLTableSectionElement>(null);
  const [focusedId, setFocusedId] = useState<string | null>(null);
  const tabStop = rows.some((row) => rowId(row) === focusedId) ? focusedId : rows[0] ? rowId(rows[0]) : null;

  useEffect(() => {
    if (openId) setFocusedId(openId);
  }, [openId]);

  function walk(event: KeyboardEvent<HTMLTableRowElement>, row: Row): void {
    if (event.target !== event.currentTarget || event.metaKey || event.ctrlKey || event.altKey) return;
    const all = [...(body.current?.rows ?? [])];
    const at = all.indexOf(event.currentTarget);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all[Math.max(0, Math.min(to, all.length - 1))]?.focus();
    } else if (event.key === 'Enter' && onOpen) {
      event.preventDefault();
      onOpen(row);
    } else if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]?.(row);
    }
  }

  function click(event: MouseEvent<HTMLTableRowElement>, row: Row): void {
    // Links and buttons in a row are for themselves, and marking text is not a click.
    if ((event.target as Element).closest('a, button, input, label')) return;
    if (window.getSelection()?.toString()) return;
    if ((event.metaKey || event.ctrlKey || event.button === 1) && hrefOf)
      window.open(hrefOf(row), '_blank', 'noopener');
    else if (event.button === 0) onOpen?.(row);
  }

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
    <section className={classes.scroll} aria-busy={fetching} aria-label={`${name}, table`} tabIndex={0}>
      <table
        className={classes.table}
        data-wraps={wraps || undefined}
        data-labelled={labelled || undefined}
        aria-label={name}
      >
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id}>
              {group.headers.map((header) => {
                const meta = header.column.columnDef.meta as Column<Row>['meta'];
                return (
                  <th
                    key={header.id}
                    scope="col"
                    data-align={meta?.align}
                    data-wide-only={meta?.wideOnly}
                    style={{ width: meta?.width }}
                  >
                    {header.isPlaceholder ? null : <table.FlexRender header={header} />}
                  </th>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody ref={body}>
          {table.getRowModel().rows.map((row) => (
            <tr
              key={row.id}
              tabIndex={onOpen ? (row.id === tabStop ? 0 : -1) : undefined}
              data-open={row.id === openId || undefined}
              data-clickable={onOpen ? true : undefined}
              onFocus={() => setFocusedId(row.id)}
              onKeyDown={(event) => walk(event, row.original)}
              onClick={(event) => click(event, row.original)}
              onAuxClick={(event) => click(event, row.original)}
            >
              {row.getVisibleCells().map((cell) => {
                const { meta, header } = cell.column.columnDef as Column<Row>;
                return (
                  <td
                    key={cell.id}
                    data-align={meta?.align}
                    data-wide-only={meta?.wideOnly}
                    data-label={labelled && typeof header === 'string' ? header : undefined}
                  >
                    <table.FlexRender cell={cell} />
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
