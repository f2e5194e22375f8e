import { type Clock, plusMs } from '../lib/clock.ts';
import type { Queryable } from '../lib/db.ts';

/** Something that a person or an API key did, where only another person may do the next thing. */
export interface Deed {
  readonly kind: 'user' | 'key';
  /** Of the person or the key. */
  readonly id: string;
  readonly at: Date;
}

/**
 * How long whoever came in by somebody else's link counts as that one too. The owner of an account from which somebody
 * else has locked them out finds out within a week.
 */
export const STAND_IN_DAYS = 7;
const STAND_IN_MS = STAND_IN_DAYS * 86_400_000;

/**
 * Whether the person who does `by` is another one than whoever did `hands`. A key counts as the person who made it, and
 * whoever came in by a link counts for some days as the one who had made that link too, since that one had it in hand. What
 * the command line of the server made has no person of the team behind it.
 */
export async function isSecondPerson(
  db: Queryable,
  merchantId: string,
  by: Deed,
  hands: readonly Deed[],
): Promise<boolean> {
  const [mine, theirs] = await Promise.all([
    personsBehind(db, merchantId, [by]),
    personsBehind(db, merchantId, hands),
  ]);
  return ![...mine].some((person) => theirs.has(person));
}

/** Everyone who may have had a hand in these deeds, by their user ids. */
async function personsBehind(
  db: Queryable,
  merchantId: string,
  deeds: readonly Deed[],
): Promise<ReadonlySet<string>> {
  const byKeys = deeds.filter(({ kind }) => kind === 'key');
  const makers = new Map(
    byKeys.length === 0
      ? []
      : (await readMakers(db, merchantId, byKeys)).map((maker) => [maker.apiKeyId, maker]),
  );
  const acts = deeds.flatMap(({ kind, id, at }) => {
    if (kind === 'user') return [{ userId: id, at }];
    const maker = makers.get(id);
    // Whoever was in for the maker when the key was made, may have kept it.
    return maker
      ? [
          { userId: maker.madeById, at },
          { userId: maker.madeById, at: maker.createdAt },
        ]
      : [];
  });
  const others = acts.length === 0 ? [] : await readCountsAs(db, merchantId, acts);
  return new Set([...acts.map(({ userId }) => userId), ...others]);
}

/**
 * Writes down that the person comes in by a link which `madeById` had in hand since `madeAt`: from now on and for some days
 * they count as that one too, and as everyone whom that one counted as.
 */
export async function noteStandIn(
  tx: Queryable,
  clock: Clock,
  link: {
    readonly merchantId: string;
    readonly userId: string;
    readonly madeById: string;
    readonly madeAt: Date;
  },
): Promise<void> {
  const { merchantId, userId, madeById, madeAt } = link;
  const others = await readCountsAs(tx, merchantId, [{ userId: madeById, at: madeAt }]);
  const since = clock.now();
  await tx.query(
    `insert into stand_ins (merchant_id, user_id, counts_as_id, since, until)
     select $1, $2, unnest($3::uuid[]), $4, $5`,
    [merchantId, userId, [...new Set([madeById, ...others])], since, plusMs(since, STAND_IN_MS)],
  );
}

// Statements --------------------------------------------------------------------------------------------

interface Act {
  readonly userId: string;
  readonly at: Date;
}

async function readCountsAs(db: Queryable, merchantId: string, acts: readonly Act[]): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    `select distinct s.counts_as_id as id
     from unnest($2::uuid[], $3::timestamptz[]) as a(user_id, at)
     join stand_ins s on s.merchant_id = $1 and s.user_id = a.user_id and s.since <= a.at and a.at < s.until`,
    [merchantId, acts.map(({ userId }) => userId), acts.map(({ at }) => at)],
  );
  return rows.map(({ id }) => id);
}

/** Of those of the keys that a person made. */
async function readMakers(
  db: Queryable,
  merchantId: string,
  keys: readonly Deed[],
): Promise<{ apiKeyId: string; madeById: string; createdAt: Date }[]> {
  return db.query(
    `select api_key_id as "apiKeyId", made_by_id as "madeById", created_at as "createdAt" from api_keys
     where merchant_id = $1 and api_key_id = any($2::uuid[]) and made_by_id is not null`,
    [merchantId, keys.map(({ id }) => id)],
  );
}
