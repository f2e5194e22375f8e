import { ROLES } from '../../src/access/roles.ts';
import { BrokenInvariant, type Figures } from '../proof.ts';
import { type Ask, canariesIn, makeAsk, validParts, writeAsk } from './asks.ts';
import { judge, withoutId } from './judge.ts';
import type { Merchant } from './merchant.ts';
import type { Person } from './people.ts';
import { Random } from './random.ts';
import type { Route } from './surface.ts';
import { readSurface } from './surface.ts';
import { asCurl, openWire, type Wire } from './wire.ts';
import type { World } from './world.ts';

export interface HttpRun {
  readonly world: World;
  readonly requests: number;
  readonly seed: number;
  readonly from: number;
  readonly signal: AbortSignal;
  /** Told now and then how many are done. */
  readonly onDone: (done: number) => void;
}

const LANES = 12;
const TOLD_EVERY = 1_000;

/** Requests made from the OpenAPI document, each judged; one in twenty asks for what is the other merchant's. */
export async function fuzzHttp(run: HttpRun): Promise<Figures> {
  const { world, seed } = run;
  const routes = await readSurface(world.url);
  const wire = openWire(world.url);
  const statuses: Record<string, number> = {};
  const memory: number[] = [];
  let next = run.from;
  let foreign = 0;
  const served = new Set<Route>();
  const taken: Record<string, number> = Object.fromEntries(
    ROLES.map((role) => [`of them from people, ${role}`, 0]),
  );
  const count = (status: number, as: Person | null) => {
    const name = `answered ${Math.floor(status / 100)}xx`;
    statuses[name] = (statuses[name] ?? 0) + 1;
    if (as && status < 300) taken[`of them from people, ${as.role}`]! += 1;
  };

  async function lane(): Promise<void> {
    while (next < run.requests && !run.signal.aborted) {
      const n = next++;
      if (n % TOLD_EVERY === 0) {
        run.onDone(n);
        memory.push(world.memoryKb() ?? 0);
        for (const merchant of world.merchants) await tend(world, merchant);
      }
      const random = new Random(seed, 'http', n);
      const route = random.pick(routes);
      const by = random.pick(world.merchants);
      if (random.chance(0.05) && mayAskForForeign(route)) {
        foreign++;
        await askForForeign({ world, wire, seed, n }, random, route, by);
        continue;
      }
      const ask = makeAsk(random, route, by);
      const answer = await wire.send(ask);
      const problem = typeof answer === 'string' ? answer : judge(ask, answer);
      if (problem !== null) throw broken(world, ask, problem, seed, n, answer);
      if (typeof answer === 'string') continue;
      count(answer.status, ask.as);
      if (answer.status >= 300) continue;
      // The request log also names what its merchant asked for in vain.
      if (!route.path.startsWith('/v1/requests')) by.learn(answer.json);
      if (ask.method === route.method) served.add(route);
    }
  }

  try {
    await Promise.all(Array.from({ length: LANES }, lane));
  } finally {
    await wire.close();
  }
  refuseGrowth(memory, seed, run.requests);
  return {
    requests: next - run.from,
    ...statuses,
    ...taken,
    'asked for what is the other merchant’s': foreign,
    'addresses that took something': `${served.size} of ${routes.length}`,
    'memory of the server, first and last': `${megabytes(memory[0])} and ${megabytes(memory.at(-1))}`,
  };
}

function megabytes(kb = 0): string {
  return `${Math.round(kb / 1024)} MB`;
}

/** What requests may have switched off or used up is put right, so that later ones still get somewhere. */
async function tend(world: World, merchant: Merchant): Promise<void> {
  for (const gateway of ['SANDBOX', 'STRIPE']) {
    const { accountId } = world.accounts.get(`${merchant.id} ${gateway}`)!;
    await world.tell(merchant, 'PATCH', `/v1/gateway-accounts/${accountId}`, { enabled: true });
  }
  // A key cannot switch it off: that would wait for a person.
  await world.db.query(
    `update merchants set settings = settings - 'require_second_factor' where merchant_id = $1`,
    [merchant.id],
  );
  // All requests come from one address, which is allowed few wrong passwords.
  await world.db.query('delete from sign_in_attempts');
  const listed = await world.tell(merchant, 'GET', '/v1/webhook-endpoints');
  const endpoints = Object.values(listed)[0] as { readonly endpoint_id: string }[];
  for (const { endpoint_id } of endpoints.slice(10)) {
    if (endpoint_id !== merchant.shown.get('endpoint_id'))
      // A lane may have removed it meanwhile.
      await world.tell(merchant, 'DELETE', `/v1/webhook-endpoints/${endpoint_id}`).catch(() => {});
  }
}

/** Memory that keeps growing shows as a last quarter far above the second one; the first is warming up. */
function refuseGrowth(memory: readonly number[], seed: number, requests: number): void {
  if (memory.length < 12) return;
  const mean = (part: readonly number[]) => part.reduce((sum, kb) => sum + kb, 0) / part.length;
  const quarter = Math.floor(memory.length / 4);
  const [before, after] = [mean(memory.slice(quarter, 2 * quarter)), mean(memory.slice(-quarter))];
  if (after > before * 1.4 + 40_000) {
    throw new BrokenInvariant(
      `the server's memory grew from ${Math.round(before)} to ${Math.round(after)} kB`,
      replayOf(seed, requests),
    );
  }
}

function replayOf(seed: number, n: number): string {
  return `npm run proof -- fuzz --requests ${n + 1} --seed ${seed}`;
}

function broken(
  world: World,
  ask: Ask,
  problem: string,
  seed: number,
  n: number,
  answer: unknown,
): BrokenInvariant {
  const shown = JSON.stringify(answer).slice(0, 1_200);
  const curl = asCurl(world.url, ask, `fuzz-${seed}-${n}.body`);
  return new BrokenInvariant(
    `request ${n}: ${problem}\nAnswer: ${shown}\nRequest: ${curl}`,
    replayOf(seed, n),
  );
}

// Invariant 8 ------------------------------------------------------------------------------------------

const ID_FIELDS: ReadonlyMap<string, string> = new Map([
  ['order_id', 'order_id'],
  ['txn_id', 'txn_id'],
  ['refund_id', 'refund_id'],
  ['endpoint_id', 'endpoint_id'],
  ['gateway_account_id', 'gateway_account_id'],
  ['gateway_account', 'gateway_account_id'],
  ['user_id', 'user_id'],
  ['session_id', 'session_id'],
]);

/** Where an id that is not known makes an object, both merchants may have one of the same name. */
const MAKES_ORDERS = new Set(['/orders', '/order/create', '/v1/transactions']);

function idPlaces(route: Route): ['params' | 'query' | 'fields', string][] {
  const makes = MAKES_ORDERS.has(route.path) && route.method === 'POST';
  const fits = (name: string) => ID_FIELDS.has(name) && (!makes || name === 'gateway_account');
  const properties = Object.keys(route.body?.schema.properties ?? {});
  return [
    ...route.params.filter(fits).map((name): ['params', string] => ['params', name]),
    ...Object.keys(route.query)
      .filter(fits)
      .map((name): ['query', string] => ['query', name]),
    ...properties.filter(fits).map((name): ['fields', string] => ['fields', name]),
  ];
}

/** The request log tells a merchant what it asked itself, and that was for what is the other's as well. */
function mayAskForForeign(route: Route): boolean {
  return idPlaces(route).length > 0 && !route.path.startsWith('/v1/requests');
}

/** The same request twice, for what is the other merchant's and for what nobody has: the answers must be the same. */
async function askForForeign(
  { world, wire, seed, n }: { world: World; wire: Wire; seed: number; n: number },
  random: Random,
  route: Route,
  by: Merchant,
): Promise<void> {
  const other = world.merchants.find((merchant) => merchant !== by)!;
  const [where, name] = random.pick(idPlaces(route));
  const theirs = other.shown.get(ID_FIELDS.get(name)!)!;
  const nobodys = theirs.replace(/[a-z0-9]{10}$|(?<=zqx[ab])[a-z0-9]{10}/, (end) =>
    [...end]
      .map((char) => (/\d/.test(char) ? random.below(10) : String.fromCharCode(97 + random.below(6))))
      .join(''),
  );
  const parts = validParts(random, route, by);
  // Contract routes take the order's id twice, and refuse two that differ before they look for either.
  const given = parts.fields && where === 'params' ? withoutIds(parts.fields) : parts.fields;
  // Whether an amount may be left out is a setting, which may change between the two requests.
  const takesAmount = route.body?.schema.properties?.['amount'] !== undefined;
  const fields = given && takesAmount ? { ...given, amount: '1.00' } : given;
  const askFor = (id: string): Ask => {
    const asked = { ...parts, fields };
    const changed = { ...asked, [where]: { ...asked[where], [name]: id } };
    const same = new Random(seed, 'written', n);
    const ask = writeAsk(same, route, by, changed, 'valid');
    return { ...ask, says: canariesIn(JSON.stringify(changed)) };
  };
  const [forTheirs, forNobodys] = [askFor(theirs), askFor(nobodys)];
  // Other lanes change what this merchant has of its own: only a difference that stays counts.
  for (let left = 3; ; left--) {
    const [one, two] = [await wire.send(forTheirs), await wire.send(forNobodys)];
    if (typeof one === 'string') throw broken(world, forTheirs, one, seed, n, one);
    if (typeof two === 'string') throw broken(world, forNobodys, two, seed, n, two);
    const leak = judge(forTheirs, one);
    if (leak !== null) throw broken(world, forTheirs, leak, seed, n, one);
    const [shownOne, shownTwo] = [withoutId(one, theirs), withoutId(two, nobodys)];
    if (shownOne === shownTwo) return;
    if (left > 0) continue;
    const problem = `what is the other merchant's is answered otherwise than what nobody has: ${shownTwo}`;
    throw broken(world, forTheirs, problem, seed, n, one);
  }
}

function withoutIds(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !ID_FIELDS.has(name)));
}
