import { readFileSync } from 'node:fs';
import { createApiKey, listApiKeys } from '../../src/access/api-keys.ts';
import { createMerchant } from '../../src/access/merchants.ts';
import { KEY_PERMISSIONS } from '../../src/access/roles.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { type Database, openDatabase } from '../../src/lib/db.ts';
import { createVault } from '../../src/lib/vault.ts';
import { type Started, startProgram } from '../../test/support/program.ts';
import { CANARY, Merchant, newSecretText, SECRET } from './merchant.ts';
import { openTeam, type Person } from './people.ts';
import { Random } from './random.ts';

/** A real Refundry in a process of its own, with two merchants that have something to lose. */
export interface World {
  readonly url: string;
  readonly db: Database;
  readonly merchants: readonly [Merchant, Merchant];
  /** Secrets of the merchants' gateway accounts, by merchant id and gateway. */
  readonly accounts: ReadonlyMap<string, { readonly accountId: string; readonly secret: string }>;
  /** Kilobytes that the server process holds; null where the system does not tell. */
  memoryKb(): number | null;
  isAlive(): boolean;
  /** Asks as this merchant, for setting up. Throws on anything but success. */
  tell(by: Merchant, method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  /** Ends the server and says what is wrong with what it leaves behind; an empty list is as it should be. */
  end(): Promise<string[]>;
}

const MASTER_KEY = 'b1'.repeat(32);
/** A leak of a few hundred bytes for each request ends the process before 50,000 of them. */
const HEAP_MB = 200;

export async function openWorld(databaseUrl: string, seed: number): Promise<World> {
  const random = new Random(seed, 'world');
  const db = openDatabase({ connectionString: databaseUrl, maxConnections: 4 });
  const program = await startProgram({
    DATABASE_URL: databaseUrl,
    MASTER_KEY,
    PORT: '0',
    SANDBOX: 'keyed',
    ALLOW_PRIVATE_WEBHOOKS: 'on',
    ALLOW_OTHER_GATEWAY_HOSTS: 'on',
    LOG_LEVEL: 'info',
    // What is looked for lies behind them.
    RATE_PER_KEY: 'off',
    RATE_PER_ADDRESS: 'off',
    MANUAL_REVIEW_AFTER: '3s',
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}`,
  });
  const merchants = [new Merchant('a', random), new Merchant('b', random)] as const;
  const tell = telling(program.url!);
  const accounts = new Map<string, { accountId: string; secret: string }>();
  for (const merchant of merchants) {
    await createMerchant(db, systemClock, { merchantId: merchant.id, name: merchant.canary(random) });
    await createApiKey(db, systemClock, {
      merchantId: merchant.id,
      name: 'fuzz',
      key: merchant.key,
      permissions: KEY_PERMISSIONS,
    });
    for (const [gateway, prefix, more] of [
      ['SANDBOX', 'sbx_sk_', {}],
      ['STRIPE', 'sk_test_', { base_url: 'http://[::1]:9' }],
    ] as const) {
      const secret = newSecretText(random);
      const webhook = gateway === 'STRIPE' ? { webhook_secret: `whsec_${secret}` } : {};
      const account = await tell(merchant, 'POST', '/v1/gateway-accounts', {
        gateway,
        credentials: { secret_key: `${prefix}${secret}`, ...webhook },
        ...more,
      });
      const accountId = String(account['gateway_account_id']);
      accounts.set(`${merchant.id} ${gateway}`, {
        accountId,
        secret: gateway === 'STRIPE' ? `whsec_${secret}` : `${prefix}${secret}`,
      });
      merchant.note('gateway_account_id', accountId);
    }
    await furnish(merchant, random, tell, accounts);
    for (const { apiKeyId } of await listApiKeys(db, merchant.id)) merchant.keep(apiKeyId);
    await openTeam({ db, url: program.url! }, merchant, random);
  }
  return {
    url: program.url!,
    db,
    merchants,
    accounts,
    memoryKb: () => memoryOf(program.process.pid),
    isAlive: () => program.process.exitCode === null && program.process.signalCode === null,
    tell,
    end: () =>
      endOf(
        program,
        db,
        merchants.flatMap(({ people }) => people),
      ),
  };
}

type Tell = World['tell'];

function telling(url: string): Tell {
  return async (by, method, path, body) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`${by.key}:`).toString('base64')}`,
        'x-merchantid': by.id,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  };
}

/** Orders to refund, an endpoint, and one of each kind of object that the other merchant will ask for. */
async function furnish(
  merchant: Merchant,
  random: Random,
  tell: Tell,
  accounts: World['accounts'],
): Promise<void> {
  const charge = async (orderId: string, behaviour: string, gateway = 'SANDBOX') => {
    const told = await tell(merchant, 'POST', '/v1/transactions', {
      order_id: orderId,
      amount: '90000.00',
      currency: 'INR',
      status: 'CHARGED',
      gateway,
      gateway_payment_id: `${behaviour}_${merchant.canary(random)}`,
      customer_email: `${merchant.canary(random)}@shop.test`,
      udf1: merchant.canary(random),
    });
    return String(told['txn_id']);
  };
  for (let n = 0; n < 40; n++) {
    const orderId = `O-${merchant.canary(random)}`;
    merchant.note('order_id', orderId);
    merchant.note(
      'txn_id',
      n < 34
        ? await charge(orderId, `sbx_${random.pick(['ok', 'ok', 'slow', 'stuck', 'fail', 'reverse'])}`)
        : await charge(orderId, 'pi', 'STRIPE'),
    );
  }
  const orderId = `O-${merchant.canary(random)}`;
  const txnId = await charge(orderId, 'sbx_stuck');
  const refund = await tell(merchant, 'POST', '/v1/refunds', {
    order_id: orderId,
    amount: '12.50',
    unique_request_id: merchant.canary(random),
    reason: merchant.canary(random),
  });
  const endpoint = await tell(merchant, 'POST', '/v1/webhook-endpoints', {
    url: `http://[::1]:9/${merchant.canary(random)}`,
    username: merchant.canary(random),
    password: newSecretText(random),
    headers: { 'X-Auth': newSecretText(random) },
  });
  merchant.shown.set('order_id', orderId);
  merchant.shown.set('txn_id', txnId);
  merchant.shown.set('refund_id', String(refund['refund_id']));
  merchant.shown.set('endpoint_id', String(endpoint['endpoint_id']));
  merchant.shown.set('gateway_account_id', accounts.get(`${merchant.id} SANDBOX`)!.accountId);
}

function memoryOf(pid: number | undefined): number | null {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

// At the end -------------------------------------------------------------------------------------------

async function endOf(program: Started, db: Database, people: readonly Person[]): Promise<string[]> {
  const wrong: string[] = [];
  const { status, stderr } = await program.end('SIGINT');
  if (status !== 0) wrong.push(`the server ended with ${status}: ${stderr.slice(-2_000)}`);
  if (people.some(({ token }) => stderr.includes(token))) wrong.push('the log holds the session of a person');
  wrong.push(...faultsOfLog(stderr), ...(await faultsOfBooks(db)));
  await db.close();
  return wrong;
}

const FAREWELL = 'Stopping: what is in flight is finished first.';

/** Each line is a JSON object of its own (nobody wrote a line of theirs), holds no secret, and tells of no fault of ours. */
function faultsOfLog(log: string): string[] {
  const wrong: string[] = [];
  const secret = log.match(SECRET)?.[0];
  if (secret !== undefined) wrong.push(`the log holds the secret ${secret}`);
  for (const line of log.split('\n').filter((text) => text !== '' && text !== FAREWELL)) {
    const entry = parsed(line);
    if (entry === null) wrong.push(`the log has a line that is no record: ${line.slice(0, 300)}`);
    else if (entry.level >= 50) wrong.push(`the log tells of a fault of ours: ${line.slice(0, 1_500)}`);
  }
  return wrong.slice(0, 10);
}

function parsed(line: string): { readonly level: number } | null {
  try {
    return JSON.parse(line) as { level: number };
  } catch {
    return null;
  }
}

/** The invariants that the database can tell of: 1, 2, 5, 6, 8 and 9. */
async function faultsOfBooks(db: Database): Promise<string[]> {
  const wrong: string[] = [];
  await verifyAudit(db, createVault(Buffer.from(MASTER_KEY, 'hex')), {
    onFault: (fault) => wrong.push(`audit: ${fault.merchantId} ${fault.orderId}: ${fault.sentence}`),
  });
  for (const [what, sql] of QUESTIONS) {
    const rows = await db.query<Record<string, unknown>>(sql);
    if (rows.length > 0) wrong.push(`${what}: ${JSON.stringify(rows[0])}`);
  }
  const tables = await db.query<{ name: string; owned: boolean }>(
    `select c.relname as name, exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'merchant_id') as owned
     from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace`,
  );
  for (const { name, owned } of tables) {
    const rows = await db.query<{ row: string }>(
      `select t::text as row from ${name} t where t::text ~* '${SECRET.source}' limit 1`,
    );
    if (rows[0]) wrong.push(`${name} holds a secret in clear: ${rows[0].row.slice(0, 500)}`);
    // The request log names what its merchant asked for, also where that is the other one's.
    if (!owned || name === 'request_log') continue;
    const strangers = await db.query<{ row: string }>(
      `select t::text as row from ${name} t
       where merchant_id in ('fuzz_a', 'fuzz_b')
         and t::text ~* (case merchant_id when 'fuzz_a' then '${of('b')}' else '${of('a')}' end) limit 1`,
    );
    if (strangers[0]) wrong.push(`${name} mixes two merchants in a row: ${strangers[0].row.slice(0, 500)}`);
  }
  return wrong;
}

const of = (letter: string) => CANARY.source.replace('[ab]', letter);

const QUESTIONS: readonly (readonly [what: string, sql: string])[] = [
  [
    'reserved is not the sum of the refunds that hold it',
    `select t.merchant_id, t.txn_id, t.reserved_minor, sum(r.amount_minor) from transactions t
     left join refunds r on r.merchant_id = t.merchant_id and r.order_id = t.order_id and r.txn_id = t.txn_id
       and r.state not in ('failed', 'cancelled', 'reversed')
     group by t.merchant_id, t.txn_id, t.reserved_minor
     having t.reserved_minor <> coalesce(sum(r.amount_minor), 0) limit 1`,
  ],
  [
    'more is reserved than was paid',
    'select merchant_id, txn_id from transactions where reserved_minor > effective_minor limit 1',
  ],
  [
    'one request id made two refunds',
    `select merchant_id, order_id, unique_request_id from refunds
     group by merchant_id, order_id, unique_request_id having count(*) > 1 limit 1`,
  ],
  [
    'a refund waits and will never be looked at',
    `select refund_id, state from refunds
     where next_look_at is null and state not in ('succeeded', 'failed', 'cancelled', 'reversed') limit 1`,
  ],
  [
    'a viewer has changed an order',
    `select e.merchant_id, e.order_id, e.body from events e
     join members m on m.user_id::text = e.body -> 'cause' ->> 'user_id' where m.role = 'viewer' limit 1`,
  ],
  [
    'somebody of support has done more than to refund, cancel and ask',
    `select e.merchant_id, e.order_id, e.body from events e
     join members m on m.user_id::text = e.body -> 'cause' ->> 'user_id'
     where m.role = 'support'
       and (e.body ->> 'kind' not like 'refund.%' or e.body ->> 'kind' like 'refund.resolved%') limit 1`,
  ],
  [
    'somebody who is no admin has changed what only admins may',
    `select a.* from access_log a join members m on m.user_id = a.by_user_id
     where m.role <> 'admin' and a.action not in ('signed_in', 'joined', 'password_chosen', 'password_changed',
       'second_factor_on', 'second_factor_off', 'backup_codes_made', 'sessions_ended', 'renamed') limit 1`,
  ],
  [
    'an amount is paid in a currency that its order does not have',
    `select r.refund_id from refunds r join orders o using (merchant_id, order_id)
     where r.currency <> o.currency or r.exponent <> o.exponent limit 1`,
  ],
];
