import type pg from 'pg';

/** The program's tables, as far as an auditor reads them. Times are ISO text, bytes are hex. */
export interface RefundRow {
  readonly merchant_id: string;
  readonly order_id: string;
  readonly refund_id: string;
  readonly unique_request_id: string;
  readonly txn_id: string;
  readonly amount_minor: number;
  readonly currency: string;
  readonly state: string;
  readonly unanswered: number;
  readonly gateway: string;
  readonly gateway_account_id: string;
  readonly attention: string | null;
  readonly arn: string | null;
  readonly next_look_at: string | null;
  /** When the gateway is asked again about what has ended. */
  readonly recheck_at: string | null;
  /** Whose books it was first sent to. */
  readonly sent_to: string | null;
  readonly overruled: string | null;
  readonly event_seq: number;
  readonly batch_id: string | null;
  readonly batch_row: number | null;
}

export interface EventRow {
  readonly merchant_id: string;
  readonly order_id: string;
  readonly seq: number;
  readonly body: string;
  readonly hash: string;
}

export interface NotificationRow {
  readonly merchant_id: string;
  readonly order_id: string;
  readonly refund_id: string | null;
  readonly batch_id: string | null;
  readonly event_seq: number;
  readonly event_name: string;
}

export interface TransactionRow {
  readonly merchant_id: string;
  readonly txn_id: string;
  readonly effective_minor: number;
  readonly reserved_minor: number;
}

export interface AttemptRow {
  readonly refund_id: string;
  readonly attempt_no: number;
  readonly idempotency_key: string;
  readonly request_body: string;
}

export interface BatchRow {
  readonly merchant_id: string;
  readonly batch_id: string;
  readonly kind: string;
  readonly status: string;
  readonly event_seq: number;
  readonly rows_confirmed: number;
  readonly rows_made: number;
  readonly rows_refused: number;
  readonly next_step_at: string | null;
}

export interface BatchEventRow {
  readonly batch_id: string;
  readonly seq: number;
  readonly kind: string;
}

export interface BatchFileRow {
  readonly batch_id: string;
  readonly row_no: number;
  readonly unique_request_id: string | null;
  readonly verdict: string;
  readonly state: string;
  readonly problem: { readonly code: string } | null;
}

/** What is new or other than when it was last read. */
export interface Changes {
  readonly refunds: RefundRow[];
  /** By order, then as they follow each other. */
  readonly events: EventRow[];
  readonly notifications: NotificationRow[];
  readonly transactions: TransactionRow[];
  readonly attempts: AttemptRow[];
  readonly batches: BatchRow[];
  readonly batchEvents: BatchEventRow[];
  readonly batchRows: BatchFileRow[];
  /** How many refunds there are. */
  readonly refundCount: number;
}

/**
 * Reads what a world's steps have changed: every version of a row carries the number of the transaction that made it, and
 * in a world one transaction ends before the next begins. What was deleted is not seen by that; `forget` makes the next
 * reading one of everything.
 */
export class OurBooks {
  readonly #client: pg.Client;
  #readUpTo = EVERYTHING;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  forget(): void {
    this.#readUpTo = EVERYTHING;
  }

  async changes(): Promise<Changes> {
    const { rows } = await this.#client.query<{ kind: string; row: unknown }>({
      name: 'changes',
      text: CHANGES,
      values: [this.#readUpTo],
    });
    const of = <Row>(kind: string) => rows.filter((one) => one.kind === kind).map((one) => one.row as Row);
    const [mark] = of<{ up_to: string; refunds: number }>('mark');
    this.#readUpTo = mark!.up_to;
    return {
      refunds: of<RefundRow>('refund'),
      events: of<EventRow>('event').sort(byOrderAndSeq),
      notifications: of<NotificationRow>('notification'),
      transactions: of<TransactionRow>('transaction'),
      attempts: of<AttemptRow>('attempt'),
      batches: of<BatchRow>('batch'),
      batchEvents: of<BatchEventRow>('batch_event').sort((a, b) => a.seq - b.seq),
      batchRows: of<BatchFileRow>('batch_row'),
      refundCount: mark!.refunds,
    };
  }
}

/** What no step has made has a number below it. */
const EVERYTHING = '3';

/** Whether a statement may have changed what is read here; what is missed is seen when everything is read. */
export function mayChangeBooks(text: string, rowCount: number): boolean {
  if (rowCount === 0 && /\breturning\b/i.test(text)) return false;
  return CHANGING.test(text);
}

function byOrderAndSeq(a: EventRow, b: EventRow): number {
  const [one, other] = [`${a.merchant_id} ${a.order_id}`, `${b.merchant_id} ${b.order_id}`];
  return one === other ? a.seq - b.seq : one < other ? -1 : 1;
}

// No older than the transaction of this number.
const NEW = 'age(xmin) <= age($1::xid)';

const CHANGING =
  /\b(move_refunds|(insert into|update|delete from) (orders|refunds|events|notifications|transactions|attempts|batches|batch_))/i;

const CHANGES = `
  select 'mark' as kind, jsonb_build_object('up_to', pg_snapshot_xmax(pg_current_snapshot())::text,
    'refunds', (select count(*) from refunds)) as row
  union all select 'refund', to_jsonb(r) from refunds r where ${NEW}
  union all
  select 'event', jsonb_build_object('merchant_id', merchant_id, 'order_id', order_id, 'seq', seq, 'body', body::text,
    'hash', encode(hash, 'hex')) from events where ${NEW}
  union all select 'notification', to_jsonb(n) from notifications n where ${NEW}
  union all select 'transaction', to_jsonb(t) from transactions t where ${NEW}
  union all
  select 'attempt', jsonb_build_object('refund_id', refund_id, 'attempt_no', attempt_no, 'idempotency_key', idempotency_key,
    'request_body', request ->> 'body') from attempts where ${NEW}
  union all select 'batch', to_jsonb(b) - 'findings' - 'confirmation' from batches b where ${NEW}
  union all
  select 'batch_event', jsonb_build_object('batch_id', batch_id, 'seq', seq, 'kind', kind) from batch_events where ${NEW}
  union all
  select 'batch_row', jsonb_build_object('batch_id', batch_id, 'row_no', row_no, 'verdict', verdict, 'state', state,
    'unique_request_id', unique_request_id, 'problem', problem) from batch_rows where ${NEW}`;
