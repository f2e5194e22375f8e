import type { RestoreReport } from './backup.ts';
import { openGatewayAccess } from './gateways/accounts.ts';
import type { GatewayHttp } from './gateways/gateway.ts';
import type { GatewayRegistry } from './gateways/registry.ts';
import { systemClock } from './lib/clock.ts';
import type { Database } from './lib/db.ts';
import { amountText, exponentOf } from './lib/money.ts';
import { OperatorError } from './lib/operator-error.ts';
import type { Vault } from './lib/vault.ts';
import { type CheckedPayment, checkRestored, readRestored } from './refunds/restored.ts';

/** What a restore did, and what the person who did it has to do now. */
export function restoredPage({ tables, backedUpAt, ...marked }: RestoreReport): string {
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  return `Restored ${rows} rows of ${tables.length} tables.\n${markedPage(marked, backedUpAt)}`;
}

/** What has been done about refunds that may have been sent since `asOf`. */
export function markedPage(
  { marked, paused, secrets }: Pick<RestoreReport, 'marked' | 'paused' | 'secrets'>,
  asOf: Date,
): string {
  return `These are the books as of ${asOf.toISOString()}. ${marked} refunds were under way then: their gateways are asked
before anything is sent. Refunds made since are not in these books. Before a payment's next refund is sent, its gateway
is asked for them; "refundry restore --check" lists them all now.
${paused === 0 ? '' : `${paused} batches had rows left to send. They are paused: rows sent since are in nobody's books here, so look before you resume them.\n`}${secretsPage(secrets)}`;
}

/** What could open a door again that was closed since. */
function secretsPage({ keysAsleep, accounts, endpoints }: RestoreReport['secrets']): string {
  const keys =
    keysAsleep === 0
      ? ''
      : `${keysAsleep} API keys sleep: one that was revoked since would work again. Programs are refused until an admin wakes their
keys (Developers > API keys, or "refundry api-key wake"). Revoke those that nobody knows.\n`;
  const listed = (title: string, names: readonly string[]) =>
    names.length === 0 ? '' : `${title}\n${names.map((name) => `  ${name}\n`).join('')}`;
  return (
    keys +
    listed('Gateway credentials are those of then. What was replaced since, enter again:', accounts) +
    listed(
      'Webhook passwords and secrets are those of then. What was replaced since, replace again:',
      endpoints,
    )
  );
}

/** `refundry restore --check`: a line for each refund that the books should know and do not. Returns how many lines. */
export async function printCheck(
  db: Database,
  vault: Vault,
  reach: { readonly gateways: GatewayRegistry; readonly gatewayHttp: GatewayHttp },
  out: NodeJS.WritableStream,
): Promise<number> {
  const restored = await readRestored(db, systemClock.now());
  if (!restored)
    throw new OperatorError('This database was not restored from a backup within the last year.');
  let lines = 0;
  const deps = {
    db,
    ...reach,
    openAccess: async (id: string) =>
      (await openGatewayAccess({ db, vault, gateways: reach.gateways }, id))?.access ?? null,
  };
  const payments = await checkRestored(deps, restored, (found) => {
    for (const line of linesOf(found)) {
      lines++;
      out.write(`${line}\n`);
    }
  });
  out.write(`Asked for the refunds of ${payments} charged payments.\n`);
  out.write(
    lines === 0
      ? 'The gateways have no refund that these books do not know.\n'
      : 'No further refund of these payments is sent before a person has decided (docs/operating.md).\n',
  );
  return lines;
}

function linesOf({ payment, ...found }: CheckedPayment): string[] {
  const place = `merchant ${payment.merchantId}, order ${payment.orderId}, payment ${payment.gatewayPaymentId}`;
  if (found.kind === 'not_asked') return [`${place}: could not be asked for: ${found.why}.`];
  const left = amountText(payment.remainingMinor, payment.exponent, payment.currency);
  return found.strangers.map(
    ({ news, amountMinor, currency }) =>
      `${place}: ${payment.gateway} has refund ${news.gatewayRefundId} over ` +
      `${amountText(amountMinor, exponentOf(currency) ?? payment.exponent, currency)} (${news.rawStatus}), which is not in these books; ` +
      `they count ${left} as left.`,
  );
}
