import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import Stripe from 'stripe';

const load = createRequire(import.meta.url);
const { createExpressApp } = load('stripe-stateful-mock') as { createExpressApp: () => RequestListener };
// It reports the errors that tests provoke.
const standInsLog = createRequire(load.resolve('stripe-stateful-mock'))('loglevel') as {
  disableAll: () => void;
};
standInsLog.disableAll();

export const STAND_IN_KEY = 'sk_test_RefundryStandIn0001';

/** A Stripe that remembers: stripe-stateful-mock, with its books read through Stripe's own SDK. */
export interface StripeStandIn {
  readonly url: string;
  readonly sdk: Stripe;
  /** A charge of this many US cents; gives its id. */
  charge(amount?: number): Promise<string>;
  /** The refunds it holds of a charge. */
  booksOf(chargeId: string): Promise<Stripe.Refund[]>;
  stop(): void;
}

export async function startStripeStandIn(): Promise<StripeStandIn> {
  const standIn = createExpressApp();
  const server = createServer((request, response) => {
    // The stand-in forgets the content type of the answers it repeats for a key.
    const setHeader = response.setHeader.bind(response);
    response.setHeader = (name, value) =>
      setHeader(name, name.toLowerCase() === 'content-type' ? 'application/json' : value);
    standIn(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sdk = stripeSdk(url);
  return {
    url,
    sdk,
    charge: async (amount = 10_00) =>
      (await sdk.charges.create({ amount, currency: 'usd', source: 'tok_visa' })).id,
    booksOf: async (chargeId) => (await sdk.refunds.list({ charge: chargeId, limit: 100 })).data,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Stripe's SDK, speaking to another address and never on its own. */
export function stripeSdk(url: string): Stripe {
  const { hostname, port } = new URL(url);
  return new Stripe(STAND_IN_KEY, {
    host: hostname,
    port,
    protocol: 'http',
    maxNetworkRetries: 0,
    telemetry: false,
  });
}
