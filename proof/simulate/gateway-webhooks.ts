import type { GatewayAccountAccess } from '../../src/gateways/gateway.ts';
import { noteWebhookTrouble } from '../../src/gateways/health.ts';
import { settleFromWebhook } from '../../src/refunds/hear.ts';
import type { Auditor } from './auditor.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import type { Account } from './first-books.ts';
import type { BookedRefund, ModelBooks, WebhookFate } from './model-books.ts';
import { payerOf, SECRETS, signatureBy, type WireRefund } from './model-gateway.ts';
import type { Process } from './process.ts';
import type { Timeline } from './timeline.ts';

export interface WebhookWorld {
  readonly timeline: Timeline;
  readonly faults: Faults;
  readonly chance: Chance;
  readonly auditor: Auditor;
  /** By account. */
  readonly books: ReadonlyMap<string, ModelBooks>;
  /** What the gateway signs with for an account. */
  signingSecretOf(accountId: string): string;
  /** What is entered for an account. */
  accessOf(accountId: string): GatewayAccountAccess;
  /** One of the processes that answer requests. */
  door(): Process;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const RETRIES_MS = [5 * SECOND, MINUTE, 10 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR];

/** The webhooks of the gateways on their way to us, and those that somebody else makes up. */
export class GatewayWebhooks {
  readonly #world: WebhookWorld;

  constructor(world: WebhookWorld) {
    this.#world = world;
  }

  /** Tells of the last thing that has become of a refund, unless it is lost. */
  send(account: Account, refund: BookedRefund, fate: WebhookFate): void {
    const { timeline, faults, chance, auditor, books } = this.#world;
    if (fate === 'never told' || faults.strikes('webhook lost')) return;
    const place = refund.history.length - 1;
    const wire = books.get(account.accountId)!.shown(refund);
    const signature = () => signatureBy(this.#world.signingSecretOf(account.accountId));
    const deliver = () =>
      this.#deliver(account, wire, signature, 0, () =>
        auditor.heard(account.accountId, refund, place, timeline.nowMs),
      );
    if (fate === 'runs ahead of the answer') deliver();
    else {
      const late = faults.strikes('webhook late and out of order');
      const wait = chance.pick(late ? [10 * MINUTE, 2 * HOUR, 20 * HOUR] : [0, SECOND, MINUTE]);
      timeline.at(timeline.nowMs + wait, deliver);
    }
    if (faults.strikes('webhook doubled'))
      timeline.at(timeline.nowMs + chance.pick([0, SECOND, HOUR]), deliver);
  }

  /** Somebody who knows the refund's id tells of it what is not so, or not yet, whether the gateway has it or not. */
  mayForge(account: Account, refundId: string): void {
    const { timeline, faults, chance, books } = this.#world;
    if (!faults.strikes('webhook forged')) return;
    timeline.at(timeline.nowMs + chance.pick([0, 0, SECOND, MINUTE, HOUR]), () => {
      const ofAccount = books.get(account.accountId)!;
      const known = ofAccount.refunds.find(({ reference }) => reference === refundId);
      const wire: WireRefund = {
        ...(known
          ? ofAccount.shown(known)
          : {
              id: 're_forged',
              reference: refundId,
              payment: 'pay-0',
              amount: 1,
              currency: 'INR',
              payer: payerOf(SECRETS.credential),
            }),
        status: chance.pick(['accepted', 'paid', 'failed', 'returned']),
        at: ofAccount.timesItsNews ? new Date(timeline.nowMs).toISOString() : null,
        arn: 'arn-forged',
      };
      this.#deliver(
        account,
        wire,
        () => 'forged',
        RETRIES_MS.length,
        () => undefined,
      );
    });
  }

  /** Delivers as gateways do: again and again until it is taken. */
  #deliver(
    account: Account,
    wire: WireRefund,
    signature: () => string,
    time: number,
    taken: () => void,
  ): void {
    const { timeline } = this.#world;
    let done = false;
    const again = () => {
      if (!done && time < RETRIES_MS.length) this.#deliver(account, wire, signature, time + 1, taken);
      done = true;
    };
    const { deps } = this.#world.door();
    const reading = deps.gateways.get(account.gateway)!.readWebhook(
      {
        headers: { signature: signature() },
        rawBody: Buffer.from(JSON.stringify(wire)),
        receivedAt: deps.clock.now(),
      },
      this.#world.accessOf(account.accountId),
    );
    const to = { merchantId: account.merchantId, gatewayAccountId: account.accountId };
    if (reading.kind === 'rejected') {
      noteWebhookTrouble(deps.db, deps.clock, to, reading.why).catch(() => undefined);
      timeline.at(timeline.nowMs + RETRIES_MS[Math.min(time, 5)]!, again);
      return;
    }
    settleFromWebhook(deps, to, reading).then(
      () => {
        done = true;
        if (reading.kind === 'authentic') taken();
      },
      () => timeline.at(timeline.nowMs + RETRIES_MS[Math.min(time, 5)]!, again),
    );
    if (time < RETRIES_MS.length) timeline.at(timeline.nowMs + HOUR, again);
  }
}
