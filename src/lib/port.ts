import { createServer } from 'node:net';
import { OperatorError } from './operator-error.ts';

/** The port itself when it is free on that address, or one the system chose when it is 0; null when it is taken. */
export function freePort(host: string, port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(null));
    probe.listen({ host, port, exclusive: true }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : null));
    });
  });
}

/** Runs what makes a server listen there; what goes wrong with the address is told in one sentence. */
export async function listenOn<Listening>(
  { host, port }: { readonly host: string; readonly port: number },
  start: () => Promise<Listening>,
): Promise<Listening> {
  try {
    return await start();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new OperatorError(
        `Port ${port} on ${host} is taken by another program. Stop it, or choose another port with PORT.`,
      );
    }
    if (code === 'EACCES') {
      throw new OperatorError(`Port ${port} may not be used by this user. Choose one above 1023 with PORT.`);
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new OperatorError(`HOST ${host} is not an address of this machine.`);
    }
    throw error;
  }
}
