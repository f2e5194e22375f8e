import type { Queryable } from '../lib/db.ts';
import { sandbox } from './sandbox/connector.ts';

/** Whether the merchant has no account that is switched on at a gateway which moves real money. */
export async function practisesOnly(db: Queryable, merchantId: string): Promise<boolean> {
  const [row] = await db.query<{ only: boolean }>(
    `select not exists (
       select from gateway_accounts where merchant_id = $1 and gateway <> $2 and enabled
     ) as only`,
    [merchantId, sandbox.name],
  );
  return row!.only;
}
