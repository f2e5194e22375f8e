import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** What an order was last told to be. */
export interface LastTold {
  readonly sequence: number;
  /** Status by `unique_request_id`. */
  readonly statuses: ReadonlyMap<string, string>;
}

/** The merchant's webhook receiver, with books of its own: it believes nothing but what it was sent. */
export interface Receiver {
  readonly url: string;
  /** Messages that came, and how many of them were of an event that had come before. */
  readonly received: number;
  readonly repeated: number;
  /** What was wrong with messages that should not have come as they did. */
  readonly wrong: readonly string[];
  /** By the highest sequence number, and by what was acknowledged last: both must be the truth in the end. */
  lastTold(orderId: string): { readonly bySequence: LastTold; readonly byArrival: LastTold } | undefined;
  /** How many different events of this name the order was told of. */
  events(orderId: string, eventName: string): number;
  /** Set once the endpoint has been added. */
  trust(secret: string): void;
  /** Until told otherwise, this many in a hundred messages are kept but not acknowledged. */
  behave(notAcknowledgedPercent: number, random: () => number): void;
  close(): Promise<void>;
}

export const RECEIVER_CREDENTIALS = { username: 'refundry', password: 'the-merchants-own-password' };
const AUTHORIZATION = `Basic ${Buffer.from(
  `${RECEIVER_CREDENTIALS.username}:${RECEIVER_CREDENTIALS.password}`,
).toString('base64')}`;

export async function startReceiver(): Promise<Receiver> {
  const orders = new Map<string, { bySequence: LastTold; byArrival: LastTold }>();
  const eventIds = new Map<string, Set<string>>();
  const wrong: string[] = [];
  let received = 0;
  let repeated = 0;
  let webhook: Webhook | null = null;
  let misses = () => false;

  /** Whether it is acknowledged. */
  function keep(raw: string, headers: Record<string, string>): boolean {
    if (headers['authorization'] !== AUTHORIZATION)
      wrong.push('a message came without our user name and password');
    try {
      webhook!.verify(raw, headers);
    } catch (error) {
      wrong.push(`a message came with a bad signature: ${(error as Error).message}`);
    }
    const { id, event_name: eventName, sequence, content } = JSON.parse(raw);
    // Of a batch, its own number stands in the place of an order's.
    const { order_id: orderId, refunds = [] } = content.order ?? { order_id: content.batch.batch_id };
    received++;
    const known = eventIds.get(`${orderId} ${eventName}`) ?? new Set<string>();
    eventIds.set(`${orderId} ${eventName}`, known);
    if (known.has(id)) repeated++;
    known.add(id);
    if (misses()) return false;
    const told: LastTold = {
      sequence,
      statuses: new Map(
        refunds.map((refund: { unique_request_id: string; status: string }) => [
          refund.unique_request_id,
          refund.status,
        ]),
      ),
    };
    const before = orders.get(orderId)?.bySequence;
    orders.set(orderId, {
      bySequence: before && before.sequence > sequence ? before : told,
      byArrival: told,
    });
    return true;
  }

  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const acknowledged = keep(Buffer.concat(chunks).toString(), request.headers as Record<string, string>);
      if (acknowledged) response.writeHead(200).end();
      else request.socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/refunds`,
    get received() {
      return received;
    },
    get repeated() {
      return repeated;
    },
    wrong,
    lastTold: (orderId) => orders.get(orderId),
    events: (orderId, eventName) => eventIds.get(`${orderId} ${eventName}`)?.size ?? 0,
    trust(secret) {
      webhook = new Webhook(secret);
    },
    behave(notAcknowledgedPercent, random) {
      misses = () => random() * 100 < notAcknowledgedPercent;
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
