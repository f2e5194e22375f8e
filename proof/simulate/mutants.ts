import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BrokenInvariant, type Figures, type Proof, type ProofRun } from '../proof.ts';
import type { FaultName } from './faults.ts';
import type * as Simulation from './simulate.ts';
import { onServer } from './simulate.ts';

/** A fault put into a copy of the program on purpose, which the simulation has to find. A new one joins by a row here. */
interface Mutant {
  readonly name: string;
  readonly changes: readonly {
    /** From the root of the project. */
    readonly file: string;
    /** Stands there once. */
    readonly was: string;
    readonly is: string;
  }[];
  /** The only kinds of faults that it is looked for with; otherwise those of each seed, among which it would show too rarely. */
  readonly faults?: readonly FaultName[];
}

function mutant(name: string, file: string, was: string, is: string): Mutant {
  return { name, changes: [{ file, was, is }] };
}

const OUTCOME = 'src/refunds/outcome.ts';
const STORE = 'src/refunds/store.ts';
const DECIDE = 'src/batches/decide.ts';
const RUN = 'src/batches/run.ts';
const ANSWERS = 'src/gateways/answers.ts';
const JUDGE = 'src/refunds/judge.ts';

const SETTLED_WRONGLY: readonly FaultName[] = [
  'resolved by a person',
  'resolved wrongly by a person',
  'insisted against the gateway',
  'confirmed by who proposed it',
  'pending for ever',
  'lost after the gateway did it',
  'look-up that fails',
];

const NO_ROOM_CHECK = {
  file: JUDGE,
  was: "if (leftMinor === 0 || amountMinor > leftMinor) return 'amount_exceeds_rest';",
  is: '',
};

export const MUTANTS: readonly Mutant[] = [
  // What may be sent, and when
  mutant(
    'a key lives for ever',
    OUTCOME,
    'refund.keyUsedAt === null || at.now.getTime() + KEY_LIFE_MARGIN_MS < refund.keyUsedAt.getTime() + life',
    'refund.keyUsedAt === null || true',
  ),
  mutant(
    'absences at any pace count',
    OUTCOME,
    `if (refund.absenceCountsAt !== null && askedAt < refund.absenceCountsAt)
    return { lookLater: refund.absenceCountsAt };

  const absences`,
    'const absences',
  ),
  mutant('one absence proves', OUTCOME, 'absences < proof.answers', 'absences < 1'),
  mutant(
    'an unanswered send is made again',
    OUTCOME,
    "case 'unknown':\n      return toUnknown(refund, answer.why, answer.evidence, at);",
    "case 'unknown':\n      return { to: 'queued', kind: 'refund.not_sent', set: { next_look_at: backoff }, evidence: answer.evidence, notify: [] };",
  ),
  mutant(
    'a lost hold is sent again',
    OUTCOME,
    "return toUnknown(refund, 'The program stopped while the gateway was being asked.', null, at);",
    "return { to: 'queued', kind: 'refund.not_sent', set: { next_look_at: at.now }, evidence: null, notify: [] };",
  ),
  mutant(
    'a stalled worker sends when its hold may be over',
    'src/refunds/submit.ts',
    'deps.clock.now().getTime() > lastMoment',
    'lastMoment < 0',
  ),
  mutant(
    'a worker sends without having written that it does',
    'src/refunds/submit.ts',
    'if (!refund) return null;',
    'if (!refund) return send(deps, { ...claimed, sends: claimed.sends + 1 }, request, access);',
  ),
  mutant(
    'a worker that stood still sends what was stopped meanwhile',
    'src/refunds/submit.ts',
    'if (at.now >= claimed.nextLookAt!) return null;',
    'if (at.now < claimed.createdAt) return null;',
  ),
  mutant(
    'a restore leaves what was queued as it was',
    OUTCOME,
    "if (refund.state === 'unknown' || (mayMove(refund.state, 'unknown') && !followed)) {",
    "if (refund.state === 'unknown') {",
  ),
  mutant(
    'what may repeat a refund that a restore has lost is sent',
    'src/refunds/submit.ts',
    'if (answer.strangers.length === 0)',
    'if (answer.strangers.length >= 0)',
  ),
  {
    ...mutant(
      'a refund that a restore has lost passes for one of another account',
      'src/refunds/restored.ts',
      'and gateway_account_id = $4 and gateway_payment_id = $5',
      'and $4::text is not null and $5::text is not null',
    ),
    faults: ['books restored from a backup', 'refund made behind our back', 'asked again under a new id'],
  },
  // What is believed
  {
    ...mutant(
      'a refusal after an unanswered send is believed',
      OUTCOME,
      'if (certainSoFar)\n        return refused(',
      'if (at)\n        return refused(',
    ),
    faults: [
      'lost after the gateway did it',
      'arrived after the time-out',
      'look-up that lags',
      'webhook lost',
    ],
  },
  mutant(
    'a webhook that proves nothing is believed',
    'src/refunds/hear.ts',
    "event.news !== null && reading.kind === 'authentic'",
    'event.news !== null',
  ),
  {
    name: 'old news counts',
    changes: [
      {
        file: OUTCOME,
        was: '  const stale = news.at !== null && refund.gatewayAt !== null && news.at < refund.gatewayAt;\n  const heard',
        is: '  const stale = news.at === refund;\n  const heard',
      },
    ],
  },
  mutant(
    'a look-up that lags silences a webhook',
    'src/refunds/hear.ts',
    "look.answer.kind === 'news' && !isOlder(look.answer.news, news)",
    "look.answer.kind === 'news'",
  ),
  mutant(
    'a success that is taken back stays a success',
    OUTCOME,
    "from === 'succeeded' ? 'reversed' : 'failed'",
    "from === 'succeeded' ? null : 'failed'",
  ),
  mutant(
    'a late success is not heard',
    OUTCOME,
    "return unexpected ? 'manual_review' : 'succeeded';",
    "return unexpected ? null : 'succeeded';",
  ),
  // Whose word it is
  {
    ...mutant(
      'what anybody answers counts as not made',
      ANSWERS,
      'const error = json === undefined ? null : reading.error(json, exchange);',
      `const anybodys = { code: null, message: 'refused', means: 'misconfigured' } as const;
  const own = json === undefined ? null : reading.error(json, exchange);
  const error = own ?? (status === 401 || status === 403 ? anybodys : null);`,
    ),
    faults: ['page of somebody else after the deed', 'page of somebody else for hours', 'webhook lost'],
  },
  {
    ...mutant(
      'a payment that another account does not know ends a refund',
      ANSWERS,
      "return { kind: 'no_payment', errorCode, errorMessage, evidence };",
      "return { kind: 'refused', errorCode, errorMessage, evidence };",
    ),
    faults: ['credentials wrong from the start'],
  },
  {
    // Either alone would still keep it from being paid twice.
    name: 'what another account does not know was never made, and may be made there',
    changes: [
      {
        file: OUTCOME,
        was: 'return refund.sentTo === null || refund.sentTo === identity;',
        is: 'return refund.sentTo === null || identity !== null;',
      },
      {
        file: OUTCOME,
        was: 'if (refund.keyUsedAt && refund.sentTo !== null && refund.sentTo !== identity) {',
        is: "if (refund.sentTo === '') {",
      },
    ],
    faults: ['credentials of another account', 'lost after the gateway did it', 'webhook lost'],
  },
  {
    name: 'another amount is an answer that cannot be read',
    changes: [
      {
        file: ANSWERS,
        was: "      ? { kind: 'misfit', why: news.misfit, evidence }",
        is: '      ? unknown(news.misfit)',
      },
      {
        file: ANSWERS,
        was: "in news\n    ? { kind: 'misfit', why: news.misfit, evidence }",
        is: "in news\n    ? { kind: 'no_answer', why: news.misfit, answered: true, evidence }",
      },
    ],
    faults: ['another amount is paid', 'another currency is paid'],
  },
  // What is found out later
  {
    ...mutant(
      'a cancelled refund that is paid stays cancelled',
      OUTCOME,
      "return unexpected ? 'manual_review' : 'succeeded';",
      "return from === 'cancelled' ? null : unexpected ? 'manual_review' : 'succeeded';",
    ),
    faults: [
      'cancelled by a person',
      'cancelled refund made at the gateway by hand',
      'account switched off',
      'connection refused',
    ],
  },
  {
    ...mutant(
      'nobody is told of money that may be paid twice',
      OUTCOME,
      "set: { ...set, attention: linesOf([attention, ...calls]) },\n    evidence,\n    notify: ['REFUND_MANUAL_REVIEW_NEEDED'],",
      'set: { ...set, attention: linesOf([attention, ...calls]) },\n    evidence,\n    notify: [],',
    ),
    faults: ['success after a failure', 'asked again under a new id', 'another amount is paid'],
  },
  {
    ...mutant(
      'a success is never asked about again',
      OUTCOME,
      'ended.settledByHand ? HAND_RECHECK_DELAYS_MS : at.capabilities.recheckDelaysMs',
      'ended.settledByHand ? HAND_RECHECK_DELAYS_MS : []',
    ),
    faults: ['success taken back', 'webhook lost', 'webhook secret changed at the gateway alone'],
  },
  {
    ...mutant(
      'what a person has settled is never asked about again',
      OUTCOME,
      'ended.settledByHand ? HAND_RECHECK_DELAYS_MS : at.capabilities.recheckDelaysMs',
      'ended.settledByHand ? [] : at.capabilities.recheckDelaysMs',
    ),
    faults: SETTLED_WRONGLY,
  },
  {
    ...mutant(
      "one person settles against the gateway's word",
      OUTCOME,
      'return said === outcome ? null : saysStatus',
      "return said === outcome || said === 'succeeded' ? null : saysStatus",
    ),
    faults: SETTLED_WRONGLY,
  },
  {
    ...mutant(
      'who proposes may confirm',
      'src/refunds/resolve.ts',
      'if (asked.confirm && !(await isSecondPerson(deps.db, merchantId, second, [first])))',
      "if (asked.confirm && proposal.user_id === '')",
    ),
    faults: SETTLED_WRONGLY,
  },
  {
    ...mutant(
      'a gateway that knows a refund which the books have lost is not heard',
      'src/refunds/hear.ts',
      "if (reading.kind === 'authentic') await holdForStrangers(deps, account, unmatched);",
      "if (reading.kind !== 'authentic') await holdForStrangers(deps, account, unmatched);",
    ),
    faults: ['books rolled back without a word', 'webhook late and out of order', 'account switched off'],
  },
  // What stops more than it should
  {
    ...mutant(
      'tries that came to nothing close an order',
      JUDGE,
      'Math.min(MAX_REFUNDS_OF_AN_ORDER - held, MAX_TRIES_OF_AN_ORDER - refunds.length)',
      'MAX_REFUNDS_OF_AN_ORDER - refunds.length',
    ),
    faults: ['refused time and again'],
  },
  {
    ...mutant(
      'an answer that says nothing counts as silence',
      'src/gateways/health.ts',
      "answered: 'answered' in answer ? answer.answered : answer.kind !== 'not_sent',",
      "answered: answer.kind !== 'unknown' && answer.kind !== 'no_answer' && answer.kind !== 'not_sent',",
    ),
    faults: ['page of somebody else after the deed', 'page of somebody else for hours'],
  },
  // Who may do what
  mutant('a cancel after a send is accepted', OUTCOME, ' && refund.keyUsedAt === null;\n}', ';\n}'),
  mutant(
    "another merchant's refund is hit",
    STORE,
    'from refunds r where r.merchant_id = $1 and r.refund_id = $2',
    'from refunds r where $1::text is not null and r.refund_id = $2',
  ),
  mutant(
    "another merchant's request ids count",
    'src/refunds/facts.ts',
    'where r.order_id = q.order_id and r.merchant_id is not distinct from q.merchant_id offset 0',
    'where r.order_id = q.order_id offset 0',
  ),
  // What is kept and told
  mutant(
    'what is decided on an old version is written',
    'migrations/verbs/move_refunds.sql',
    'and r.refund_id = i.refund_id and r.event_seq = i.decided_on',
    'and r.refund_id = i.refund_id',
  ),
  { name: 'no room is left, and only the schema says so', changes: [NO_ROOM_CHECK] },
  {
    name: 'more than was paid is given back',
    changes: [
      NO_ROOM_CHECK,
      {
        file: 'migrations/0004_orders.sql',
        was: 'check (reserved_minor between 0 and effective_minor)',
        is: 'check (reserved_minor >= 0)',
      },
    ],
  },
  mutant('a request id makes two refunds', JUDGE, "return 'duplicate_request_id';", 'return null;'),
  mutant(
    'nobody is told of a review',
    OUTCOME,
    "evidence: { why, ...evidence },\n    notify: ['REFUND_MANUAL_REVIEW_NEEDED'],",
    'evidence: { why, ...evidence },\n    notify: [],',
  ),
  mutant(
    'nobody is told of a reference that comes late',
    OUTCOME,
    'notify: [...notifyOf(target), ...notifyArn],',
    'notify: notifyOf(target),',
  ),
  mutant(
    'a message that was refused is not sent again',
    'src/webhooks/deliver.ts',
    "const delayMs = result.outcome === 'bad_url' ?",
    "const delayMs = result.outcome === 'refused_status' ?",
  ),
  {
    name: 'two states of an order are told at once',
    changes: [
      {
        file: 'src/webhooks/store.ts',
        was: `and (o.try_id is not null
                 or o.next_try_at <= $1
                   and (o.bulk, o.next_try_at, o.delivery_id) < (d.bulk, d.next_try_at, d.delivery_id))`,
        is: 'and false',
      },
      {
        file: 'migrations/0006_webhooks.sql',
        was: 'create unique index deliveries_one_under_way on',
        is: 'create index deliveries_one_under_way on',
      },
    ],
  },
  mutant(
    'an order is told to whoever listens',
    'src/webhooks/deliver.ts',
    'subscriptions.get(n.merchantId) ?? []',
    '[...subscriptions.values()].flat()',
  ),
  mutant(
    'a seal does not follow on the one before',
    'src/audit/checkpoint.ts',
    'checkpointHash(last?.hash ?? Buffer.alloc(0), checkpoint)',
    'checkpointHash(Buffer.alloc(0), checkpoint)',
  ),
  mutant(
    'an order is sealed once',
    'src/audit/checkpoint.ts',
    'order by order_id limit $3',
    'and sealed_seq = 0 order by order_id limit $3',
  ),
  mutant(
    'what a gateway says is kept as it came',
    'src/gateways/evidence.ts',
    "if (typeof value === 'string') return scrubText(value, credentials);",
    "if (typeof value === 'string') return value;",
  ),
  mutant(
    'credentials that a gateway repeats are kept',
    'src/gateways/evidence.ts',
    'if (value.length >= 6) clean = clean.replaceAll(value, HIDDEN);',
    'if (value.length < 6) clean = clean.replaceAll(value, HIDDEN);',
  ),
  // Files
  mutant(
    'a batch goes without its second person',
    DECIDE,
    'const next = settings.batch_approval\n',
    "const next = settings.batch_approval && batch.kind !== 'refunds'\n",
  ),
  mutant(
    'who confirmed a batch may approve it',
    DECIDE,
    "if (by.kind !== 'user' || !(await isSecondPerson(tx, batch.merchantId, deed, await handsIn(tx, batch)))) {",
    "if (by.kind !== 'user') {",
  ),
  mutant(
    'other totals are confirmed',
    DECIDE,
    'if (!isSame(batch, said, expected)) return',
    'if (said === null) return',
  ),
  mutant(
    'a batch does not wait',
    DECIDE,
    "if (settings.batch_wait_minutes === 0) return { status: 'running', next_step_at: now };",
    "if (settings.batch_wait_minutes >= 0) return { status: 'running', next_step_at: now };",
  ),
  mutant(
    'a paused batch is sent',
    STORE,
    'and (room.lane <> 2 or batch_id <> all($8::uuid[]))',
    'and (room.lane <> 2 or $8::uuid[] is not null)',
  ),
  mutant(
    'a restore lets batches run on',
    DECIDE,
    "where status in ('running', 'waiting') and sent_at is null`,",
    "where status = 'waiting' and sent_at is null`,",
  ),
  mutant(
    'a restore lets waiting batches start',
    DECIDE,
    "where status in ('running', 'waiting') and sent_at is null`,",
    "where status = 'running' and sent_at is null`,",
  ),
  mutant(
    'a paused batch makes its next rows',
    DECIDE,
    "{ status: 'paused', next_step_at: null, pace_at: null, pace_per_second: null },\n    );",
    "{ status: 'running', next_step_at: now, pace_at: null, pace_per_second: null },\n    );",
  ),
  mutant(
    'a slice is tried twice',
    RUN,
    '...(last && { tried_row: last.row_no }),',
    '...(last && { tried_row: batch.triedRow === 0 ? 1 : last.row_no }),',
  ),
  mutant(
    'a slice skips a row',
    RUN,
    '...(last && { tried_row: last.row_no }),',
    '...(last && { tried_row: last.row_no + 1 }),',
  ),
  mutant(
    'a corrected row is made beside its refund',
    'src/batches/load.ts',
    'and (k.refund_id is null or',
    'or (k.refund_id is not null or',
  ),
  mutant(
    'nobody is told that a batch is finished',
    'src/batches/store.ts',
    ", finished: 'BATCH_FINISHED' } as const;",
    ' } as const;',
  ),
  mutant(
    'what refunds add up to is folded twice',
    'src/refunds/figures.ts',
    'select t.merchant_id, x.kind, x.at, x.word, t.gateway, t.currency, sum(t.refunds), sum(t.amount_minor)',
    'select t.merchant_id, x.kind, x.at, x.word, t.gateway, t.currency, 2 * sum(t.refunds), sum(t.amount_minor)',
  ),
  mutant(
    'what waits too long waits on',
    'src/refunds/worker.ts',
    'fresh.state === refund.state && fresh.reviewAt <= at.now',
    'fresh.state === refund.state && fresh.reviewAt < fresh.createdAt',
  ),
];

export const mutants: Proof = {
  name: 'mutants',
  about:
    'Puts faults into copies of the program, one at a time, and lets the simulation look for each: one that it does not find ends the proof.',
  options: [
    { name: 'lives', otherwise: 10_000, about: 'refunds to live through before a fault counts as not found' },
    { name: 'seed', otherwise: 1, about: 'the seed of the first world' },
    { name: 'only', otherwise: '', about: 'those whose name has this text' },
  ],
  prove: (run) =>
    onServer((serverUrl) =>
      findMutants(
        serverUrl,
        run,
        MUTANTS.filter(({ name }) => name.includes(run.texts?.['only'] ?? '')),
      ),
    ),
};

/** The same on a server that is there already. Says of each mutant what showed it. */
export async function findMutants(
  serverUrl: string,
  run: ProofRun,
  chosen: readonly Mutant[],
): Promise<Figures> {
  const found: Record<string, string> = { ...(run.resumeAt as Record<string, string> | null) };
  const survived: string[] = [];
  refuseLostTexts();
  for (const one of chosen) {
    if (run.signal.aborted) break;
    if (one.name in found) continue;
    const shown = await lookFor(one, serverUrl, run);
    if (run.signal.aborted) break;
    run.progress(`${one.name}: ${shown ?? 'NOT FOUND'}`);
    if (shown === null) survived.push(one.name);
    else found[one.name] = shown;
  }
  if (run.signal.aborted) run.saveAt(found);
  if (survived.length > 0) {
    const { lives, seed } = run.options;
    throw new BrokenInvariant(
      `the simulation does not find: ${survived.join('; ')}`,
      `npm run proof -- mutants --lives ${lives} --seed ${seed}`,
    );
  }
  return { 'faults put in': chosen.length, ...found };
}

const ROOT = join(import.meta.dirname, '../..');

/** The invariant that showed it, or null where it was not found. */
async function lookFor(one: Mutant, serverUrl: string, run: ProofRun): Promise<string | null> {
  const copy = mkdtempSync(join(tmpdir(), 'refundry-mutant-'));
  try {
    for (const folder of ['src', 'proof', 'migrations'])
      cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    for (const { file, was, is } of one.changes) {
      const path = join(copy, file);
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace(was, () => is),
      );
    }
    const { simulateOn } = (await import(
      pathToFileURL(join(copy, 'proof/simulate/simulate.ts')).href
    )) as typeof Simulation;
    const { lives = 0, seed = 0 } = run.options;
    const options = { lives, seed, refunds: 100, minutes: 0 };
    const texts = { faults: one.faults?.join(', ') ?? '' };
    await simulateOn(
      serverUrl,
      { ...run, options, texts, progress: () => undefined, resumeAt: null, saveAt: () => undefined },
      { shrinks: false },
    );
    return null;
  } catch (error) {
    // The copy's classes are not ours.
    if ((error as Error).constructor.name !== BrokenInvariant.name) throw error;
    const [shown, replay] = (error as Error).message.split('\n');
    return `${shown} (seed ${/--seed (\d+)/.exec(replay!)![1]})`;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** A text that is no longer there, or stands there twice, would put in nothing, or something else. */
export function refuseLostTexts(): void {
  for (const { name, changes } of MUTANTS)
    for (const { file, was } of changes) {
      const times = readFileSync(join(ROOT, file), 'utf8').split(was).length - 1;
      if (times !== 1)
        throw new Error(`mutant "${name}": its text stands ${times} times in ${file}, not once`);
    }
}
