import { sealEvents } from '../../src/audit/checkpoint.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import { pauseRestored } from '../../src/batches/decide.ts';
import type { GatewayAccountAccess } from '../../src/gateways/gateway.ts';
import { type GatewayRegistry, registryOf } from '../../src/gateways/registry.ts';
import { TOLERATED_APART_MS } from '../../src/lib/database-clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import { formatAmount } from '../../src/lib/money.ts';
import { createVault } from '../../src/lib/vault.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import { lookNow } from '../../src/refunds/look.ts';
import { resolveRefund } from '../../src/refunds/resolve.ts';
import { markRestored, type Restored, readRestored } from '../../src/refunds/restored.ts';
import { createEndpoint } from '../../src/webhooks/endpoints.ts';
import { WEBHOOK_EVENT_NAMES } from '../../src/webhooks/events.ts';
import { Auditor, Broken } from './auditor.ts';
import { type Backup, takeBackup } from './backup.ts';
import { BatchAuditor, type BatchPolicy } from './batch-auditor.ts';
import { Chance } from './chance.ts';
import { type AskedRefund, DOORS, type DoorAnswer, type SimulatedDoor } from './doors.ts';
import { type FaultMix, Faults, faultMixOf } from './faults.ts';
import { FilePeople, type StatusLine } from './files.ts';
import type { Ground } from './ground.ts';
import { type BookedRefund, ModelBooks } from './model-books.ts';
import {
  MODEL_GATEWAYS,
  modelConnector,
  PAYER,
  profileOf,
  SECRETS,
  SIGNATURE,
  type WireRefund,
} from './model-gateway.ts';
import { OurBooks } from './our-books.ts';
import { Process, type World } from './process.ts';
import { Receivers } from './receiver.ts';
import { type Owner, Timeline, type Turn } from './timeline.ts';

/** All there is to know of a world: equal ones live the same life. */
export interface WorldSpec {
  readonly seed: number;
  /** How many refunds are asked for. */
  readonly refunds: number;
  /** The only faults that there may be; null leaves it to the seed. */
  readonly faults: ReadonlySet<string> | null;
}

export interface WorldFigures {
  readonly lives: number;
  readonly steps: number;
  readonly sends: number;
  readonly payouts: number;
  readonly messages: number;
  readonly checked: number;
  readonly faults: ReadonlyMap<string, number>;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const START_MS = Date.UTC(2026, 0, 5);
const MASTER_KEY = Buffer.alloc(32, 7);
/** How far our clocks may be behind by jumping back, in all. */
const FARTHEST_BACK_MS = 6 * MINUTE;
/** Files cost as much again: they are where people do something with them. */
const SHARE_WITH_FILES = 0.2;
const SHARE_WITH_FILES_AND_FAULTS = 0.8;
const STEPS_PER_CHECK_OF_ALL = 1_500;
const TELLING_SHARE = 0.15;
const TELLING_SHARE_WITH_FAULTS = 0.6;
const CURRENCIES = [
  { currency: 'INR', exponent: 2 },
  { currency: 'JPY', exponent: 0 },
  { currency: 'KWD', exponent: 3 },
] as const;
const API = { by: 'api', key: 'simulated', request_id: 'simulated' } as const;
/** Longer than any look-up lags and any send is under way. */
const RESTORE_TAKES_MS = 30 * MINUTE;
const WEBHOOK_RETRIES_MS = [5 * SECOND, MINUTE, 10 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR];

/** Their share is greater: keys would hide what sends twice. */
const WITHOUT_KEYS = MODEL_GATEWAYS.filter(
  ({ capabilities }) => capabilities.keyLifeMs === null && capabilities.absenceProof !== null,
);

interface Order {
  readonly merchantId: string;
  readonly orderId: string;
  readonly accountId: string;
  readonly gateway: string;
  readonly payment: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly exponent: number;
}

/** Where a merchant wants to be told. */
interface Endpoint {
  readonly url: string;
  readonly merchantId: string;
  /** Null: the defaults. */
  readonly events: readonly string[] | null;
}

interface Account {
  readonly accountId: string;
  readonly merchantId: string;
  readonly gateway: string;
}

/** Lives one world from its first order to the end of its last refund. Throws `Broken`. */
export async function liveWorld(ground: Ground, spec: WorldSpec): Promise<WorldFigures> {
  await ground.clear();
  const simulation = new Simulation(ground, spec);
  drawIdsFrom(simulation.timeline, new Chance(spec.seed));
  await simulation.prepare();
  await simulation.live();
  return simulation.figures();
}

/**
 * Ids are made from the time and from chance. Both are the world's, for this thread has no other: lived again, it makes the same
 * ids, and what is put in their order stands in the same order.
 */
function drawIdsFrom(timeline: Timeline, chance: Chance): void {
  Date.now = () => timeline.nowMs;
  crypto.getRandomValues = (bytes) => {
    const drawn = bytes as unknown as Uint8Array;
    for (let n = 0; n < drawn.length; n++) drawn[n] = chance.whole(0, 255);
    return bytes;
  };
}

class Simulation implements World {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly gateways: GatewayRegistry;
  readonly manualReviewAfterMs: number;
  readonly vault = createVault(MASTER_KEY);
  readonly receivers: Receivers;
  restored: Restored | null = null;
  clockOffsetMs = 0;
  readonly #spec: WorldSpec;
  readonly #chance: Chance;
  readonly #merchantIds: readonly string[] = ['shop-a', 'shop-b'];
  readonly #policies: ReadonlyMap<string, BatchPolicy>;
  readonly hasFiles: boolean;
  readonly #filePeople: FilePeople;
  readonly #accounts: readonly Account[];
  readonly #orders: readonly Order[];
  /** Telling costs as much as refunding: only some worlds have merchants who want to be told. */
  readonly #endpoints: readonly Endpoint[];
  readonly #books = new Map<string, ModelBooks>();
  readonly #auditor: Auditor;
  readonly #workers: Process[] = [];
  readonly #doors: Process[] = [];
  readonly #switchedOff = new Set<string>();
  readonly #clockMode: 'forward' | 'back' | 'both';
  readonly #faultsEndMs: number;
  /** How much later than planned our machines take something up. */
  readonly #delaysMs: readonly number[];
  readonly #asked = new Map<string, number>();
  readonly #accepted = new Map<string, AskedRefund>();
  #backup: Backup | null = null;
  #waitsForBackup = false;
  /** All our machines are gone until the books are back. */
  #isDown = false;
  #futileMs = SECOND;
  #mayWork = true;
  #mayTell = false;
  #mayStep = false;
  #over = false;

  constructor(ground: Ground, spec: WorldSpec) {
    const root = new Chance(spec.seed);
    const chance = root.fork();
    this.#spec = spec;
    this.#chance = chance;
    this.db = ground.db;
    this.timeline = new Timeline(START_MS, root.fork());
    this.faults = new Faults(root.fork(), mixOfWorld(spec));
    this.gateways = registryOf(MODEL_GATEWAYS.map(modelConnector));
    this.manualReviewAfterMs = chance.pick([2 * HOUR, 24 * HOUR, 72 * HOUR]);
    this.#clockMode = chance.pick(['forward', 'back', 'both']);
    const late = [0, 0, 3 * SECOND, 45 * SECOND, 5 * MINUTE, 15 * MINUTE];
    // Messages overtake each other only where time passes more finely than they travel.
    const prompt = [0, 0, 0, SECOND];
    this.#delaysMs = chance.pick(
      this.faults.has('message to a receiver slow')
        ? [late, prompt, prompt]
        : [late, late, [0, SECOND, 20 * SECOND, 40 * SECOND]],
    );
    this.#faultsEndMs = START_MS + chance.pick([3, 12, 36]) * HOUR;
    this.#accounts = this.#merchantIds.flatMap((merchantId) =>
      [0, 1].map((n) => ({
        merchantId,
        accountId: `${merchantId}-${n}`,
        gateway: chance.pick(chance.hit(0.25) ? WITHOUT_KEYS : MODEL_GATEWAYS).name,
      })),
    );
    const ordersOf = new Map<string, number>();
    this.#orders = Array.from({ length: Math.max(1, Math.ceil(spec.refunds / 3)) }, (_, n) => {
      const account = chance.pick(this.#accounts);
      // Merchants number their orders and requests alike: one's id must never be taken for the other's.
      const no = (ordersOf.get(account.merchantId) ?? 0) + 1;
      ordersOf.set(account.merchantId, no);
      return {
        ...account,
        ...chance.pick(CURRENCIES),
        orderId: `order-${String(no).padStart(4, '0')}`,
        payment: `pay-${n}`,
        amountMinor: chance.whole(1, 100_000),
      };
    });
    const tells = chance.hit(this.faults.has('receiver slow') ? TELLING_SHARE_WITH_FAULTS : TELLING_SHARE);
    this.#endpoints = tells
      ? this.#merchantIds.map((merchantId, n) => ({
          url: `http://receiver.test/${merchantId}`,
          merchantId,
          events: n === 0 ? WEBHOOK_EVENT_NAMES : null,
        }))
      : [];
    this.hasFiles = chance.hit(
      this.faults.has('batch paused') ? SHARE_WITH_FILES_AND_FAULTS : SHARE_WITH_FILES,
    );
    this.#policies = new Map(
      this.#merchantIds.map((merchantId) => [
        merchantId,
        { needsApproval: chance.hit(0.4), waitMs: chance.pick([0, 0, 10 * MINUTE, HOUR]) },
      ]),
    );
    const apartMs = this.faults.has('clocks apart') ? TOLERATED_APART_MS : 0;
    const jumpsAhead = this.faults.has('clock jumped') && this.#clockMode !== 'back';
    const batches = new BatchAuditor({
      nowMs: () => this.timeline.nowMs,
      policyOf: (merchantId) => this.#policies.get(merchantId)!,
      soonerMs: jumpsAhead ? Number.POSITIVE_INFINITY : 2 * apartMs,
      longerMs: 2 * apartMs + (this.faults.has('clock jumped') ? FARTHEST_BACK_MS : 0),
      must: (holds, invariant, what) => this.#auditor.must(holds, invariant, what),
    });
    this.#auditor = new Auditor(new OurBooks(ground.auditor), this.db, this.#books, this.#endpoints, {
      masterKey: MASTER_KEY,
      clocksBehindMs:
        apartMs +
        (this.faults.has('clock jumped') ? FARTHEST_BACK_MS : 0) +
        // What a gateway says twice in a moment it says a millisecond apart.
        SECOND,
      batches,
    });
    this.#filePeople = new FilePeople({
      timeline: this.timeline,
      faults: this.faults,
      chance: root.fork(),
      auditor: batches,
      door: () => this.#door().batches,
      newRequestId: (merchantId) => this.#newRequestId(merchantId),
    });
    this.receivers = new Receivers(this.timeline, this.faults, root.fork(), this.#auditor);
    for (const account of this.#accounts) this.#books.set(account.accountId, this.#openBooks(account));
  }

  figures(): WorldFigures {
    const { lives, sends, payouts, messages, checked } = this.#auditor;
    return {
      lives,
      sends,
      payouts,
      messages,
      checked,
      steps: this.timeline.steps,
      faults: this.faults.counts,
    };
  }

  // The world as it stands before the first refund ---------------------------------------------------------

  async prepare(): Promise<void> {
    const at = new Date(START_MS);
    await this.db.query(
      `insert into merchants (merchant_id, name, settings, created_at)
       select id, id, settings, $3 from unnest($1::text[], $2::jsonb[]) m(id, settings)`,
      [this.#merchantIds, this.#merchantIds.map((id) => settingsOf(this.#policies.get(id)!)), at],
    );
    await this.db.query(
      `insert into gateway_accounts (gateway_account_id, merchant_id, gateway, name, sealed_credentials,
         shown_credentials, max_concurrent, max_per_second, created_at, updated_at)
       select a.id, a.merchant_id, a.gateway, a.id, '', '{}', 60, 1000, $4, $4
       from unnest($1::text[], $2::text[], $3::text[]) a(id, merchant_id, gateway)`,
      [
        this.#accounts.map((a) => a.accountId),
        this.#accounts.map((a) => a.merchantId),
        this.#accounts.map((a) => a.gateway),
        at,
      ],
    );
    await this.db.query(
      `insert into gateway_health (gateway_account_id, allowance, allowance_at)
       select id, 1000, $2 from unnest($1::text[]) id`,
      [this.#accounts.map((a) => a.accountId), at],
    );
    const column = (of: (order: Order) => unknown) => this.#orders.map(of);
    await this.db.query(
      `with made as (
         select x.*, event_body(m, o, 1, $6, 'order.created', null, null, null, $7, null) as body
         from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::smallint[]) x(m, o, amount, currency, exponent)
       ), logged as (
         insert into events (merchant_id, order_id, seq, at, body, hash)
         select m, o, 1, $6, body, event_hash('', body) from made
       )
       insert into orders (merchant_id, order_id, order_uuid, status, amount_minor, currency, exponent, event_seq,
         event_hash, created_at, updated_at)
       select m, o, gen_random_uuid(), 'CHARGED', amount, currency, exponent, 1, event_hash('', body), $6, $6
       from made`,
      [
        column((o) => o.merchantId),
        column((o) => o.orderId),
        column((o) => o.amountMinor),
        column((o) => o.currency),
        column((o) => o.exponent),
        at,
        JSON.stringify(API),
      ],
    );
    await this.db.query(
      `insert into transactions (merchant_id, order_id, txn_id, txn_uuid, status, amount_minor, gateway,
         gateway_account_id, gateway_payment_id, payment_method_type, charged_at, created_at, updated_at)
       select m, o, 'txn-' || o, gen_random_uuid(), 'CHARGED', amount, gateway, account, payment, 'CARD', $7, $7, $7
       from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])
         x(m, o, amount, gateway, account, payment)`,
      [
        column((o) => o.merchantId),
        column((o) => o.orderId),
        column((o) => o.amountMinor),
        column((o) => o.gateway),
        column((o) => o.accountId),
        column((o) => o.payment),
        at,
      ],
    );
    this.#startProcesses();
    for (const { merchantId, url, events } of this.#endpoints) {
      const made = await createEndpoint(
        {
          db: this.db,
          clock: { now: () => new Date(START_MS - HOUR) },
          vault: this.vault,
          allowPrivate: true,
        },
        merchantId,
        { url, events },
      );
      if (!made.ok) throw new Error(made.refusal.message);
    }
    this.#planRequests();
    this.#planRestore();
    this.timeline.at(START_MS + HOUR, () => this.#troubleNow());
    this.timeline.at(START_MS + HOUR / 2, () => this.#sealNow());
    this.timeline.at(START_MS + 2 * HOUR, () => this.#peopleAtWork());
    this.timeline.at(this.#faultsEndMs, () => {
      this.faults.end();
      this.#switchedOff.clear();
    });
  }

  #openBooks(account: Account): ModelBooks {
    return new ModelBooks(profileOf(account.gateway), {
      timeline: this.timeline,
      faults: this.faults,
      chance: this.#chance.fork(),
      paidMinor: new Map(
        this.#orders.filter((o) => o.accountId === account.accountId).map((o) => [o.payment, o.amountMinor]),
      ),
      apartMs: this.faults.has('clocks apart') ? 2 * TOLERATED_APART_MS : 0,
      mayLag: !this.faults.has('clock jumped') || this.#clockMode === 'back',
      listener: {
        asked: (reference, key, body, sentMs) => this.#auditor.asked(reference, key, body, sentMs),
        taken: (reference) => this.#auditor.taken(reference),
        sentPastKeyLife: (reference) => this.#auditor.sentPastKeyLife(reference),
        leftInDoubt: (reference) => {
          this.#growImpatient(account.merchantId, reference);
          this.#mayForgeWebhook(account, reference);
        },
        made: (refund) => this.#auditor.made(refund),
        moved: (refund, quick) => {
          this.#sendWebhooks(account, refund, quick);
          if (refund.reference !== null) this.#mayForgeWebhook(account, refund.reference);
        },
      },
    });
  }

  #startProcesses(): void {
    for (let n = 0; n < 2; n++) {
      this.#workers[n] = this.#newProcess();
      this.#doors[n] = this.#newProcess();
    }
  }

  #newProcess(): Process {
    return new Process(this, this.#chance.fork());
  }

  // Its life ---------------------------------------------------------------------------------------------------

  async live(): Promise<void> {
    const lastMs = this.#faultsEndMs + this.manualReviewAfterMs + 72 * HOUR;
    let checkAllAt = STEPS_PER_CHECK_OF_ALL;
    for (;;) {
      this.timeline.begin();
      await this.timeline.settled();
      if (this.#mayWork && (this.timeline.idle || this.#chance.hit(0.03))) this.#beginRounds();
      if (this.#mayTell && (this.timeline.idle || this.#chance.hit(0.02))) this.#beginTelling();
      if (this.#mayStep && (this.timeline.idle || this.#chance.hit(0.05))) this.#beginSteps();
      if (this.timeline.idle) {
        const rests = !this.#mayWork && !this.#mayTell && !this.#mayStep;
        if (rests && !(await this.#passTime())) break;
        await this.timeline.settled();
        if (this.timeline.nowMs > lastMs) throw new Broken('invariant 5: the world does not come to its end');
        continue;
      }
      await this.timeline.step((owner) => this.#fateOf(owner));
      if (this.#waitsForBackup) await this.#takeBackupOfRunning();
      if (this.timeline.steps >= checkAllAt) {
        checkAllAt += STEPS_PER_CHECK_OF_ALL;
        await this.#auditor.checkAll(this.#now());
      } else if (this.#auditor.isDue) await this.#auditor.check(this.#now());
      if (this.#auditor.broken) throw this.#auditor.broken;
    }
    await sealEvents({
      db: this.db,
      clock: { now: () => this.#now() },
      vault: this.vault,
      log: createLogger('silent'),
    });
    await this.#auditor.checkEnd(this.#now(), this.faults.none);
    if (this.#auditor.broken) throw this.#auditor.broken;
    for (const merchantId of this.#merchantIds)
      await verifyAudit(this.db, this.vault, {
        merchantId,
        onFault: ({ sentence }) => {
          throw new Broken(`invariant 6: the program's own audit says: ${sentence}`);
        },
      });
  }

  wake(): void {
    this.#mayWork = true;
  }

  #beginRounds(): void {
    this.#mayWork = false;
    const first = this.#chance.pick(this.#workers);
    for (const worker of this.#workers) {
      if (worker !== first && this.#chance.hit(0.6)) continue;
      worker.begin('refunds', (more) => {
        if (more) this.#mayWork = true;
      });
    }
  }

  wakeTellers(): void {
    this.#mayTell = this.#endpoints.length > 0;
  }

  #beginTelling(): void {
    this.#mayTell = false;
    const first = this.#chance.pick(this.#workers);
    for (const worker of this.#workers) {
      if (worker !== first && this.#chance.hit(0.6)) continue;
      worker.begin('webhooks', (more) => {
        if (more) this.wakeTellers();
      });
    }
  }

  wakeSteppers(): void {
    this.#mayStep = this.hasFiles;
  }

  #beginSteps(): void {
    this.#mayStep = false;
    const first = this.#chance.pick(this.#workers);
    for (const worker of this.#workers) {
      if (worker !== first && this.#chance.hit(0.6)) continue;
      worker.begin('batches', (more) => {
        if (more) this.wakeSteppers();
      });
    }
  }

  wrote(): void {
    this.#auditor.isDue = true;
  }

  #sealNow(): void {
    if (this.timeline.nowMs >= this.#faultsEndMs) return;
    for (const worker of this.#workers) {
      worker.begin('sealer');
      worker.begin('figures');
    }
    this.timeline.at(this.timeline.nowMs + this.#chance.whole(MINUTE, 3 * HOUR), () => this.#sealNow());
  }

  /** Goes to when something can happen next, often somewhat past it. False when nothing is to come. */
  async #passTime(): Promise<boolean> {
    const [row] = await this.db.query<{
      look: Date | null;
      review: Date | null;
      open: number;
      tell: Date | null;
      step: Date | null;
      follow: Date | null;
    }>(
      `select min(next_look_at) filter (where state <> 'manual_review' or not $1) as look,
              min(review_at) filter (where state in ('queued', 'unknown', 'waiting_for_funds', 'submitted')) as review,
              count(*) filter (where next_look_at is not null and state <> 'manual_review')::int as open,
              case when $2 then least(
                (select min(next_try_at) from deliveries where state = 'pending'),
                (select min(spread_at) from notifications where spread_at is not null)
              ) end as tell,
              case when $3 then (select min(next_step_at) from batches where not (${FOLLOWS})) end as step,
              case when $3 then (select min(next_step_at) from batches where ${FOLLOWS}) end as follow
       from refunds`,
      [this.#over, this.#endpoints.length > 0, this.hasFiles],
    );
    const planned = this.timeline.nextMs();
    const { look, review, open, tell, step, follow } = row!;
    if (planned === null && open === 0 && tell === null && step === null && follow === null) return false;
    // Batches that only wait for outcomes look for them when something else happens anyway.
    const following = open === 0 ? follow : null;
    const ours = Math.min(
      ...[look, review, tell, step, following].map((at) =>
        at === null ? Number.POSITIVE_INFINITY : at.getTime() - this.clockOffsetMs,
      ),
    );
    // What is due and cannot be worked on (an account that rests, say) is tried again at growing distances.
    this.#futileMs = ours > this.timeline.nowMs ? SECOND : Math.min(2 * this.#futileMs, HOUR);
    const nextMs = Math.min(
      planned ?? Number.POSITIVE_INFINITY,
      ours > this.timeline.nowMs ? ours : this.timeline.nowMs + this.#futileMs,
    );
    this.timeline.nowMs = Math.max(nextMs, this.timeline.nowMs) + this.#chance.pick(this.#delaysMs);
    const isDue = [look, review].some(
      (at) => at !== null && at.getTime() <= this.#now().getTime() + TOLERATED_APART_MS,
    );
    if (isDue || this.#chance.hit(0.1)) this.#mayWork = true;
    if (tell !== null) this.wakeTellers();
    if (step !== null || following !== null || (follow !== null && this.#chance.hit(0.1)))
      this.wakeSteppers();
    return true;
  }

  #now(): Date {
    return new Date(this.timeline.nowMs + this.clockOffsetMs);
  }

  // Our machines ------------------------------------------------------------------------------------------------

  httpOf(owner: Owner) {
    const ways = new Map([...this.#books].map(([accountId, books]) => [accountId, books.httpOf(owner)]));
    return (request: Parameters<ReturnType<ModelBooks['httpOf']>>[0]) =>
      ways.get(new URL(request.url).hostname)!(request);
  }

  openAccess(accountId: string): GatewayAccountAccess | null {
    return this.#switchedOff.has(accountId)
      ? null
      : { accountId, baseUrl: `http://${accountId}`, credentials: { secret_key: SECRETS.credential } };
  }

  #fateOf(owner: Owner): Turn | 'die' | 'stall' {
    if (this.faults.strikes('process stalled')) {
      owner.stalledUntilMs =
        this.timeline.nowMs + this.#chance.pick([5 * SECOND, 50 * SECOND, 3 * MINUTE, HOUR]);
      return 'stall';
    }
    const before = this.faults.strikes('process killed before a step');
    if (!before && !this.faults.strikes('process killed after a step')) return 'go';
    this.#replaceLater(owner);
    return before ? 'die' : 'last';
  }

  kill(owner: Owner): void {
    this.timeline.kill(owner);
    this.#replaceLater(owner);
  }

  #replaceLater(owner: Owner): void {
    this.timeline.at(this.timeline.nowMs + this.#chance.whole(0, 2 * MINUTE), () => {
      if (this.#isDown) return;
      for (const group of [this.#workers, this.#doors]) {
        const place = group.indexOf(owner as Process);
        if (place >= 0) group[place] = this.#newProcess();
      }
      this.#mayWork = true;
      this.wakeSteppers();
    });
  }

  /** The books are lost, and restored as they were hours before. Merchants ask again for what they find lost. */
  #planRestore(): void {
    // Their receivers know newer states than restored books.
    if (this.#endpoints.length > 0 || !this.faults.strikes('books restored from a backup')) return;
    const backupMs = START_MS + this.#chance.whole(MINUTE, 2 * HOUR);
    const lossMs = backupMs + this.#chance.whole(MINUTE, 8 * HOUR);
    const waitsUntilMs = this.hasFiles ? this.#chance.whole(backupMs, lossMs) : backupMs;
    this.timeline.at(backupMs, () => {
      this.#waitsForBackup = true;
    });
    this.timeline.at(waitsUntilMs, () => void this.timeline.io(() => this.#takeBackup()));
    this.timeline.at(lossMs, () => {
      this.#isDown = true;
      for (const process of [...this.#workers, ...this.#doors]) this.timeline.kill(process);
    });
    this.timeline.at(
      lossMs + RESTORE_TAKES_MS,
      () => void this.timeline.io(() => this.#restore(this.#backup!)),
    );
  }

  /** Where there are files, it is taken while one is under way, if one ever is: then a restore may repeat something. */
  async #takeBackupOfRunning(): Promise<void> {
    const [row] = await this.db.query<{ runs: boolean }>(
      `select exists (select from batches where status = 'running' and sent_at is null) as runs`,
    );
    if (row!.runs) await this.#takeBackup();
  }

  async #takeBackup(): Promise<void> {
    if (!this.#waitsForBackup) return;
    this.#waitsForBackup = false;
    this.#backup = await takeBackup(this.db, this.#now());
  }

  async #restore(backup: Backup): Promise<void> {
    const { deps } = this.#newProcess();
    await this.db.transaction(async (tx) => {
      await backup.restore(tx);
      await markRestored(tx, deps, backup.at);
      await pauseRestored(tx, deps.clock.now());
    });
    this.restored = await readRestored(this.db, this.#now());
    const rows = await this.db.query<{ refund_id: string }>('select refund_id from refunds');
    const refundIds = new Set(rows.map((row) => row.refund_id));
    this.#auditor.restored(refundIds, this.timeline.nowMs);
    this.#startProcesses();
    this.#isDown = false;
    this.#mayWork = true;
    this.wakeSteppers();
    this.#filePeople.lookAgain();
    for (const [refundId, asked] of this.#accepted)
      if (!refundIds.has(refundId) && this.#chance.hit(0.7))
        this.timeline.at(this.timeline.nowMs + this.#chance.whole(0, 6 * HOUR), () => this.#ask([asked], 0));
  }

  #troubleNow(): void {
    if (this.timeline.nowMs >= this.#faultsEndMs) return;
    if (this.faults.strikes('clock jumped')) {
      const jumpMs = this.#chance.whole(0, 3 * MINUTE);
      if (this.#clockMode === 'forward') this.clockOffsetMs += jumpMs * 40;
      else if (this.#clockMode === 'back')
        this.clockOffsetMs = Math.max(this.clockOffsetMs - jumpMs, -FARTHEST_BACK_MS);
      else this.clockOffsetMs = this.#chance.pick([jumpMs, -jumpMs]);
    }
    for (const { accountId } of this.#accounts) {
      if (!this.faults.strikes('account switched off')) continue;
      this.#switchedOff.add(accountId);
      this.timeline.at(this.timeline.nowMs + this.#chance.whole(0, 3 * HOUR), () =>
        this.#switchedOff.delete(accountId),
      );
    }
    for (const order of this.#orders) {
      if (this.#chance.hit(0.02) && this.faults.strikes('refund made behind our back'))
        this.#books
          .get(order.accountId)!
          .refundBehindOurBack(order.payment, this.#chance.whole(1, order.amountMinor));
    }
    for (const { url } of this.#endpoints) this.receivers.mayGo(url);
    this.timeline.at(this.timeline.nowMs + this.#chance.whole(MINUTE, HOUR), () => this.#troubleNow());
  }

  // Merchants ---------------------------------------------------------------------------------------------------

  #planRequests(): void {
    let left = this.#spec.refunds;
    while (left > 0) {
      const door = this.#pickDoor();
      const ofOne = this.#chance.pick(this.#orders).merchantId;
      const orders = this.#orders.filter((order) => !door.isOfOneMerchant || order.merchantId === ofOne);
      const list = Array.from({ length: Math.min(left, this.#chance.whole(1, door.most)) }, () =>
        this.#newRequest(this.#chance.pick(orders)),
      );
      left -= list.length;
      if (this.faults.strikes('asked again under the same id')) list.push(this.#chance.pick(list));
      const atMs = START_MS + this.#chance.whole(0, 20) * 3 * MINUTE;
      this.timeline.at(atMs, () => this.#ask(list, 0, door));
    }
  }

  #pickDoor(): SimulatedDoor {
    return this.#chance.pick(DOORS.filter(({ isForFiles }) => this.hasFiles || !isForFiles));
  }

  #newRequest(order: Order, amountMinor?: number): AskedRefund {
    const part = amountMinor ?? this.#chance.whole(1, Math.max(1, Math.ceil(order.amountMinor / 2)));
    return {
      merchantId: order.merchantId,
      orderId: order.orderId,
      uniqueRequestId: this.#newRequestId(order.merchantId),
      amount:
        amountMinor === undefined && this.#chance.hit(0.2) ? 'full' : formatAmount(part, order.exponent),
      currency: order.currency,
      exponent: order.exponent,
    };
  }

  #newRequestId(merchantId: string): string {
    const no = (this.#asked.get(merchantId) ?? 0) + 1;
    this.#asked.set(merchantId, no);
    return `request-${String(no).padStart(5, '0')}`;
  }

  /** A merchant asks again under the same ids until it has been answered. */
  #ask(list: readonly AskedRefund[], time: number, door: SimulatedDoor = this.#pickDoorOfOne(list)): void {
    let answered = false;
    const again = () => {
      if (!answered && time < 20) this.#ask(list, this.#isDown ? time : time + 1);
      // An error and a wait that is over are one reason to ask again, not two.
      answered = true;
    };
    for (const refund of time === 0 ? list : []) this.#auditor.waits(refund);
    door.ask({ process: this.#door(), files: this.#filePeople }, list).then(
      (answers) => {
        answered = true;
        for (const [n, asked] of list.entries()) this.#answered(asked, answers[n]!);
        if (this.faults.strikes('asked again under the same id'))
          this.timeline.at(this.timeline.nowMs + this.#chance.whole(0, HOUR), () => this.#ask(list, 20));
      },
      () => this.timeline.at(this.timeline.nowMs + SECOND, again),
    );
    if (door.patienceMs !== null) this.timeline.at(this.timeline.nowMs + door.patienceMs, again);
  }

  #answered(asked: AskedRefund, answer: DoorAnswer): void {
    this.#auditor.answered(asked);
    if (answer.kind === 'known') this.#auditor.saidKnown(asked);
    if (answer.kind !== 'accepted') return;
    const { refundId } = answer.refund;
    this.#auditor.accepted({ ...asked, ...answer.refund });
    this.#accepted.set(refundId, asked);
    this.#followUp(refundId, asked);
  }

  /** One that takes just this list. */
  #pickDoorOfOne(list: readonly AskedRefund[]): SimulatedDoor {
    const isOfOne = list.every(({ merchantId }) => merchantId === list[0]!.merchantId);
    const doors = DOORS.filter((d) => (this.hasFiles || !d.isForFiles) && (isOfOne || !d.isOfOneMerchant));
    return this.#chance.pick(doors);
  }

  #followUp(refundId: string, asked: AskedRefund): void {
    const soon = () => this.timeline.nowMs + this.#chance.pick([0, 0, SECOND, MINUTE, HOUR]);
    const other = this.#merchantIds.find((id) => id !== asked.merchantId)!;
    this.#mayForgeWebhook(this.#orderOf(asked), refundId);
    if (this.faults.strikes('cancelled by a person'))
      this.timeline.at(soon(), () => this.#cancel(asked.merchantId, refundId));
    if (this.faults.strikes('asked out of turn by a person'))
      this.timeline.at(soon(), () => this.#askOutOfTurn(asked.merchantId, refundId));
    if (this.faults.strikes('acted on by another merchant'))
      this.timeline.at(soon(), () => this.#trespass(other, refundId));
    if (this.faults.strikes('asked again under a new id'))
      this.timeline.at(this.timeline.nowMs + this.#chance.whole(0, 24 * HOUR), () =>
        this.#askAnew(refundId, asked),
      );
  }

  #cancel(merchantId: string, refundId: string): void {
    cancelRefund(this.#door().deps, merchantId, refundId, { reason: null, cause: API }).catch(
      () => undefined,
    );
  }

  /** Whoever sees a send in doubt asks about it again and again, or wants it gone. */
  #growImpatient(merchantId: string, refundId: string): void {
    const later = (mostMs: number) => this.timeline.nowMs + this.#chance.whole(0, mostMs);
    if (this.faults.strikes('asked out of turn by a person'))
      for (let n = 0; n < 4; n++)
        this.timeline.at(later(2 * MINUTE), () => this.#askOutOfTurn(merchantId, refundId));
    if (this.faults.strikes('cancelled by a person'))
      for (let n = 0; n < 6; n++)
        this.timeline.at(later(20 * MINUTE), () => this.#cancel(merchantId, refundId));
  }

  #askOutOfTurn(merchantId: string, refundId: string): void {
    lookNow(this.#door().deps, merchantId, refundId, API).catch(() => undefined);
  }

  #trespass(merchantId: string, refundId: string): void {
    const { deps } = this.#door();
    const resolution = {
      outcome: 'succeeded',
      evidence: '-',
      arn: null,
      gatewayRefundId: null,
      cause: API,
    } as const;
    const tries = [
      cancelRefund(deps, merchantId, refundId, { reason: null, cause: API }),
      resolveRefund(deps, merchantId, refundId, resolution),
      lookNow(deps, merchantId, refundId, API),
    ];
    for (const attempt of tries)
      attempt.then(
        (outcome) => this.#auditor.trespassed(refundId, !outcome.ok && outcome.refusal === 'not_found'),
        () => undefined,
      );
  }

  /** Merchants give back under a new id what has failed. */
  #askAnew(refundId: string, asked: AskedRefund): void {
    const order = this.#orderOf(asked);
    const work = async () => {
      const [row] = await this.db.query<{ state: string; amount_minor: number }>(
        'select state, amount_minor from refunds where merchant_id = $1 and refund_id = $2',
        [asked.merchantId, refundId],
      );
      if (row?.state === 'failed' || row?.state === 'reversed' || row?.state === 'cancelled')
        this.#ask([this.#newRequest(order, row.amount_minor)], 0);
    };
    void this.timeline.io(work);
  }

  #orderOf(asked: AskedRefund): Order {
    return this.#orders.find(
      ({ merchantId, orderId }) => merchantId === asked.merchantId && orderId === asked.orderId,
    )!;
  }

  #door(): Process {
    return this.#chance.pick(this.#doors);
  }

  // People ------------------------------------------------------------------------------------------------------

  #peopleAtWork(): void {
    const work = async () => {
      const rows = await this.db.query<{
        merchant_id: string;
        refund_id: string;
        gateway_account_id: string;
      }>(
        `select merchant_id, refund_id, gateway_account_id from refunds
         where state = 'manual_review' order by merchant_id, order_id, unique_request_id`,
      );
      const inFile = this.hasFiles && this.faults.strikes('resolved by a file');
      const byMerchant = new Map<string, StatusLine[]>();
      for (const { merchant_id, refund_id, gateway_account_id } of rows) {
        const outcome = this.#outcomeByPerson(refund_id, gateway_account_id);
        if (outcome === null) continue;
        // Whether it was done is not always told: from here on it is theirs.
        this.#auditor.resolved(refund_id);
        if (inFile) {
          const lines = byMerchant.get(merchant_id) ?? [];
          byMerchant.set(merchant_id, [...lines, { refundId: refund_id, outcome }]);
        } else this.#resolve(merchant_id, refund_id, outcome);
      }
      // Where a restore has taken the file away, they are found in review again.
      for (const [merchantId, lines] of byMerchant)
        this.#filePeople.settle(merchantId, lines).catch(() => undefined);
    };
    void this.timeline.io(work);
    if (this.timeline.nowMs < this.#faultsEndMs + 30 * HOUR)
      this.timeline.at(this.timeline.nowMs + 8 * HOUR, () => this.#peopleAtWork());
    else this.#over = true;
  }

  /** By what the gateway's own dashboard says; sometimes wrongly. Null: it cannot be said, or not by this person. */
  #outcomeByPerson(refundId: string, accountId: string): 'succeeded' | 'failed' | null {
    if (!this.faults.strikes('resolved by a person')) return null;
    const status = this.#books
      .get(accountId)!
      .refunds.find(({ reference }) => reference === refundId)
      ?.history.at(-1)?.status;
    if (status === 'accepted' || status === 'no_balance') return null;
    const paid = (status === 'paid') !== this.faults.strikes('resolved wrongly by a person');
    return paid ? 'succeeded' : 'failed';
  }

  #resolve(merchantId: string, refundId: string, outcome: 'succeeded' | 'failed'): void {
    const resolution = {
      outcome,
      evidence: 'seen at the gateway',
      arn: null,
      gatewayRefundId: null,
      cause: API,
    } as const;
    resolveRefund(this.#door().deps, merchantId, refundId, resolution).catch(() => undefined);
  }

  // Webhooks ----------------------------------------------------------------------------------------------------

  #sendWebhooks(account: Account, refund: BookedRefund, quick: boolean): void {
    if (this.faults.strikes('webhook lost')) return;
    const place = refund.history.length - 1;
    const wire = this.#books.get(account.accountId)!.shown(refund);
    const deliver = () =>
      this.#deliver(account, wire, SIGNATURE, 0, () => this.#auditor.heard(refund, place));
    if (quick) deliver();
    else {
      const late = this.faults.strikes('webhook late and out of order');
      const wait = this.#chance.pick(late ? [10 * MINUTE, 2 * HOUR, 20 * HOUR] : [0, SECOND, MINUTE]);
      this.timeline.at(this.timeline.nowMs + wait, deliver);
    }
    if (this.faults.strikes('webhook doubled'))
      this.timeline.at(this.timeline.nowMs + this.#chance.pick([0, SECOND, HOUR]), deliver);
  }

  /** Somebody who knows the refund's id tells of it what is not so, or not yet, whether the gateway has it or not. */
  #mayForgeWebhook(account: Account, refundId: string): void {
    if (!this.faults.strikes('webhook forged')) return;
    this.timeline.at(this.timeline.nowMs + this.#chance.pick([0, 0, SECOND, MINUTE, HOUR]), () => {
      const books = this.#books.get(account.accountId)!;
      const known = books.refunds.find(({ reference }) => reference === refundId);
      const wire: WireRefund = {
        ...(known
          ? books.shown(known)
          : { id: 're_forged', reference: refundId, payment: 'pay-0', amount: 1, payer: PAYER }),
        status: this.#chance.pick(['accepted', 'paid', 'failed', 'returned']),
        at: books.timesItsNews ? new Date(this.timeline.nowMs).toISOString() : null,
        arn: 'arn-forged',
      };
      this.#deliver(account, wire, 'forged', WEBHOOK_RETRIES_MS.length, () => undefined);
    });
  }

  /** Delivers as gateways do: again and again until it is taken. */
  #deliver(account: Account, wire: WireRefund, signature: string, time: number, taken: () => void): void {
    let done = false;
    const again = () => {
      if (!done && time < WEBHOOK_RETRIES_MS.length) this.#deliver(account, wire, signature, time + 1, taken);
      done = true;
    };
    const { deps } = this.#door();
    const reading = deps.gateways.get(account.gateway)!.readWebhook(
      {
        headers: { signature },
        rawBody: Buffer.from(JSON.stringify(wire)),
        receivedAt: deps.clock.now(),
      },
      { accountId: account.accountId, baseUrl: '', credentials: { secret_key: SECRETS.credential } },
    );
    if (reading.kind === 'rejected') return;
    const to = { merchantId: account.merchantId, gatewayAccountId: account.accountId };
    settleFromWebhook(deps, to, reading).then(
      () => {
        done = true;
        if (reading.kind === 'authentic') taken();
      },
      () => this.timeline.at(this.timeline.nowMs + WEBHOOK_RETRIES_MS[Math.min(time, 5)]!, again),
    );
    if (time < WEBHOOK_RETRIES_MS.length) this.timeline.at(this.timeline.nowMs + HOUR, again);
  }
}

/** Batches whose rows are all out, and that wait for outcomes. */
const FOLLOWS = `status = 'running' and rows_tried >= rows_confirmed and sent_at is not null`;

function settingsOf({ needsApproval, waitMs }: BatchPolicy): string {
  return JSON.stringify({ batch_approval: needsApproval, batch_wait_minutes: waitMs / MINUTE });
}

export function mixOfWorld({ seed, faults }: WorldSpec): FaultMix {
  const mix = faultMixOf(seed);
  return faults ? { ...mix, kinds: faults } : mix;
}
