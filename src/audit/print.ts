import type { Database } from '../lib/db.ts';
import { OperatorError } from '../lib/operator-error.ts';
import type { Vault } from '../lib/vault.ts';
import { readAuditedMerchants } from './store.ts';
import { type AuditCounts, type AuditFault, verifyAudit, type Witness } from './verify.ts';

export const AUDIT_CLEAN = 0;
export const AUDIT_TAMPERED = 3;
const FAULTS_PRINTED = 200;

/**
 * `refundry audit verify`: checks, prints each fault and what was checked to `out`, and returns the status to exit
 * with: 0 where all is as it was written, 3 where something was changed. `progress` gets a line now and then.
 */
export async function printAudit(
  db: Database,
  vault: Vault,
  options: {
    readonly merchantId?: string | undefined;
    readonly witnesses?: readonly Witness[] | undefined;
    readonly progress?: (line: string) => void;
  },
  out: NodeJS.WritableStream,
): Promise<number> {
  if (options.merchantId !== undefined && !(await readAuditedMerchants(db)).includes(options.merchantId)) {
    throw new OperatorError(`There is no merchant ${options.merchantId} in this database.`);
  }
  let printed = 0;
  const report = await verifyAudit(db, vault, {
    merchantId: options.merchantId,
    witnesses: options.witnesses,
    onFault(fault) {
      printed += 1;
      if (printed <= FAULTS_PRINTED) out.write(`${lineOf(fault)}\n`);
    },
    onProgress: (merchantId, counts) => options.progress?.(`${merchantId}: ${checked(counts)}`),
  });
  if (printed > FAULTS_PRINTED) out.write(`… and ${count(printed - FAULTS_PRINTED, 'more fault')}\n`);
  out.write(`Checked ${checked(report)}.\n`);
  for (const { merchantId, checkpointNo, hash } of report.newest) {
    out.write(`Newest checkpoint: ${merchantId}:${checkpointNo}:${hash}\n`);
  }
  if (report.faults > 0) {
    out.write(`${count(report.faults, 'fault')}: this data was changed by something other than Refundry.\n`);
    return AUDIT_TAMPERED;
  }
  out.write('Nothing was changed behind the back of Refundry.\n');
  return AUDIT_CLEAN;
}

/** A checkpoint as `printAudit` names it, merchant:number:hash; null where the text is not one. */
export function parseWitness(text: string): Witness | null {
  const parts = /^([A-Za-z0-9_-]{1,64}):([1-9]\d{0,14}):([0-9a-f]{64})$/i.exec(text.trim());
  return parts && { merchantId: parts[1]!, checkpointNo: Number(parts[2]), hash: parts[3]!.toLowerCase() };
}

function lineOf(fault: AuditFault): string {
  const place = [
    `merchant ${fault.merchantId}`,
    ...(fault.checkpointNo === null ? [] : [`checkpoint ${fault.checkpointNo}`]),
    ...(fault.orderId === null ? [] : [`order ${fault.orderId}`]),
    ...(fault.seq === null ? [] : [`event ${fault.seq}`]),
  ];
  return `${place.join(', ')}: ${fault.sentence}`;
}

function checked({ orders, events, refunds, checkpoints }: AuditCounts): string {
  return `${count(orders, 'order')}, ${count(events, 'event')}, ${count(refunds, 'refund')} and ${count(checkpoints, 'checkpoint')}`;
}

function count(value: number, what: string): string {
  return `${value.toLocaleString('en-US')} ${what}${value === 1 ? '' : 's'}`;
}
