import type { Queryable } from '../lib/db.ts';

/** No further is counted: what a person needs to know is that it is very many. */
export const MOST_COUNTED = 10_000;

/** How many refunds of each account have no end yet. Accounts without any are left out. */
export async function countPending(
  db: Queryable,
  gatewayAccountIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await db.query<{ id: string; count: number }>(
    `select a.id, c.count from unnest($1::text[]) a(id)
     cross join lateral (
       select count(*) from (
         select 1 from refunds r
         where r.gateway_account_id = a.id and r.next_look_at is not null limit $2) counted) c
     where c.count > 0`,
    [gatewayAccountIds, MOST_COUNTED],
  );
  return new Map(rows.map(({ id, count }) => [id, count]));
}
