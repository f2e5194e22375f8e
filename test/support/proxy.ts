import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A way to a database that can be slowed, silenced, cut and closed. */
export interface DatabaseProxy {
  /** The same connection string, through the proxy. */
  readonly connectionString: string;
  /** Every answer of the database is held back for so long. */
  delayMs: number;
  /**
   * While true, what is sent either way vanishes, as where a network drops packets; a connection that has lost
   * something stays silent for good.
   */
  silent: boolean;
  /** While false, new connections are refused. */
  open: boolean;
  /** New connections lead to this database from now on, as a virtual address does after a failover. */
  leadTo(connectionString: string): void;
  /** Ends all connections at once, whatever is under way. */
  cut(): void;
  close(): Promise<void>;
}

export async function startProxy(connectionString: string): Promise<DatabaseProxy> {
  let target = new URL(connectionString);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (!proxy.open) return void client.resetAndDestroy();
    const database = connect(Number(target.port), target.hostname);
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        database.destroy();
      });
    }
    let deaf = false;
    const pass = (chunk: Buffer, to: Socket) => {
      deaf ||= proxy.silent;
      if (!deaf) to.write(chunk);
    };
    client.on('data', (chunk) => pass(chunk, database));
    let turn = Promise.resolve();
    database.on('data', (chunk) => {
      turn = turn.then(async () => {
        if (proxy.delayMs > 0) await sleep(proxy.delayMs);
        pass(chunk, client);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(connectionString);
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as AddressInfo).port);
  const proxy: DatabaseProxy = {
    connectionString: through.href,
    delayMs: 0,
    silent: false,
    open: true,
    leadTo(elsewhere) {
      target = new URL(elsewhere);
    },
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async close() {
      this.cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
