import { setTimeout as sleep } from 'node:timers/promises';
import { BrokenInvariant, type Figures, type Proof, type ProofRun } from '../proof.ts';
import { type Chance, chanceOf } from '../world/chance.ts';
import { DOORS } from '../world/doors.ts';
import { type Reckoning, reckon, Wrong } from '../world/reckoning.ts';
import { ask, emptyBooks, type ShopBooks, sell, trade } from '../world/shop.ts';
import { openWorld, type World } from '../world/world.ts';

/**
 * `kill -9` under load. In each round orders are paid and refunded through every door while the server, a worker,
 * PostgreSQL, one of its processes, the gateway, or two of them at once are killed and started again. After every
 * block of rounds the load ends, every refund has to end, and the three books have to agree.
 */
export const crash: Proof = {
  name: 'crash',
  about:
    'kill -9 of every process at random moments under load; then ours, the gateway’s and the merchant’s books.',
  options: [
    { name: 'rounds', otherwise: 60, about: 'kills, or pairs of kills' },
    { name: 'seed', otherwise: 1, about: 'what is asked for and who is killed when' },
  ],
  prove: (run) =>
    crashRounds(run, { roundsOfABlock: 20, workers: 2, manualReviewAfter: '30s', inHurry: false }),
};

export interface CrashPace {
  readonly roundsOfABlock: number;
  readonly workers: number;
  readonly manualReviewAfter: string;
  /** Let the holds of killed workers run out at once instead of after a minute, and miss no webhook. */
  readonly inHurry: boolean;
}

const VICTIMS = ['server', 'worker', 'PostgreSQL', 'a process of PostgreSQL', 'gateway'] as const;
type Victim = (typeof VICTIMS)[number];

/** What is known so far; kept between runs, so numbers only. */
interface Tally {
  rounds: number;
  kills: Record<Victim, number>;
  accepted: number;
  unanswered: number;
  byState: Record<string, number>;
  payouts: number;
  paidMinor: number;
  askedAbout: number;
  webhooks: number;
  webhooksRepeated: number;
  longestRecoveryMs: number;
  recoveryMs: number;
  longestEndMs: number;
  events: number;
}

export async function crashRounds(run: ProofRun, pace: CrashPace): Promise<Figures> {
  const { rounds = 0, seed = 0 } = run.options;
  const tally = (run.resumeAt as Tally | null) ?? emptyTally();
  while (tally.rounds < rounds && !run.signal.aborted) {
    const last = Math.min(rounds, tally.rounds + pace.roundsOfABlock);
    await crashBlock(run, pace, tally, seed, last);
    run.saveAt(tally);
  }
  return figuresOf(tally);
}

/** A world of its own, from its start to the agreement of its books. */
async function crashBlock(
  run: ProofRun,
  pace: CrashPace,
  tally: Tally,
  seed: number,
  last: number,
): Promise<void> {
  const first = tally.rounds;
  const replay = `npm run proof -- crash --rounds ${run.options['rounds']} --seed ${seed}`;
  const books = emptyBooks();
  const world = await openWorld(pace);
  try {
    const shop = { client: world.client, books };
    const moods = chanceOf(seed, first, 2);
    world.receiver.behave(pace.inHurry ? 0 : 2, moods.next);
    const trading: Promise<void>[] = [];
    while (tally.rounds < last && !run.signal.aborted) {
      const chance = chanceOf(seed, tally.rounds);
      const name = `r${tally.rounds + 1}`;
      trading.push(trade(shop, chanceOf(seed, tally.rounds, 1), { name, orders: 14, spreadMs: 2_000 }));
      const { victims, recoveryMs } = await crashOnce(world, shop, chance, name);
      for (const victim of victims) tally.kills[victim]++;
      tally.recoveryMs += recoveryMs;
      tally.longestRecoveryMs = Math.max(tally.longestRecoveryMs, recoveryMs);
      tally.rounds++;
      run.progress(
        `round ${tally.rounds}: killed ${victims.join(' and ')}; a new refund was paid ${seconds(recoveryMs)} later; ` +
          `${books.asked.size} refunds asked for`,
      );
    }
    await Promise.all(trading);
    world.receiver.behave(0, moods.next);
    if (pace.inHurry) await passHolds(world);
    run.progress('the load has ended; waiting for every refund to end and the books to agree');
    const reckoning = await reckon(world, books, 300_000);
    add(tally, reckoning, books, world);
    tally.events += await auditedEvents(world);
    run.progress(
      `${reckoning.accepted} refunds have ended and all books agree, after ${seconds(reckoning.waitedMs)}`,
    );
  } catch (error) {
    if (error instanceof Wrong) throw new BrokenInvariant(error.message, replay);
    throw error;
  } finally {
    await world.close();
  }
}

const RECOVERS_WITHIN_MS = 90_000;

/** One moment of destruction, and the time from it to the payout of a refund that was asked for afterwards. */
async function crashOnce(
  world: World,
  shop: { readonly client: World['client']; readonly books: ShopBooks },
  chance: Chance,
  name: string,
): Promise<{ victims: Victim[]; recoveryMs: number }> {
  const victims = [chance.pick(VICTIMS)];
  if (chance.percent(25))
    victims.push(chance.pick(VICTIMS.filter((victim) => !sameProgram(victim, victims[0]!))));
  const deadMs = chance.percent(50) ? 0 : chance.between(1, 1_500);
  const workers = world.workers.length;
  const hit = victims.map((victim) => {
    if (victim === 'server') return world.server;
    if (victim === 'PostgreSQL') return world.postgres;
    if (victim === 'gateway') return world.sandbox;
    return victim === 'worker' ? world.workers[chance.between(0, workers - 1)]! : null;
  });
  await sleep(chance.between(200, 1_500));
  const killedAt = Date.now();
  await Promise.all(hit.map((kept) => (kept ? kept.kill() : world.killBackend())));
  await sleep(deadMs);
  await Promise.all(hit.map((kept) => kept?.start()));

  const order = await sell(shop, `${name}-after`, 'sbx_ok');
  const wanted = { ...order, key: `${name}-after.0`, amount: '12.34' };
  await ask(shop, wanted, chance.pick(DOORS), 1_000);
  for (;;) {
    const { body } = await shop.client.get(`/v1/refunds?order_id=${order.orderId}`);
    const [refund] = body?.refunds ?? [];
    if (refund?.status === 'SUCCESS') return { victims, recoveryMs: Date.now() - killedAt };
    // Where the limit is short and the machine busy, people are called before the answer could be had.
    if (refund?.status === 'MANUAL_REVIEW')
      await shop.client.post(`/v1/refunds/${refund.refund_id}/sync`, {});
    const died = world.endedByItself();
    if (died.length > 0) throw new Wrong(died.join('\n'));
    if (Date.now() - killedAt > RECOVERS_WITHIN_MS)
      throw new Wrong(
        `${RECOVERS_WITHIN_MS} ms after the end of ${victims.join(' and ')}, a new refund is not paid: ` +
          JSON.stringify(body),
      );
    await sleep(50);
  }
}

function sameProgram(one: Victim, other: Victim): boolean {
  return one === other || (/PostgreSQL/.test(one) && /PostgreSQL/.test(other));
}

/** As the minute would do in which nobody works on what a killed worker held. */
async function passHolds(world: World): Promise<void> {
  await Promise.all(world.workers.map((worker) => worker.stop()));
  await world.passHolds();
  await Promise.all(world.workers.map((worker) => worker.start()));
}

async function auditedEvents(world: World): Promise<number> {
  const { status, stdout, stderr } = await world.audit();
  if (status !== 0) throw new Wrong(`refundry audit verify ended with ${status}:\n${stdout}${stderr}`);
  return Number(/([\d,]+) events?/.exec(stdout)?.[1]?.replaceAll(',', '') ?? 0);
}

// Figures -----------------------------------------------------------------------------------------------

function emptyTally(): Tally {
  return {
    rounds: 0,
    kills: { server: 0, worker: 0, PostgreSQL: 0, 'a process of PostgreSQL': 0, gateway: 0 },
    accepted: 0,
    unanswered: 0,
    byState: {},
    payouts: 0,
    paidMinor: 0,
    askedAbout: 0,
    webhooks: 0,
    webhooksRepeated: 0,
    longestRecoveryMs: 0,
    recoveryMs: 0,
    longestEndMs: 0,
    events: 0,
  };
}

function add(tally: Tally, reckoning: Reckoning, books: ShopBooks, world: World): void {
  tally.accepted += reckoning.accepted;
  tally.unanswered += books.unanswered;
  for (const [state, count] of Object.entries(reckoning.byState))
    tally.byState[state] = (tally.byState[state] ?? 0) + count;
  tally.payouts += reckoning.payouts;
  tally.paidMinor += reckoning.paidMinor;
  tally.askedAbout += reckoning.askedAbout;
  tally.webhooks += world.receiver.received;
  tally.webhooksRepeated += world.receiver.repeated;
  tally.longestEndMs = Math.max(tally.longestEndMs, reckoning.waitedMs);
}

function figuresOf(tally: Tally): Figures {
  const kills = Object.entries(tally.kills);
  return {
    rounds: tally.rounds,
    ...Object.fromEntries(kills.map(([victim, count]) => [`kill -9 of ${victim}`, count])),
    'requests that got no answer': tally.unanswered,
    'refunds accepted': tally.accepted,
    ...Object.fromEntries(Object.entries(tally.byState).map(([state, count]) => [`  ended ${state}`, count])),
    'refunds lost': 0,
    'payouts in the gateway’s books': tally.payouts,
    'payouts made twice': 0,
    'paid and not taken back, in all books': `${(tally.paidMinor / 100).toFixed(2)} INR`,
    'looks that people had to ask for': tally.askedAbout,
    'webhooks received': tally.webhooks,
    '  of them repeated': tally.webhooksRepeated,
    'events in the audited trail': tally.events,
    'kill to payout of a new refund, mean': seconds(tally.recoveryMs / Math.max(tally.rounds, 1)),
    'kill to payout of a new refund, longest': seconds(tally.longestRecoveryMs),
    'end of load to equal books, longest': seconds(tally.longestEndMs),
  };
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
