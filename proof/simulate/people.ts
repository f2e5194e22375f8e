import type { Database } from '../../src/lib/db.ts';
import { cancelRefund } from '../../src/refunds/cancel.ts';
import { releaseHold } from '../../src/refunds/holds.ts';
import { lookNow } from '../../src/refunds/look.ts';
import { decideOnProposal, proposeResolution, resolveRefund } from '../../src/refunds/resolve.ts';
import type { Auditor } from './auditor.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import type { FilePeople, StatusLine } from './files.ts';
import type { ModelBooks } from './model-books.ts';
import type { Process } from './process.ts';
import type { Timeline } from './timeline.ts';

export interface PeopleWorld {
  readonly db: Database;
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly chance: Chance;
  readonly auditor: Auditor;
  readonly merchantIds: readonly string[];
  /** By account: what stands on a gateway's own dashboard. */
  readonly books: ReadonlyMap<string, ModelBooks>;
  /** By account: what stands on that of its other account there. */
  readonly otherBooks: ReadonlyMap<string, ModelBooks>;
  readonly files: FilePeople;
  readonly hasFiles: boolean;
  /** One of the processes that answer requests. */
  door(): Process;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** How a person's word on a refund reads. */
type Resolution = Omit<Parameters<typeof resolveRefund>[3], 'cause'>;

const USER_IDS = {
  first: '01990000-0000-7000-8000-000000000001',
  second: '01990000-0000-7000-8000-000000000002',
} as const;

function causeOf(person: 'first' | 'second') {
  return {
    by: 'user',
    user_id: USER_IDS[person],
    email: `${person}@shop.test`,
    request_id: 'simulated',
  } as const;
}

const API = { by: 'api', key: 'simulated', request_id: 'simulated' } as const;

/** Those who look after single refunds: they cancel, ask again and resolve, at bad moments, sometimes wrongly or without the right to. */
export class People {
  readonly #world: PeopleWorld;

  constructor(world: PeopleWorld) {
    this.#world = world;
  }

  /** Has sometimes somebody act on a refund that was just accepted. */
  follow(merchantId: string, refundId: string): void {
    const { timeline, faults, chance } = this.#world;
    const soon = () => timeline.nowMs + chance.pick([0, 0, SECOND, MINUTE, HOUR]);
    const other = this.#world.merchantIds.find((id) => id !== merchantId)!;
    if (faults.strikes('cancelled by a person'))
      timeline.at(soon(), () => this.#cancel(merchantId, refundId));
    if (faults.strikes('asked out of turn by a person'))
      timeline.at(soon(), () => this.#askOutOfTurn(merchantId, refundId));
    if (faults.strikes('acted on by another merchant'))
      timeline.at(soon(), () => this.#trespass(other, refundId));
  }

  /** Whoever sees a send in doubt asks about it again and again, or wants it gone. */
  growImpatient(merchantId: string, refundId: string): void {
    const { timeline, faults, chance } = this.#world;
    const later = (mostMs: number) => timeline.nowMs + chance.whole(0, mostMs);
    if (faults.strikes('asked out of turn by a person'))
      for (let n = 0; n < 4; n++)
        timeline.at(later(2 * MINUTE), () => this.#askOutOfTurn(merchantId, refundId));
    if (faults.strikes('cancelled by a person'))
      for (let n = 0; n < 6; n++) timeline.at(later(20 * MINUTE), () => this.#cancel(merchantId, refundId));
  }

  /** Goes through all that is in review: settles some of it, and not all of that rightly. */
  lookThrough(): void {
    const { timeline, faults, files } = this.#world;
    const work = async () => {
      const inFile = this.#world.hasFiles && faults.strikes('resolved by a file');
      const byMerchant = new Map<string, StatusLine[]>();
      for (const { merchant_id, refund_id, gateway_account_id } of await this.#inReview()) {
        if (!faults.strikes('resolved by a person')) continue;
        const outcome = this.#outcomeByPerson(refund_id, gateway_account_id);
        if (outcome === null) continue;
        // Whether it was done is not always told: from here on it is theirs.
        this.#world.auditor.resolved(refund_id);
        if (inFile) {
          const lines = byMerchant.get(merchant_id) ?? [];
          byMerchant.set(merchant_id, [...lines, { refundId: refund_id, outcome }]);
        } else this.#resolve(merchant_id, refund_id, outcome);
      }
      // Where a restore has taken the file away, they are found in review again.
      for (const [merchantId, lines] of byMerchant) files.settle(merchantId, lines).catch(() => undefined);
    };
    void timeline.io(work);
    void timeline.io(() => this.#releaseHolds());
  }

  /** Settles all that can be, by what stands on the gateways' dashboards. */
  settleWhatIsLeft(): void {
    void this.#world.timeline.io(async () => {
      for (const { merchant_id, refund_id, gateway_account_id } of await this.#inReview()) {
        const outcome = this.#outcomeByPerson(refund_id, gateway_account_id);
        if (outcome === null) continue;
        this.#world.auditor.resolved(refund_id);
        this.#resolve(merchant_id, refund_id, outcome);
      }
    });
  }

  #inReview() {
    return this.#world.db.query<{ merchant_id: string; refund_id: string; gateway_account_id: string }>(
      `select merchant_id, refund_id, gateway_account_id from refunds
       where state = 'manual_review' order by merchant_id, order_id, unique_request_id`,
    );
  }

  /** Somebody has found out what became of the refunds that an account is held for. */
  async #releaseHolds(): Promise<void> {
    const { db, faults, auditor } = this.#world;
    const held = await db.query<{ merchant_id: string; gateway_account_id: string }>(
      'select merchant_id, gateway_account_id from account_holds where released_at is null order by 1, 2',
    );
    for (const { merchant_id, gateway_account_id } of held) {
      if (!faults.strikes('hold ended by a person')) continue;
      auditor.released(gateway_account_id);
      const { deps } = this.#world.door();
      const account = { merchantId: merchant_id, gatewayAccountId: gateway_account_id };
      const release = { by: 'somebody', reason: 'all of them were found', shared: false };
      releaseHold(deps.db, deps.clock, account, release).catch(() => undefined);
    }
  }

  /** By what the gateway's own dashboard says; sometimes wrongly. Null: it cannot be said. */
  #outcomeByPerson(refundId: string, accountId: string): 'succeeded' | 'failed' | null {
    const { faults, books, otherBooks } = this.#world;
    const status = [books, otherBooks]
      .flatMap((all) => all.get(accountId)!.refunds)
      .find(({ reference }) => reference === refundId)
      ?.history.at(-1)?.status;
    if (status === 'accepted' || status === 'no_balance') return null;
    const paid = (status === 'paid') !== faults.strikes('resolved wrongly by a person');
    return paid ? 'succeeded' : 'failed';
  }

  #resolve(merchantId: string, refundId: string, outcome: 'succeeded' | 'failed'): void {
    const { faults, auditor } = this.#world;
    const door = this.#world.door();
    const resolution = {
      outcome,
      evidence: 'seen at the gateway',
      arn: null,
      gatewayRefundId: null,
    } as const;
    const settling = auditor.settling(door, refundId);
    resolveRefund(door.deps, merchantId, refundId, { ...resolution, cause: causeOf('first') }).then(
      (resolved) => {
        if (resolved.ok) auditor.settledAlone(settling, outcome, this.#isAskedWhereSent);
        else auditor.notSettled(settling);
        const isRefused = !resolved.ok && resolved.refusal === 'gateway_says_otherwise';
        if (isRefused && faults.strikes('insisted against the gateway'))
          this.#insist(merchantId, refundId, resolution);
      },
      () => auditor.notSettled(settling),
    );
  }

  /** Whether everything is asked in the books that it was sent to. */
  get #isAskedWhereSent(): boolean {
    const { faults } = this.#world;
    return !faults.has('credentials of another account') && !faults.has('credentials wrong from the start');
  }

  /** Against the gateway's word, which two people may. */
  #insist(merchantId: string, refundId: string, resolution: Resolution): void {
    const { timeline, faults, chance, auditor } = this.#world;
    const decide = (by: 'first' | 'second', at: string) =>
      decideOnProposal(this.#world.door().deps, merchantId, refundId, {
        confirm: true,
        at,
        cause: causeOf(by),
      });
    const proposed = proposeResolution(this.#world.door().deps, merchantId, refundId, {
      ...resolution,
      cause: causeOf('first'),
    });
    proposed.then(
      (outcome) => {
        const at = outcome.ok ? (outcome.refund.proposal?.at ?? null) : null;
        if (at === null) return;
        if (faults.strikes('confirmed by who proposed it'))
          decide('first', at).then(
            ({ ok }) => auditor.confirmedOwn(refundId, ok),
            () => undefined,
          );
        timeline.at(timeline.nowMs + chance.pick([SECOND, MINUTE, HOUR]), () => {
          decide('second', at).catch(() => undefined);
        });
      },
      () => undefined,
    );
  }

  #cancel(merchantId: string, refundId: string): void {
    const { timeline, faults, chance } = this.#world;
    cancelRefund(this.#world.door().deps, merchantId, refundId, { reason: null, cause: API }).then(
      (cancelled) => {
        if (!cancelled.ok || !faults.strikes('cancelled refund made at the gateway by hand')) return;
        const { gatewayAccountId, gatewayPaymentId, amountMinor } = cancelled.refund;
        timeline.at(timeline.nowMs + chance.whole(MINUTE, 4 * HOUR), () =>
          this.#world.books.get(gatewayAccountId)!.makeByHand(refundId, gatewayPaymentId, amountMinor),
        );
      },
      () => undefined,
    );
  }

  #askOutOfTurn(merchantId: string, refundId: string): void {
    lookNow(this.#world.door().deps, merchantId, refundId, API).catch(() => undefined);
  }

  #trespass(merchantId: string, refundId: string): void {
    const { deps } = this.#world.door();
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
        (outcome) => this.#world.auditor.trespassed(refundId, !outcome.ok && outcome.refusal === 'not_found'),
        () => undefined,
      );
  }
}
