import { DEMO_MERCHANT } from './access/demo-key.ts';
import { readMerchant } from './access/merchants.ts';
import type { Cause } from './audit/events.ts';
import { type AccountDeps, createGatewayAccount, listGatewayAccounts } from './gateways/accounts.ts';
import { BEHAVIOURS } from './gateways/sandbox/behaviours.ts';
import { sandbox } from './gateways/sandbox/connector.ts';
import { plusMs } from './lib/clock.ts';
import type { Queryable } from './lib/db.ts';
import { newSecret } from './lib/ids.ts';
import { exponentOf, formatAmount } from './lib/money.ts';
import { createOrder } from './orders/create.ts';
import { recordTransactions } from './orders/import.ts';
import { readOrder } from './orders/store.ts';
import type { TransactionInput } from './orders/told.ts';

/**
 * Gives the demo merchant, which must be there, its sandbox accounts and some hundred orders of the sixty days before
 * it was made, by the verbs that everyone's orders come in by. They are the same everywhere, and are loaded once, all
 * or none of them.
 */
export async function loadDemo(deps: AccountDeps): Promise<void> {
  const merchant = await readMerchant(deps.db, DEMO_MERCHANT);
  if (!merchant) throw new Error(`there is no merchant ${DEMO_MERCHANT}`);
  const orders = demoOrders();
  if (await readOrder(deps.db, DEMO_MERCHANT, orders.at(-1)!.orderId)) return;
  await openAccounts(deps);
  await deps.db.transaction(async (tx) => {
    for (const order of orders) await play(tx, order, plusMs(merchant.createdAt, -order.ageMs));
  });
}

const CAUSE: Cause = { by: 'file', name: 'demo', line: 0 };
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** The life of one order, at the time at which it happened. */
async function play(db: Queryable, order: DemoOrder, at: Date): Promise<void> {
  const created = await createOrder(
    db,
    { now: () => at },
    {
      merchantId: DEMO_MERCHANT,
      orderId: order.orderId,
      amountMinor: order.amountMinor,
      currency: order.currency,
      exponent: exponentOf(order.currency)!,
      customerId: order.customer.id,
      customerEmail: order.customer.email,
      customerPhone: order.customer.phone,
      details: { description: order.description, udf1: order.market },
      metadata: {},
    },
    CAUSE,
  );
  if (!created.ok) throw new Error(`demo order ${order.orderId}: ${created.refusal}`);
  for (const [attempt, payment] of order.payments.entries()) {
    const paidAt = plusMs(at, (attempt + 1) * 2 * MINUTE_MS);
    const charged = payment.status === 'CHARGED' ? { charged_at: paidAt.toISOString() } : {};
    const told = { ...payment, ...charged };
    const [outcome] = await recordTransactions(db, { now: () => paidAt }, DEMO_MERCHANT, [told], CAUSE);
    if (outcome!.outcome === 'refused')
      throw new Error(`demo order ${order.orderId}: ${outcome!.refusal.message}`);
  }
}

async function openAccounts(deps: AccountDeps): Promise<void> {
  const known = await listGatewayAccounts(deps.db, DEMO_MERCHANT);
  for (const { account } of MARKETS) {
    if (known.some(({ name }) => name === account)) continue;
    const credentials = { secret_key: newSecret('sbx_sk_') };
    const made = await createGatewayAccount(
      deps,
      { merchantId: DEMO_MERCHANT, gateway: sandbox.name, name: account, credentials },
      { allowPrivateAddresses: true, allowOtherHosts: false },
    );
    // Another process that starts at the same moment may have been faster.
    if (!made.ok && made.refusal.code !== 'name_taken')
      throw new Error(`demo account ${account}: ${made.refusal.message}`);
  }
}

// The orders --------------------------------------------------------------------------------------------

interface DemoOrder {
  readonly orderId: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly market: string;
  readonly description: string;
  readonly customer: { readonly id: string; readonly email: string; readonly phone: string };
  /** How long before the merchant was made it came in. */
  readonly ageMs: number;
  readonly payments: readonly TransactionInput[];
}

interface Market {
  readonly name: string;
  /** The sandbox account that takes its payments. */
  readonly account: string;
  readonly prefix: string;
  readonly share: number;
  readonly currencies: readonly string[];
  /** What a small thing costs here, in minor units of the first currency. */
  readonly smallPrice: Readonly<Record<string, number>>;
  readonly methods: readonly (readonly [type: string, method: string])[];
  readonly people: readonly string[];
  readonly phone: string;
}

const MARKETS: readonly Market[] = [
  {
    name: 'India',
    account: 'default',
    prefix: 'IN',
    share: 55,
    currencies: ['INR'],
    smallPrice: { INR: 49_900 },
    methods: [
      ['UPI', 'UPI'],
      ['UPI', 'GOOGLEPAY'],
      ['UPI', 'PHONEPE'],
      ['CARD', 'VISA'],
      ['CARD', 'MASTERCARD'],
      ['CARD', 'RUPAY'],
      ['NB', 'NB_HDFC'],
      ['NB', 'NB_ICICI'],
      ['WALLET', 'PAYTM'],
    ],
    people: [
      'Asha Nair',
      'Rohan Mehta',
      'Priya Iyer',
      'Vikram Rao',
      'Meera Das',
      'Arjun Singh',
      'Kavya Reddy',
    ],
    phone: '+91 90000 ',
  },
  {
    name: 'Europe',
    account: 'Europe',
    prefix: 'EU',
    share: 30,
    currencies: ['EUR', 'EUR', 'USD'],
    smallPrice: { EUR: 990, USD: 1_090 },
    methods: [
      ['CARD', 'VISA'],
      ['CARD', 'MASTERCARD'],
      ['CARD', 'AMEX'],
      ['WALLET', 'PAYPAL'],
    ],
    people: ['Lena Vogt', 'Jules Moreau', 'Chiara Conti', 'Tomás Ortega', 'Maja Nowak', 'Femke Visser'],
    phone: '+49 30 2000 ',
  },
  {
    name: 'Gulf',
    account: 'Gulf',
    prefix: 'GF',
    share: 18,
    currencies: ['KWD', 'KWD', 'USD'],
    smallPrice: { KWD: 3_250, USD: 1_090 },
    methods: [
      ['CARD', 'VISA'],
      ['CARD', 'MASTERCARD'],
      ['WALLET', 'APPLEPAY'],
    ],
    people: ['Noura Al-Sabah', 'Yousef Haddad', 'Layla Mansour', 'Omar Khalil'],
    phone: '+965 2200 ',
  },
  {
    name: 'Japan',
    account: 'Japan',
    prefix: 'JP',
    share: 17,
    currencies: ['JPY'],
    smallPrice: { JPY: 1_200 },
    methods: [
      ['CARD', 'VISA'],
      ['CARD', 'JCB'],
      ['WALLET', 'PAYPAY'],
    ],
    people: ['Haruka Sato', 'Kenji Mori', 'Yui Tanaka', 'Daichi Kato'],
    phone: '+81 3 4500 ',
  },
];

/** What is sold, and how many times the price of a small thing it costs. */
const GOODS = [
  ['Phone case', 1],
  ['Cotton t-shirt', 1.5],
  ['Travel mug', 1.2],
  ['Bedside lamp', 3],
  ['Running shoes', 7],
  ['Headphones', 9],
  ['Winter jacket', 12],
  ['Desk chair', 18],
] as const;

const AWAITED_STATUSES = ['PENDING_VBV', 'AUTHORIZING'] as const;
const FAILED_STATUSES = ['AUTHENTICATION_FAILED', 'AUTHORIZATION_FAILED', 'JUSPAY_DECLINED'] as const;

/** Oldest first. */
function demoOrders(): readonly DemoOrder[] {
  const random = seededRandom(20_260_101);
  const markets = MARKETS.flatMap((market) => Array.from({ length: market.share }, () => market));
  const orders = shuffled(markets, random).map((market, index) => demoOrder(market, index, random));
  return orders.toSorted((a, b) => b.ageMs - a.ageMs);
}

function demoOrder(market: Market, index: number, random: () => number): DemoOrder {
  const orderId = `${market.prefix}${10_001 + index * 7}`;
  const currency = pick(market.currencies, random);
  const [description, size] = pick(GOODS, random);
  const price = Math.round(market.smallPrice[currency]! * size * (0.9 + random() * 0.3));
  const amountMinor = currency === 'KWD' ? Math.round(price / 50) * 50 : price;
  const person = pick(market.people, random);
  const [type, method] = pick(market.methods, random);
  const decimal = (minor: number) => formatAmount(minor, exponentOf(currency)!);
  const payment = (status: string): TransactionInput => ({
    order_id: orderId,
    amount: decimal(amountMinor),
    currency,
    status,
    gateway: sandbox.name,
    gateway_account: market.account,
    gateway_payment_id: `${behaviourFor(index)}_${Math.floor(random() * 2 ** 48)
      .toString(16)
      .padStart(12, '0')}`,
    payment_method_type: type,
    payment_method: method,
    ...(index % 17 === 3 ? { surcharge: decimal(Math.ceil(amountMinor / 50)) } : {}),
    ...(index % 11 === 5 ? { offer_discount: decimal(Math.floor(amountMinor / 10)) } : {}),
  });
  return {
    orderId,
    amountMinor,
    currency,
    market: market.name,
    description,
    customer: {
      id: `cust_${person.toLowerCase().replace(/[^a-z]+/g, '_')}`,
      email: `${person
        .normalize('NFD')
        .toLowerCase()
        .replace(/[^a-z ]/g, '')
        .replaceAll(' ', '.')}@example.com`,
      phone: `${market.phone}${10_000 + index}`,
    },
    ageMs: Math.floor((0.01 + random() * 59.9) * DAY_MS),
    payments: paymentsOf(index, payment),
  };
}

/** Most orders are paid at once; some at the second try, some not or not yet. */
function paymentsOf(
  index: number,
  payment: (status: string) => TransactionInput,
): readonly TransactionInput[] {
  if (index < FIRST_ORDINARY) return [payment('CHARGED')];
  if (index % 29 === 0) return [];
  if (index % 23 === 0) return [payment(AWAITED_STATUSES[index % 2]!)];
  if (index % 19 === 0) return [payment(FAILED_STATUSES[index % 3]!)];
  if (index % 13 === 0) return [payment(FAILED_STATUSES[index % 3]!), payment('CHARGED')];
  return [payment('CHARGED')];
}

/** Each behaviour of the sandbox that is not rare three times; the orders after them behave well, at once or a second later. */
const SHOWN = BEHAVIOURS.filter(({ rare }) => !rare);
const FIRST_ORDINARY = SHOWN.length * 3;

function behaviourFor(index: number): string {
  const behaviour = index < FIRST_ORDINARY ? SHOWN[index % SHOWN.length] : SHOWN[index % 5 < 3 ? 0 : 1];
  return behaviour!.startsWith;
}

/** Mulberry32: the same numbers from the same seed, everywhere. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick<Item>(items: readonly Item[], random: () => number): Item {
  return items[Math.floor(random() * items.length)]!;
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, place: random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
