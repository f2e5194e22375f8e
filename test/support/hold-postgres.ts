// Owns the embedded server of the folder named on the command line until it is told to stop, or killed.
import { startEmbeddedPostgres } from '../../src/lib/embedded-postgres.ts';

try {
  const server = await startEmbeddedPostgres({ dataDir: process.argv[2]!, whenOwned: 'refuse' });
  const beat = setInterval(() => undefined, 1_000);
  process.once('SIGTERM', async () => {
    clearInterval(beat);
    await server.stop();
  });
  process.stdout.write(`${server.connectionString}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
