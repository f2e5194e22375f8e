import type { Exchange, GatewayHttp } from '../../src/gateways/gateway.ts';
import type { Chance } from './chance.ts';
import type { Faults } from './faults.ts';
import {
  JSON_HEADERS,
  type ModelProfile,
  payerOf,
  type WireRefund,
  type WireRequest,
} from './model-gateway.ts';
import { neverMore, type Owner, type Timeline } from './timeline.ts';

export type PaidStatus = 'accepted' | 'no_balance' | 'paid' | 'failed' | 'returned';

/** A refund in the gateway's own books. */
export interface BookedRefund {
  /** Gateways number alike, in each account from one on: equal ids are not equal refunds. */
  readonly id: string;
  /** Our refund id; null for one made behind our back. */
  readonly reference: string | null;
  readonly payment: string;
  readonly amountMinor: number;
  readonly currency: string;
  /** Whether it is of another amount or currency than was asked for. */
  readonly isMisfit: boolean;
  /** Whether somebody has made it at the gateway itself, by hand. */
  readonly isByHand: boolean;
  readonly madeAtMs: number;
  /** From when look-ups find it. */
  readonly visibleFromMs: number;
  readonly history: { readonly status: PaidStatus; readonly atMs: number }[];
}

/** A request to make a refund, as it arrives. */
export interface AskedAtGateway {
  readonly accountId: string;
  readonly reference: string;
  readonly key: string | null;
  readonly body: string;
  readonly sentMs: number;
  readonly books: ModelBooks;
}

export interface BookListener {
  /** A request to make a refund has arrived, which left us some time before. */
  asked(asked: Omit<AskedAtGateway, 'accountId'>): void;
  /** It was neither refused nor told to come later: whether it was done only the gateway can say. */
  taken(reference: string): void;
  /** The gateway itself has said no to it. */
  refused(reference: string): void;
  /** It was sent when the key's life was over. */
  sentPastKeyLife(reference: string): void;
  /** Nothing that works has answered one of our processes, or it was told that its credentials are wrong. */
  leftUnanswered(): void;
  /** The sender has got no answer that says what became of it. */
  leftInDoubt(reference: string): void;
  made(refund: BookedRefund): void;
  /** One of our processes was told how it stands; null: that there is none. */
  shown(owner: Owner, reference: string, status: PaidStatus | null): void;
  /** Its status is another now, the first one included. */
  moved(refund: BookedRefund, webhook: WebhookFate): void;
}

export type WebhookFate = 'told' | 'runs ahead of the answer' | 'never told';

/** A payment that a gateway has taken. */
export interface TakenPayment {
  readonly amountMinor: number;
  readonly currency: string;
}

type Deed = Pick<BookedRefund, 'amountMinor' | 'currency' | 'isMisfit' | 'isByHand'>;

/** What one request comes to. */
interface Reply {
  readonly exchange: Exchange;
  /** The refund that it speaks of, and how that stands; null: there is none. Left out where it says neither. */
  readonly of?: { readonly reference: string; readonly status: PaidStatus | null };
  /** It was not the gateway that wrote it. */
  readonly isOfAnother?: true;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/**
 * A gateway in memory, with its own books and its own true time. Within its contract: a key is remembered for its
 * whole life, and a refund is found before the look-ups that prove absence have come to an end.
 */
export class ModelBooks {
  readonly refunds: BookedRefund[] = [];
  readonly #byReference = new Map<string, BookedRefund>();
  readonly #keys = new Map<string, { readonly untilMs: number; readonly answer: Reply }>();
  readonly #payments: ReadonlyMap<string, TakenPayment>;
  readonly #credential: string;
  readonly #noFundsUntilMs = new Map<string, number>();
  readonly #refusedUntilMs = new Map<string, number>();
  readonly #profile: ModelProfile;
  readonly #timeline: Timeline;
  readonly #faults: Faults;
  readonly #chance: Chance;
  readonly #listener: BookListener;
  /** How much earlier than it should our processes, with clocks apart, may take absence as proved. */
  readonly #apartMs: number;
  /** A forward jump of our clock would break the spacing that the proof of absence rests on. */
  readonly #mayLag: boolean;
  /** Something on the way back puts its own page in place of every answer, some of it before the request arrives. */
  #box: { readonly untilMs: number; readonly lets: 'through' | 'nothing' | 'some' } | null = null;

  constructor(
    profile: ModelProfile,
    parts: {
      timeline: Timeline;
      faults: Faults;
      chance: Chance;
      listener: BookListener;
      /** By the gateway's id. */
      payments: ReadonlyMap<string, TakenPayment>;
      /** What this account is opened with. */
      credential: string;
      apartMs: number;
      mayLag: boolean;
    },
  ) {
    this.#profile = profile;
    this.#timeline = parts.timeline;
    this.#faults = parts.faults;
    this.#chance = parts.chance;
    this.#listener = parts.listener;
    this.#payments = parts.payments;
    this.#credential = parts.credential;
    this.#apartMs = parts.apartMs;
    this.#mayLag = parts.mayLag;
  }

  get timesItsNews(): boolean {
    return this.#profile.timesItsNews;
  }

  /** Whether what is shown as its outcome for good is sure to be held against these books. */
  get isRechecked(): { readonly afterSuccess: boolean; readonly afterPeople: boolean } {
    const { hasLookUps } = this.#profile;
    return { afterSuccess: hasLookUps && this.#weeksMs > 0, afterPeople: hasLookUps };
  }

  get provesAbsence(): boolean {
    return this.#profile.capabilities.absenceProof !== null;
  }

  statusOf(refund: BookedRefund): PaidStatus {
    return refund.history.at(-1)!.status;
  }

  shown(refund: BookedRefund, entry = refund.history.at(-1)!): WireRefund {
    return {
      id: refund.id,
      reference: refund.reference,
      payment: refund.payment,
      amount: refund.amountMinor,
      currency: refund.currency,
      status: entry.status,
      at: this.#profile.timesItsNews ? new Date(entry.atMs).toISOString() : null,
      arn: entry.status === 'paid' ? `arn-${refund.reference}` : null,
      payer: payerOf(this.#credential),
    };
  }

  /** No refund of the payment is made until then. */
  refuse(payment: string, untilMs: number): void {
    this.#refusedUntilMs.set(payment, untilMs);
  }

  /** A box on the way here stays until then. */
  putBox(untilMs: number): void {
    this.#box = { untilMs, lets: this.#chance.pick(['through', 'through', 'nothing', 'some']) };
  }

  /** The way from one of our processes to this gateway and back. */
  httpOf(owner: Owner): GatewayHttp {
    const carry = this.#wayOf(owner);
    return async (request) => {
      const { exchange, of, isOfAnother } = await carry(request);
      const clear =
        exchange.kind === 'not_sent' ||
        (exchange.kind === 'response' && exchange.status < 500 && !isOfAnother);
      if (request.body !== null && !clear)
        this.#listener.leftInDoubt((JSON.parse(request.body) as WireRequest).reference);
      const isAnswer = exchange.kind === 'response' && exchange.status < 500;
      if (!isAnswer || (exchange.status === 401 && !isOfAnother)) this.#listener.leftUnanswered();
      if (of) this.#listener.shown(owner, of.reference, of.status);
      return exchange;
    };
  }

  #wayOf(owner: Owner): (request: Parameters<GatewayHttp>[0]) => Promise<Reply> {
    const wait = async (notBeforeMs?: number) =>
      owner.isMidStep ? 'go' : this.#timeline.turn(owner, notBeforeMs);
    return async (request) => {
      const timeoutMs = request.timeoutMs ?? 30_000;
      const sentMs = this.#timeline.nowMs;
      const faults = this.#faults;
      const turn = await wait();
      if (this.#timeline.nowMs > sentMs + timeoutMs) return noAnswer('timed out');
      if (faults.strikes('connection refused'))
        return { exchange: { kind: 'not_sent', why: 'connection refused' } };
      if (request.body !== null && this.#mayLag && faults.strikes('arrived after the time-out')) {
        this.#timeline.at(sentMs + timeoutMs + this.#withinProof(0.4), () => {
          this.#create(request.headers, request.body!, sentMs, 0.5);
        });
        await wait(sentMs + timeoutMs);
        return noAnswer('timed out');
      }
      if (faults.strikes('lost before the gateway did it')) return noAnswer('connection reset');
      const box = this.#boxNow();
      if (box === 'before' || faults.strikes('page of somebody else before the deed')) {
        await wait();
        return this.#pageOfAnother();
      }
      const answer =
        request.body === null
          ? this.#look(request.url)
          : this.#create(request.headers, request.body, sentMs, this.#profile.mostLag);
      if (turn === 'last') return neverMore();
      if (faults.strikes('lost after the gateway did it')) return noAnswer('connection reset');
      if (faults.strikes('slow answer')) {
        const tookMs = this.#chance.whole(0, 2 * timeoutMs);
        await wait(sentMs + Math.min(tookMs, timeoutMs));
        return tookMs > timeoutMs ? noAnswer('timed out') : answer;
      }
      await wait();
      if (box === 'after' || faults.strikes('page of somebody else after the deed'))
        return this.#pageOfAnother();
      return answer;
    };
  }

  #boxNow(): 'before' | 'after' | null {
    if (this.#box === null || this.#timeline.nowMs >= this.#box.untilMs) return null;
    if (this.#box.lets === 'through') return 'after';
    return this.#box.lets === 'nothing' || this.#chance.hit(0.5) ? 'before' : 'after';
  }

  #pageOfAnother(): Reply {
    const { contentType, body } = this.#chance.pick(PAGES);
    const status = this.#chance.pick([401, 403, 403, 429, 200, 404]);
    return {
      exchange: { kind: 'response', status, headers: { 'content-type': contentType }, body },
      isOfAnother: true,
    };
  }

  /** Somebody refunds at the gateway itself. */
  refundBehindOurBack(payment: string, amountMinor: number): void {
    const { currency } = this.#payments.get(payment)!;
    this.#book(null, payment, { amountMinor, currency, isMisfit: false, isByHand: true }, 0, ['paid']);
  }

  /** Somebody makes at the gateway itself, under our id, a refund that was cancelled here. */
  makeByHand(reference: string, payment: string, amountMinor: number): void {
    if (this.#byReference.has(reference)) return;
    const { currency } = this.#payments.get(payment)!;
    const fate: PaidStatus[] = this.#chance.hit(0.5) ? ['paid'] : ['accepted', 'paid'];
    this.#book(reference, payment, { amountMinor, currency, isMisfit: false, isByHand: true }, 0, fate);
  }

  /** `lagShare`: how much of the time that absence takes to be proved is left for look-ups to lag. */
  #create(headers: Readonly<Record<string, string>>, body: string, sentMs: number, lagShare: number): Reply {
    const asked = JSON.parse(body) as WireRequest;
    const key = headers['idempotency-key'] ?? null;
    this.#listener.asked({ reference: asked.reference, key, body, sentMs, books: this });
    if (this.#faults.strikes('401')) return problem(401, 'bad_credentials');
    if (this.#faults.strikes('429')) return problem(429, 'too_many_requests');
    const known = key === null ? undefined : this.#keys.get(key);
    if (known && known.untilMs <= sentMs) this.#listener.sentPastKeyLife(asked.reference);
    if (known && known.untilMs > this.#timeline.nowMs) return known.answer;
    const remember = (answer: Reply) => {
      const life = this.#profile.capabilities.keyLifeMs;
      if (key !== null && life !== null)
        this.#keys.set(key, { untilMs: this.#timeline.nowMs + life, answer });
      return answer;
    };

    if (this.#faults.strikes('5xx before doing it that is stored under the key')) {
      this.#listener.taken(asked.reference);
      return remember(problem(500, 'internal'));
    }
    const refusal = this.#refusalOf(asked);
    if (refusal) return refusal;
    const refund = this.#book(asked.reference, asked.payment, this.#deedOf(asked), lagShare);
    if (this.#faults.strikes('5xx after doing it that is stored under the key'))
      return remember(problem(500, 'internal'));
    const answer = remember({
      ...ok(this.shown(refund)),
      of: { reference: asked.reference, status: this.statusOf(refund) },
    });
    return this.#faults.strikes('unreadable answer')
      ? {
          exchange: {
            kind: 'response',
            status: 200,
            headers: { 'content-type': 'text/html' },
            body: '<html>',
          },
        }
      : answer;
  }

  /** What is paid, which is not always what was asked for. */
  #deedOf({ amount, currency }: WireRequest): Deed {
    if (this.#faults.strikes('another amount is paid'))
      return { amountMinor: Math.ceil(amount / 2) + amount, currency, isMisfit: true, isByHand: false };
    if (this.#faults.strikes('another currency is paid'))
      return {
        amountMinor: amount,
        currency: currency === 'INR' ? 'KWD' : 'INR',
        isMisfit: true,
        isByHand: false,
      };
    return { amountMinor: amount, currency, isMisfit: false, isByHand: false };
  }

  #refusalOf(asked: WireRequest): Reply | null {
    if (this.#profile.knowsPayments && !this.#payments.has(asked.payment))
      return problem(404, 'no_such_payment');
    const code = this.#refusalCode(asked);
    if (code === null) return null;
    // Neither want of balance nor a payment that was given back otherwise says that this refund comes to nothing.
    if (code !== 'no_funds' && code !== 'already_refunded') this.#listener.refused(asked.reference);
    return problem(code === 'no_funds' ? 402 : 422, code);
  }

  #refusalCode(asked: WireRequest): string | null {
    if (this.#timeline.nowMs < (this.#refusedUntilMs.get(asked.payment) ?? 0)) return 'refused';
    if (this.#profile.refusesRepeats && this.#byReference.has(asked.reference)) return 'reference_exists';
    const fundsMs = this.#noFundsUntilMs.get(asked.reference);
    if (fundsMs !== undefined && fundsMs > this.#timeline.nowMs) return 'no_funds';
    if (fundsMs === undefined && this.#faults.strikes('no balance')) {
      this.#noFundsUntilMs.set(asked.reference, this.#timeline.nowMs + this.#chance.whole(0, 12 * HOUR));
      return 'no_funds';
    }
    if (this.#profile.guardsPayment) {
      const given = this.refunds
        .filter(
          (refund) =>
            refund.payment === asked.payment && !['failed', 'returned'].includes(this.statusOf(refund)),
        )
        .reduce((sum, refund) => sum + refund.amountMinor, 0);
      if (given + asked.amount > (this.#payments.get(asked.payment)?.amountMinor ?? 0))
        return 'already_refunded';
    }
    // A request that is repeated would have been refused before.
    if (!this.#byReference.has(asked.reference) && this.#faults.strikes('refused at once')) return 'refused';
    return null;
  }

  #book(
    reference: string | null,
    payment: string,
    deed: Deed,
    lagShare: number,
    only?: readonly PaidStatus[],
  ): BookedRefund {
    const nowMs = this.#timeline.nowMs;
    const refund: BookedRefund = {
      id: `re_${this.refunds.length + 1}`,
      reference,
      payment,
      ...deed,
      madeAtMs: nowMs,
      visibleFromMs:
        this.#mayLag && this.#faults.strikes('look-up that lags')
          ? nowMs + this.#withinProof(lagShare)
          : nowMs,
      history: [],
    };
    this.refunds.push(refund);
    this.#listener.made(refund);
    if (reference !== null) this.#byReference.set(reference, refund);
    const fate = only ?? this.#fate();
    const move = (status: PaidStatus, isNeverTold: boolean) => {
      const lastMs = refund.history.at(-1)?.atMs ?? 0;
      refund.history.push({ status, atMs: Math.max(this.#timeline.nowMs, lastMs + 1) });
      const isQuick = this.#faults.strikes('webhook before the answer');
      const webhook = isQuick ? 'runs ahead of the answer' : 'told';
      this.#listener.moved(refund, isNeverTold ? 'never told' : webhook);
    };
    move(fate[0]!, false);
    let atMs = nowMs;
    for (const [n, status] of fate.entries()) {
      if (n === 0) continue;
      const isWeeksLater = fate[n - 1] === 'paid' && this.#weeksMs > 0 && this.#chance.hit(0.5);
      atMs += isWeeksLater
        ? this.#chance.whole(6 * HOUR, Math.floor(this.#weeksMs * 0.8))
        : this.#chance.pick([this.#chance.whole(1, 5_000), MINUTE, this.#chance.whole(0, 6 * HOUR)]);
      // By then nothing goes wrong any more: what goes wrong with it is drawn now.
      const isNeverTold = isWeeksLater && this.#faults.strikes('webhook lost');
      this.#timeline.at(atMs, () => move(status, isNeverTold));
    }
    return refund;
  }

  /** For how long a success is asked about again: it is taken back before the last look. */
  get #weeksMs(): number {
    return this.#profile.capabilities.recheckDelaysMs.reduce((sum, delayMs) => sum + delayMs, 0);
  }

  #fate(): PaidStatus[] {
    const accepted: PaidStatus[] = this.#chance.hit(0.5) ? [] : ['accepted'];
    if (this.#faults.strikes('pending for ever')) return ['accepted'];
    if (this.#faults.strikes('success taken back'))
      return [...accepted, 'paid', this.#chance.pick(['failed', 'returned'] as const)];
    if (this.#faults.strikes('success after a failure')) return [...accepted, 'failed', 'paid'];
    if (this.#faults.strikes('failed after being accepted')) return ['accepted', 'failed'];
    if (this.#faults.strikes('no balance')) return ['no_balance', 'accepted', 'paid'];
    return [...accepted, 'paid'];
  }

  #look(url: string): Reply {
    if (this.#faults.strikes('401')) return problem(401, 'bad_credentials');
    if (this.#faults.strikes('429')) return problem(429, 'too_many_requests');
    if (this.#faults.strikes('look-up that fails')) return problem(503, 'unavailable');
    const { searchParams, pathname } = new URL(url);
    const payment = searchParams.get('payment');
    const asked = payment ?? searchParams.get('of')!;
    if (this.#profile.knowsPayments && !this.#payments.has(asked)) return problem(404, 'no_such_payment');
    if (payment !== null) {
      const listed = this.refunds.filter(
        (one) => one.payment === payment && one.visibleFromMs <= this.#timeline.nowMs,
      );
      return ok(listed.map((one) => this.shown(one)));
    }
    const reference = pathname.slice(pathname.lastIndexOf('/') + 1);
    const refund = this.#byReference.get(reference);
    if (!refund || refund.visibleFromMs > this.#timeline.nowMs)
      return { ...problem(404, 'no_such_refund'), of: { reference, status: null } };
    const entry =
      refund.history.length > 1 && this.#faults.strikes('look-up that lags')
        ? refund.history.at(-2)!
        : refund.history.at(-1)!;
    return { ...ok(this.shown(refund, entry)), of: { reference, status: entry.status } };
  }

  /** A wait of at most this share of the time in which absence is proved, by whichever of our clocks. */
  #withinProof(share: number): number {
    const proof = this.#profile.capabilities.absenceProof;
    const wholeMs = proof ? proof.answers * proof.spacingMs : 10 * MINUTE;
    return Math.floor((wholeMs - this.#apartMs) * share * (this.#chance.hit(0.5) ? 1 : this.#chance.next()));
  }
}

/** What proxies, filters and portals write in place of an answer. */
const PAGES = [
  { contentType: 'text/html', body: '<html>Access denied.' },
  { contentType: 'application/json', body: '{"message":"Forbidden"}' },
  { contentType: 'application/json', body: '{"error":{"code":403,"message":"Blocked by policy."}}' },
  { contentType: 'application/json', body: '{"error":"no such host","reference":null}' },
] as const;

function ok(body: WireRefund | WireRefund[]): Reply {
  return { exchange: { kind: 'response', status: 200, headers: JSON_HEADERS, body: JSON.stringify(body) } };
}

function problem(status: number, code: string): Reply {
  return {
    exchange: { kind: 'response', status, headers: JSON_HEADERS, body: JSON.stringify({ error: { code } }) },
  };
}

function noAnswer(why: string): Reply {
  return { exchange: { kind: 'no_answer', why } };
}
