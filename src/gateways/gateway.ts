/**
 * The contract between the engine and a payment gateway's connector.
 *
 * A connector is given facts and returns what the gateway said. It has no database, keeps nothing between
 * calls and decides nothing: what an answer means for a refund is decided above, once, for all gateways.
 */

/** What a connector may know of the refund it is to make, look up or recognise. Amounts are minor units. */
export interface RefundFacts {
  /** Our id of the refund; connectors put it where the gateway gives it back (metadata, receipt, reference …). */
  readonly refundId: string;
  /** 22 letters and digits, the same at every send of this refund. */
  readonly idempotencyKey: string;
  readonly orderId: string;
  readonly gatewayPaymentId: string;
  /** Known once the gateway has answered. */
  readonly gatewayRefundId: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  /** Decimals of `amountMinor`, as ISO 4217 has them. */
  readonly exponent: number;
  readonly refundType: RefundType;
  readonly reason: string | null;
  /** Where this account's webhooks reach us, for gateways that take the address with each request. */
  readonly webhookUrl: string | null;
}

export type RefundType = 'STANDARD' | 'INSTANT' | 'INSTANT_WITH_FALLBACK' | 'GATEWAY';

/** One account at the gateway, its credentials in clear. Never logged, never stored in this form. */
export interface GatewayAccountAccess {
  readonly accountId: string;
  /**
   * Whose books these credentials open: the account at the gateway, its mode and host. Where the gateway does not tell,
   * a fingerprint of host and credentials. What one identity does not know proves nothing about another.
   */
  readonly identity: string;
  readonly baseUrl: string;
  readonly credentials: Readonly<Record<string, string>>;
}

/** A request as it will go out, without credentials: stored before the first byte is sent, repeated unchanged. */
export interface PreparedRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query below the account's base URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** What one HTTP exchange with the gateway came to. */
export type Exchange =
  /** Nothing can have reached the gateway: refused, DNS, TLS. */
  | { readonly kind: 'not_sent'; readonly why: string }
  /** It may have reached the gateway; no usable answer came. */
  | { readonly kind: 'no_answer'; readonly why: string }
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    };

/** The one way out for connectors: time-outs, size limits and the address policy are inside. Never throws. */
export type GatewayHttp = (request: {
  readonly method: PreparedRequest['method'];
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly timeoutMs?: number;
}) => Promise<Exchange>;

/** What the gateway says of one refund. */
export interface RefundNews {
  readonly status: 'pending' | 'waiting_for_funds' | 'succeeded' | 'failed' | 'reversed';
  readonly gatewayRefundId: string | null;
  /** The gateway's own reference of the pay-out, where it differs from its id. */
  readonly gatewayReference: string | null;
  /** The gateway's own word, kept as it came. An unknown word is `pending`, with `unknownWord` set. */
  readonly rawStatus: string;
  readonly unknownWord?: boolean;
  /** Set while the gateway waits for somebody else before it goes on. */
  readonly waitsFor?: 'customer';
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** The bank's reference that a customer can ask for: ARN, RRN or UTR. */
  readonly arn: string | null;
  /** When the gateway says that this became so. */
  readonly at: Date | null;
  /** The gateway's answer, scrubbed of card and bank data, as evidence. */
  readonly evidence: Evidence;
}

/** Scrubbed raw material: what was said, in a form that a person can read years later. */
export type Evidence = Readonly<Record<string, unknown>>;

export type RefusedBecause = 'refunded_elsewhere' | 'disputed';

/** What came of asking the gateway to make a refund. The classes of gateways.md section 7. */
export type CreateAnswer =
  | { readonly kind: 'news'; readonly news: RefundNews }
  /** The gateway says no, and no refund exists. */
  | {
      readonly kind: 'refused';
      readonly errorCode: string | null;
      readonly errorMessage: string;
      /** Set where the refusal says that the customer may have the money already. */
      readonly because?: RefusedBecause;
      readonly evidence: Evidence;
    }
  /** The gateway itself says that this account has no such payment: a wrong id, or a key of another account. Not made. */
  | {
      readonly kind: 'no_payment';
      readonly errorCode: string | null;
      readonly errorMessage: string;
      readonly evidence: Evidence;
    }
  /** It made a refund, of another amount, currency or payment than was asked for: money has moved, and not as meant. */
  | { readonly kind: 'misfit'; readonly why: string; readonly evidence: Evidence }
  /** No balance at the gateway and no refund made; the same request may succeed later. */
  | { readonly kind: 'no_funds'; readonly errorMessage: string; readonly evidence: Evidence }
  /** The gateway itself says: not made, come later. */
  | { readonly kind: 'busy'; readonly retryAfterMs: number | null; readonly evidence: Evidence }
  /** The gateway itself says that our credentials or settings are wrong; not made. The account needs a person. */
  | { readonly kind: 'misconfigured'; readonly errorMessage: string; readonly evidence: Evidence }
  /** Nothing reached the gateway. */
  | { readonly kind: 'not_sent'; readonly why: string; readonly evidence: Evidence }
  /**
   * It may or may not have been made. `answered`: something did answer, be it a page of somebody else; only silence and a
   * server that says of itself that it is broken (5xx) are none.
   */
  | {
      readonly kind: 'unknown';
      readonly why: string;
      readonly answered: boolean;
      readonly evidence: Evidence;
    };

/** What came of asking the gateway about a refund. */
export type LookAnswer =
  | { readonly kind: 'news'; readonly news: RefundNews }
  /** The gateway has the payment in this account, and no such refund of it. */
  | { readonly kind: 'absent'; readonly evidence: Evidence }
  /** What carries our id, or the gateway's, is of another amount, currency or payment. */
  | { readonly kind: 'misfit'; readonly why: string; readonly evidence: Evidence }
  | { readonly kind: 'misconfigured'; readonly errorMessage: string; readonly evidence: Evidence }
  | { readonly kind: 'busy'; readonly retryAfterMs: number | null; readonly evidence: Evidence }
  /** Nothing is learnt. `answered`: as above. */
  | {
      readonly kind: 'no_answer';
      readonly why: string;
      readonly answered: boolean;
      readonly evidence: Evidence;
    };

/** A refund as the gateway lists it under a payment: ours or made elsewhere. */
export interface FoundRefund {
  /** Our refund id, where the gateway gave it back. */
  readonly refundId: string | null;
  readonly amountMinor: number;
  readonly currency: string;
  readonly news: RefundNews;
}

/**
 * Where a gateway can list no refunds, books that are restored from a backup cannot tell what they have lost: nothing new is
 * sent through its accounts for as long as the restore is watched, and each new refund goes to a person at the limit.
 */
export type FindAnswer =
  | { readonly kind: 'found'; readonly refunds: readonly FoundRefund[]; readonly evidence: Evidence }
  | NothingLearnt;

/** Answers to any question that say nothing about refunds. */
export type NothingLearnt = Extract<LookAnswer, { kind: 'misconfigured' | 'busy' | 'no_answer' }>;

/** What came of a question that changes nothing, asked to see whether an account's credentials work. */
export interface AccessCheck {
  /** The question, for people: `GET /v1/refunds?limit=1`. */
  readonly tried: string;
  readonly answer: { readonly kind: 'works'; readonly evidence: Evidence } | NothingLearnt;
}

/** Whether the account has a payment. Only where it is known can an absent refund of it prove anything. */
export type PaymentAnswer =
  | { readonly kind: 'known'; readonly evidence: Evidence }
  /** It has the payment, in another currency than was told. */
  | { readonly kind: 'misfit'; readonly why: string; readonly evidence: Evidence }
  | { readonly kind: 'unknown'; readonly evidence: Evidence }
  | NothingLearnt;

/** Whose books an account's credentials open, in the gateway's own words. */
export type IdentityAnswer =
  /** `identity` is equal for credentials of one account in one mode, and for no others: `acct_1A2b live`. */
  | { readonly kind: 'told'; readonly identity: string; readonly evidence: Evidence }
  /** This gateway, or a key with these rights, cannot tell. */
  | { readonly kind: 'not_told'; readonly why: string }
  | NothingLearnt;

/** A webhook as it arrived: raw bytes, before any parsing. */
export interface IncomingWebhook {
  readonly headers: Readonly<Record<string, string>>;
  readonly rawBody: Buffer;
  readonly receivedAt: Date;
}

/** One thing a webhook says about one refund. */
export interface WebhookEvent {
  /** The gateway's id of the event, for the trail. */
  readonly eventId: string | null;
  /** At least one of these leads to the refund. */
  readonly refundId: string | null;
  readonly gatewayRefundId: string | null;
  readonly gatewayPaymentId: string | null;
  /** Null: only a hint that something changed; ask the gateway. */
  readonly news: RefundNews | null;
  /**
   * Why it speaks of another refund than this one although it carries its id (what carries it can be edited by hand at
   * the gateway): another amount, or another payment. Null where it may well be this one. Stands with all news.
   */
  readonly misfit?: (facts: RefundFacts) => string | null;
}

export type WebhookReading =
  | { readonly kind: 'authentic'; readonly events: readonly WebhookEvent[] }
  /** The gateway cannot prove who wrote it: what it says is a hint to ask. */
  | { readonly kind: 'unproven'; readonly events: readonly WebhookEvent[] }
  | { readonly kind: 'rejected'; readonly why: string };

export interface Capabilities {
  readonly partialRefunds: boolean;
  readonly instantRefunds: boolean;
  /** How many days after the payment it still makes refunds; no limit where absent. */
  readonly refundableDays?: number;
  /** How long the gateway surely remembers a key; null: it has no keys, so nothing is ever re-sent blindly. */
  readonly keyLifeMs: number | null;
  /**
   * When "no such refund" proves that the gateway never made it: so many answers in a row, so far apart, the
   * first no sooner than `spacingMs` after the send. It leaves room for the clocks of two processes that are ten
   * seconds apart. Null: absence can never be proved.
   */
  readonly absenceProof: { readonly answers: number; readonly spacingMs: number } | null;
  /** Waits before the polls of an accepted refund; the last one repeats. */
  readonly pollDelaysMs: readonly number[];
  /**
   * Waits between looks at a refund that has succeeded, for gateways that may take it back; empty where a success is
   * the end. After the last one nobody asks any more.
   */
  readonly recheckDelaysMs: readonly number[];
  /** Waits before look-ups of an unanswered send; the last one repeats. */
  readonly lookDelaysMs: readonly number[];
  /** Waits before the same request is sent again after "not made"; the last one repeats. */
  readonly resendDelaysMs: readonly number[];
  /** Sends of one refund after which people take over. */
  readonly maxSends: number;
  /** Whether the gateway's webhooks can be proved authentic. */
  readonly webhookProof: 'signed' | 'unsigned' | 'none';
  /** The time-out of one exchange; 30 s when absent. */
  readonly answerWithinMs?: number;
  /** Defaults of a new account. */
  readonly maxConcurrent: number;
  readonly maxPerSecond: number;
}

/** The most that an account may be allowed, at the same time and in one second. */
export const MAX_CONCURRENT_LIMIT = 1000;
export const MAX_PER_SECOND_LIMIT = 10_000;

/** One field of an account's form; drives validation, masking and the dashboard. */
export interface CredentialField {
  readonly name: string;
  readonly label: string;
  readonly secret: boolean;
  /** A text of several lines, such as a key file. */
  readonly lines?: boolean;
  readonly required: boolean;
  /** It only proves who wrote a webhook: another value of it opens no other books. */
  readonly provesWebhooksOnly?: boolean;
  /** The pattern a value must match, as a regular expression source. */
  readonly pattern?: string;
  readonly help: string;
}

export interface Gateway {
  /** The contract's gateway word, in capitals: STRIPE, RAZORPAY … */
  readonly name: string;
  readonly label: string;
  /** The number that order objects carry as `gateway_id`. */
  readonly gatewayId: number;
  readonly defaultBaseUrl: string;
  /** Its other hosts, with their port where it is not the usual one: for tests, regions … */
  readonly otherHosts?: readonly string[];
  /** Where the gateway explains its refunds and keys; null where nobody but us does. */
  readonly docsUrl: string | null;
  /** False for a gateway of make-believe. */
  readonly movesRealMoney: boolean;
  readonly credentialFields: readonly CredentialField[];
  readonly capabilities: Capabilities;

  /** The request that makes this refund. Pure: equal facts give equal bytes. */
  prepareRefund(facts: RefundFacts): PreparedRequest;
  /** Sends a prepared request and classifies what came back. Never throws. */
  createRefund(
    prepared: PreparedRequest,
    facts: RefundFacts,
    access: GatewayAccountAccess,
    http: GatewayHttp,
  ): Promise<CreateAnswer>;
  /** Asks about this refund, by the gateway's id where known, else by ours. Never throws. */
  fetchRefund(facts: RefundFacts, access: GatewayAccountAccess, http: GatewayHttp): Promise<LookAnswer>;
  /** Lists the refunds of the payment. Never throws. */
  findRefunds(
    facts: Pick<RefundFacts, 'gatewayPaymentId' | 'currency' | 'exponent'>,
    access: GatewayAccountAccess,
    http: GatewayHttp,
  ): Promise<FindAnswer>;
  /** Asks something harmless, with these credentials, of the part that refunds need. Never throws. */
  checkAccess(access: GatewayAccountAccess, http: GatewayHttp): Promise<AccessCheck>;
  /** Asks whether the account has this payment; absent where the gateway has no such question. Never throws. */
  readonly findPayment?: (
    facts: Pick<RefundFacts, 'gatewayPaymentId' | 'currency'>,
    access: GatewayAccountAccess,
    http: GatewayHttp,
  ) => Promise<PaymentAnswer>;
  /** Asks whose books these credentials open. Never throws. */
  identify(access: GatewayAccountAccess, http: GatewayHttp): Promise<IdentityAnswer>;
  /** Reads a webhook; `access.credentials` may hold several secrets while one is being rotated. */
  readWebhook(webhook: IncomingWebhook, access: GatewayAccountAccess): WebhookReading;
}
