import type { Clock } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';

export interface Merchant {
  readonly merchantId: string;
  readonly name: string;
  readonly settings: MerchantSettings;
  readonly createdAt: Date;
}

/** What a merchant may decide for itself, under the names that the API shows. */
export interface MerchantSettings {
  /** Whether a refund without `amount` gives back all that is left; when false it is refused. */
  readonly full_refund_when_amount_absent: boolean;
  /** Whether people without a second factor may do nothing but set one up. */
  readonly require_second_factor: boolean;
  /** Whether a batch needs a second person's yes before anything of it is sent. */
  readonly batch_approval: boolean;
  /** How long that may take before the batch has to be confirmed anew. */
  readonly batch_approval_hours: number;
  /** How long a batch waits before it starts, in which it can be withdrawn. */
  readonly batch_wait_minutes: number;
}

const DEFAULTS: MerchantSettings = {
  full_refund_when_amount_absent: true,
  require_second_factor: false,
  batch_approval: false,
  batch_approval_hours: 24,
  batch_wait_minutes: 0,
};

/**
 * What stands between one person and the money, each with when a change would turn it off. Times to wait or to decide in
 * are no guards: they ask nobody.
 */
const GUARDS: Partial<{
  readonly [Name in keyof MerchantSettings]: (
    before: MerchantSettings[Name],
    after: MerchantSettings[Name],
  ) => boolean;
}> = {
  require_second_factor: (before, after) => before && !after,
  batch_approval: (before, after) => before && !after,
};

/** The names of the guards that these changes would turn off. */
export function guardsTurnedOff(before: MerchantSettings, changes: Partial<MerchantSettings>): string[] {
  const names = Object.keys(GUARDS) as (keyof typeof GUARDS)[];
  return names.filter((name) => turnsOff(name, before, changes));
}

function turnsOff<Name extends keyof MerchantSettings>(
  name: Name,
  before: MerchantSettings,
  changes: Partial<MerchantSettings>,
): boolean {
  const after = changes[name];
  return after !== undefined && (GUARDS[name]?.(before[name], after) ?? false);
}

/** The stored settings, with defaults where nothing was decided. */
export function settingsOf(stored: Readonly<Record<string, unknown>>): MerchantSettings {
  const decided = Object.entries(DEFAULTS).map(([name, otherwise]) => {
    const value = stored[name];
    return [name, typeof value === typeof otherwise ? value : otherwise];
  });
  return Object.fromEntries(decided) as MerchantSettings;
}

/** Makes a merchant; false, changing nothing, when the id is taken. */
export async function createMerchant(
  db: Queryable,
  clock: Clock,
  input: {
    readonly merchantId: string;
    readonly name: string;
    readonly settings?: Partial<MerchantSettings>;
  },
): Promise<boolean> {
  const rows = await db.query(
    `insert into merchants (merchant_id, name, settings, created_at) values ($1, $2, $3, $4)
     on conflict do nothing returning merchant_id`,
    [input.merchantId, input.name, JSON.stringify(input.settings ?? {}), clock.now()],
  );
  return rows.length === 1;
}

export async function readMerchant(db: Queryable, merchantId: string): Promise<Merchant | null> {
  const rows = await db.query<MerchantRow>('select * from merchants where merchant_id = $1', [merchantId]);
  return rows[0] ? merchantOf(rows[0]) : null;
}

/** Every merchant, the oldest first. */
export async function listMerchants(db: Queryable): Promise<Merchant[]> {
  const rows = await db.query<MerchantRow>('select * from merchants order by created_at, merchant_id');
  return rows.map(merchantOf);
}

/** Sets the given settings and leaves the others; null when there is no such merchant. */
export async function changeMerchantSettings(
  db: Queryable,
  merchantId: string,
  changes: Partial<MerchantSettings>,
): Promise<Merchant | null> {
  const rows = await db.query<MerchantRow>(
    'update merchants set settings = settings || $2::jsonb where merchant_id = $1 returning *',
    [merchantId, JSON.stringify(changes)],
  );
  return rows[0] ? merchantOf(rows[0]) : null;
}

/** Reads the merchant and keeps its settings from changing for the rest of the transaction. */
export async function lockMerchantSettings(tx: Queryable, merchantId: string): Promise<Merchant | null> {
  const rows = await tx.query<MerchantRow>(
    'select * from merchants where merchant_id = $1 for no key update',
    [merchantId],
  );
  return rows[0] ? merchantOf(rows[0]) : null;
}

interface MerchantRow {
  readonly merchant_id: string;
  readonly name: string;
  readonly settings: Record<string, unknown>;
  readonly created_at: Date;
}

function merchantOf(row: MerchantRow): Merchant {
  return {
    merchantId: row.merchant_id,
    name: row.name,
    settings: settingsOf(row.settings),
    createdAt: row.created_at,
  };
}
