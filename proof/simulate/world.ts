import { sealEvents } from '../../src/audit/checkpoint.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import { markBooks } from '../../src/backup.ts';
import type { GatewayAccountAccess } from '../../src/gateways/gateway.ts';
import { type GatewayRegistry, registryOf } from '../../src/gateways/registry.ts';
import { TOLERATED_APART_MS } from '../../src/lib/database-clock.ts';
import type { Database } from '../../src/lib/db.ts';
import { createLogger } from '../../src/lib/log.ts';
import { createVault } from '../../src/lib/vault.ts';
import { type Restored, readRestored } from '../../src/refunds/restored.ts';
import { WEBHOOK_EVENT_NAMES } from '../../src/webhooks/events.ts';
import { Auditor, Broken } from './auditor.ts';
import { type Backup, takeBackup } from './backup.ts';
import { BatchAuditor, type BatchPolicy } from './batch-auditor.ts';
import { Chance } from './chance.ts';
import { DOORS } from './doors.ts';
import { type FaultMix, Faults, faultMixOf } from './faults.ts';
import { FilePeople } from './files.ts';
import { type Account, type Endpoint, type Order, writeFirstBooks } from './first-books.ts';
import { GatewayWebhooks } from './gateway-webhooks.ts';
import type { Ground } from './ground.ts';
import { Merchants } from './merchants.ts';
import { type BookedRefund, ModelBooks, type TakenPayment, type WebhookFate } from './model-books.ts';
import { MODEL_GATEWAYS, modelConnector, NEW_WEBHOOK_SECRET, profileOf, SECRETS } from './model-gateway.ts';
import { OurBooks } from './our-books.ts';
import { People } from './people.ts';
import { type LoopName, Process, RUN, type World } from './process.ts';
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
const MOST_ROWS = Math.max(...DOORS.filter(({ isForFiles }) => isForFiles).map(({ most }) => most));
/** Weeks in which what has ended is asked about, and a week more where the gateway does not answer. */
const ASKED_FOR_AT_MOST_MS = 60 * 24 * HOUR;
const TAIL_STEP_MS = 8 * HOUR;
/** Longer than any look-up lags and any send is under way. */
const RESTORE_TAKES_MS = 30 * MINUTE;

/** What workers go round with, and how likely a new round is before the work under way is done. */
const LOOPS = [
  { loop: 'refunds', impatience: 0.03 },
  { loop: 'webhooks', impatience: 0.02 },
  { loop: 'batches', impatience: 0.05 },
] as const satisfies readonly { loop: LoopName; impatience: number }[];

/** Their share is greater: keys would hide what sends twice. */
const WITHOUT_KEYS = MODEL_GATEWAYS.filter(
  ({ capabilities }) => capabilities.keyLifeMs === null && capabilities.absenceProof !== null,
);

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
  readonly #merchants: Merchants;
  readonly #people: People;
  readonly #webhooks: GatewayWebhooks;
  readonly #accounts: readonly Account[];
  readonly #orders: readonly Order[];
  /** Telling costs as much as refunding: only some worlds have merchants who want to be told. */
  readonly #endpoints: readonly Endpoint[];
  /** By account: what the gateway it belongs to has. */
  readonly #books = new Map<string, ModelBooks>();
  /** By account: what another account of its gateway has. */
  readonly #otherBooks = new Map<string, ModelBooks>();
  readonly #auditor: Auditor;
  readonly #workers: Process[] = [];
  readonly #doors: Process[] = [];
  readonly #switchedOff = new Set<string>();
  /** By account: the credentials that are entered in place of its own. */
  readonly #entered = new Map<string, 'of another account' | 'new ones'>();
  /** By account: until when its gateway signs with a secret that was not entered here. */
  readonly #signsAnewUntilMs = new Map<string, number>();
  readonly #clockMode: 'forward' | 'back' | 'both';
  readonly #faultsEndMs: number;
  /** How much later than planned our machines take something up. */
  readonly #delaysMs: readonly number[];
  #backup: Backup | null = null;
  #waitsForBackup = false;
  /** All our machines are gone until the books are back. */
  #isDown = false;
  #futileMs = SECOND;
  /** The loops of our workers that may find something to do. */
  readonly #mayBegin = new Set<LoopName>(['refunds']);
  #over = false;
  /** Nothing is left but to ask about what has ended, and to hear of it. */
  #isAllEnded = false;

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
      newRequestId: (merchantId) => this.#merchants.newRequestId(merchantId),
    });
    const shared = {
      db: this.db,
      timeline: this.timeline,
      faults: this.faults,
      chance,
      auditor: this.#auditor,
      books: this.#books,
      files: this.#filePeople,
      hasFiles: this.hasFiles,
      door: () => this.#door(),
    };
    this.#webhooks = new GatewayWebhooks({
      ...shared,
      accessOf: (accountId) => this.accessOf(accountId),
      signingSecretOf: (accountId) => {
        const isNew = this.timeline.nowMs < (this.#signsAnewUntilMs.get(accountId) ?? 0);
        return isNew ? NEW_WEBHOOK_SECRET : SECRETS['webhook secret'];
      },
    });
    this.#people = new People({ ...shared, otherBooks: this.#otherBooks, merchantIds: this.#merchantIds });
    this.#merchants = new Merchants({
      ...shared,
      orders: this.#orders,
      startMs: START_MS,
      isDown: () => this.#isDown,
      refuse: (order, untilMs) => this.#books.get(order.accountId)!.refuse(order.payment, untilMs),
      accepted: (refundId, order) => {
        this.#webhooks.mayForge(order, refundId);
        this.#people.follow(order.merchantId, refundId);
      },
    });
    this.receivers = new Receivers(this.timeline, this.faults, root.fork(), this.#auditor);
    for (const account of this.#accounts) {
      const payments = this.#orders
        .filter((order) => order.accountId === account.accountId)
        .map((order) => [order.payment, order] as const);
      this.#books.set(
        account.accountId,
        this.#openBooks(account, SECRETS.credential, new Map(payments), (refund, webhook) =>
          this.#webhooks.send(account, refund, webhook),
        ),
      );
      const other = SECRETS['credential of another account'];
      // Its webhooks go to whom it belongs to.
      this.#otherBooks.set(
        account.accountId,
        this.#openBooks(account, other, new Map(), () => undefined),
      );
    }
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

  async prepare(): Promise<void> {
    await writeFirstBooks(this.db, this.vault, new Date(START_MS), {
      policies: this.#policies,
      accounts: this.#accounts,
      orders: this.#orders,
      endpoints: this.#endpoints,
    });
    this.#startProcesses();
    this.#merchants.plan(this.#spec.refunds);
    this.#merchants.tryTimeAndAgain();
    this.#planRestore();
    this.timeline.at(START_MS + HOUR, () => this.#troubleNow());
    this.timeline.at(START_MS + HOUR / 2, () => this.#sealNow());
    this.timeline.at(START_MS + 2 * HOUR, () => this.#peopleAtWork());
    this.timeline.at(this.#faultsEndMs, () => {
      this.faults.end();
      this.#switchedOff.clear();
      this.#entered.clear();
    });
    for (const { accountId } of this.#accounts)
      if (this.faults.strikes('credentials wrong from the start')) {
        this.#entered.set(accountId, 'of another account');
        this.timeline.at(START_MS + this.#chance.whole(HOUR / 2, 8 * HOUR), () =>
          this.#entered.delete(accountId),
        );
      }
  }

  #openBooks(
    account: Account,
    credential: string,
    payments: ReadonlyMap<string, TakenPayment>,
    tell: (refund: BookedRefund, webhook: WebhookFate) => void,
  ): ModelBooks {
    return new ModelBooks(profileOf(account.gateway), {
      timeline: this.timeline,
      faults: this.faults,
      chance: this.#chance.fork(),
      payments,
      credential,
      apartMs: this.faults.has('clocks apart') ? 2 * TOLERATED_APART_MS : 0,
      mayLag: !this.faults.has('clock jumped') || this.#clockMode === 'back',
      listener: {
        asked: (asked) => this.#auditor.asked({ ...asked, accountId: account.accountId }),
        leftUnanswered: () => this.#auditor.leftUnanswered(account.accountId),
        taken: (reference) => this.#auditor.taken(reference),
        refused: (reference) => this.#auditor.refused(reference),
        sentPastKeyLife: (reference) => this.#auditor.sentPastKeyLife(reference),
        leftInDoubt: (reference) => {
          this.#people.growImpatient(account.merchantId, reference);
          if (this.faults.strikes('credentials of another account')) this.#swapCredentials(account);
          this.#webhooks.mayForge(account, reference);
        },
        made: (refund) => this.#auditor.made(refund),
        shown: (owner, reference, status) =>
          this.#auditor.shown(owner, reference, status, this.timeline.nowMs),
        moved: (refund, webhook) => {
          tell(refund, webhook);
          if (refund.reference !== null) this.#webhooks.mayForge(account, refund.reference);
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
    let checkAllAt = STEPS_PER_CHECK_OF_ALL;
    for (;;) {
      this.timeline.begin();
      await this.timeline.settled();
      for (const { loop, impatience } of LOOPS)
        if (this.#mayBegin.has(loop) && (this.timeline.idle || this.#chance.hit(impatience)))
          this.#begin(loop);
      if (this.timeline.idle) {
        if (this.#mayBegin.size === 0 && !(await this.#passTime())) break;
        await this.timeline.settled();
        if (this.timeline.nowMs > this.#lastMs() + (this.#isAllEnded ? ASKED_FOR_AT_MOST_MS : 0))
          throw new Broken('invariant 5: the world does not come to its end');
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

  /** When all must have ended. */
  #lastMs(): number {
    // After a restore nothing is sent to a gateway that cannot be asked: each slice of a batch waits for people.
    const limits = this.restored !== null && this.hasFiles ? 1 + Math.ceil(MOST_ROWS / RUN.runAhead) : 1;
    return this.#faultsEndMs + limits * this.manualReviewAfterMs + 72 * HOUR;
  }

  wake(): void {
    this.#mayBegin.add('refunds');
  }

  wakeTellers(): void {
    if (this.#endpoints.length > 0) this.#mayBegin.add('webhooks');
  }

  wakeSteppers(): void {
    if (this.hasFiles) this.#mayBegin.add('batches');
  }

  /** Has one worker, and sometimes the other too, begin a round. */
  #begin(loop: LoopName): void {
    this.#mayBegin.delete(loop);
    const first = this.#chance.pick(this.#workers);
    for (const worker of this.#workers) {
      if (worker !== first && this.#chance.hit(0.6)) continue;
      worker.begin(loop, (more) => {
        if (more) this.#mayBegin.add(loop);
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
      asked: number;
      tell: Date | null;
      step: Date | null;
      follow: Date | null;
    }>(
      `select least(min(next_look_at) filter (where state <> 'manual_review' or not $1), min(recheck_at)) as look,
              min(review_at) filter (where state in ('queued', 'unknown', 'waiting_for_funds', 'submitted')) as review,
              count(*) filter (where next_look_at is not null and state <> 'manual_review')::int as open,
              count(recheck_at)::int as asked,
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
    const { look, review, open, asked, tell, step, follow } = row!;
    this.#isAllEnded = open === 0 && step === null;
    const isAllTold = tell === null && follow === null;
    if (planned === null && this.#isAllEnded && isAllTold && asked === 0) return false;
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
    // For weeks nothing happens but a question now and then: they are asked together.
    const isTail = this.#over && this.#isAllEnded && isAllTold;
    const lateMs = isTail ? this.#chance.whole(0, TAIL_STEP_MS) : this.#chance.pick(this.#delaysMs);
    this.timeline.nowMs = Math.max(nextMs, this.timeline.nowMs) + lateMs;
    const isDue = [look, review].some(
      (at) => at !== null && at.getTime() <= this.#now().getTime() + TOLERATED_APART_MS,
    );
    if (isDue || this.#chance.hit(0.1)) this.wake();
    if (tell !== null) this.wakeTellers();
    if (step !== null || following !== null || (follow !== null && this.#chance.hit(0.1)))
      this.wakeSteppers();
    return true;
  }

  #now(): Date {
    return new Date(this.timeline.nowMs + this.clockOffsetMs);
  }

  #door(): Process {
    return this.#chance.pick(this.#doors);
  }

  // Our machines ------------------------------------------------------------------------------------------------

  httpOf(owner: Owner) {
    const waysOf = (books: ReadonlyMap<string, ModelBooks>) =>
      new Map([...books].map(([accountId, ofAccount]) => [accountId, ofAccount.httpOf(owner)]));
    const [ways, otherWays] = [waysOf(this.#books), waysOf(this.#otherBooks)];
    return (request: Parameters<ReturnType<ModelBooks['httpOf']>>[0]) => {
      const isOther = request.headers['authorization'] === SECRETS['credential of another account'];
      return (isOther ? otherWays : ways).get(new URL(request.url).hostname)!(request);
    };
  }

  openAccess(accountId: string): GatewayAccountAccess | null {
    if (!this.#switchedOff.has(accountId)) return this.accessOf(accountId);
    this.#auditor.leftUnanswered(accountId);
    return null;
  }

  /** What is entered for an account, whether it is switched on or not. */
  accessOf(accountId: string): GatewayAccountAccess {
    const entered = this.#entered.get(accountId);
    const isOther = entered === 'of another account';
    return {
      accountId,
      // Where a gateway cannot tell whose credentials they are, new ones of the same account look like another's.
      identity: entered === undefined ? accountId : `${accountId} with credentials ${entered}`,
      baseUrl: `http://${accountId}`,
      credentials: {
        secret_key: isOther ? SECRETS['credential of another account'] : SECRETS.credential,
        webhook_secret: isOther ? 'of another account' : SECRETS['webhook secret'],
      },
    };
  }

  #swapCredentials({ accountId }: Account): void {
    this.#entered.set(accountId, this.#chance.pick(['of another account', 'of another account', 'new ones']));
    const untilMs =
      this.timeline.nowMs + this.#chance.pick([MINUTE, 10 * MINUTE, this.#chance.whole(0, 6 * HOUR)]);
    this.timeline.at(untilMs, () => this.#entered.delete(accountId));
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
      this.wake();
      this.wakeSteppers();
    });
  }

  /**
   * The books are lost, and restored as they were hours before, by the program or by something that says nothing of it: a
   * snapshot, say. Merchants ask again for what they find lost.
   */
  #planRestore(): void {
    // Their receivers know newer states than restored books.
    if (this.#endpoints.length > 0) return;
    const isMarked = this.faults.strikes('books restored from a backup');
    // What a batch does again then, nobody can know.
    if (!isMarked && (this.hasFiles || !this.faults.strikes('books rolled back without a word'))) return;
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
      () => void this.timeline.io(() => this.#restore(this.#backup!, isMarked)),
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

  async #restore(backup: Backup, isMarked: boolean): Promise<void> {
    const { deps } = this.#newProcess();
    await this.db.transaction(async (tx) => {
      await backup.restore(tx);
      if (isMarked) await markBooks(tx, deps, backup.at);
    });
    this.restored = isMarked ? await readRestored(this.db, this.#now()) : null;
    const rows = await this.db.query<{ refund_id: string }>('select refund_id from refunds');
    const refundIds = new Set(rows.map((row) => row.refund_id));
    this.#auditor.restored(refundIds, this.timeline.nowMs, isMarked);
    this.#startProcesses();
    this.#isDown = false;
    this.wake();
    this.wakeSteppers();
    this.#filePeople.lookAgain();
    this.#merchants.askForLost(refundIds);
  }

  #peopleAtWork(): void {
    this.#people.lookThrough();
    if (this.timeline.nowMs < this.#faultsEndMs + 30 * HOUR)
      this.timeline.at(this.timeline.nowMs + 8 * HOUR, () => this.#peopleAtWork());
    else {
      this.#over = true;
      this.#people.settleWhatIsLeft();
    }
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
    for (const account of this.#accounts) {
      const { accountId } = account;
      if (this.faults.strikes('credentials of another account')) this.#swapCredentials(account);
      if (this.faults.strikes('webhook secret changed at the gateway alone')) {
        const lastsMs = this.#chance.pick([HOUR, this.#chance.whole(0, 36 * HOUR), 30 * 24 * HOUR]);
        this.#signsAnewUntilMs.set(accountId, this.timeline.nowMs + lastsMs);
      }
      if (this.faults.strikes('page of somebody else for hours')) {
        const lastsMs = this.#chance.pick([HOUR, 3 * HOUR, this.#chance.whole(HOUR, 30 * HOUR)]);
        this.#books.get(accountId)!.putBox(Math.min(this.timeline.nowMs + lastsMs, this.#faultsEndMs));
      }
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
}

/** Batches whose rows are all out, and that wait for outcomes. */
const FOLLOWS = `status = 'running' and rows_tried >= rows_confirmed and sent_at is not null`;

export function mixOfWorld({ seed, faults }: WorldSpec): FaultMix {
  const mix = faultMixOf(seed);
  return faults ? { ...mix, kinds: faults } : mix;
}
