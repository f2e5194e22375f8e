import { type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger };

// Secrets and card or bank data never reach a line, wherever in an object they sit (invariant 9).
const PRIVATE = [
  'authorization',
  'password',
  'secret',
  'secret_key',
  'api_key',
  'apiKey',
  'credentials',
  'key',
  'token',
  'cookie',
  'card',
  'number',
  'cvc',
  'vpa',
  'account_number',
  'ifsc',
];

export function createLogger(level: string, destination?: NodeJS.WritableStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      serializers: { err: shownError },
      redact: {
        paths: PRIVATE.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]),
        censor: '[hidden]',
      },
    },
    destination ?? pino.destination({ fd: 2, sync: false }),
  );
}

/**
 * What a line says of an error. Errors carry much more than they say: the database's hold whole connections, and
 * rows that were refused.
 */
function shownError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return {
    type: error.name,
    message: error.message,
    ...(code !== undefined && { code }),
    stack: error.stack,
    ...(error.cause !== undefined && { cause: shownError(error.cause) }),
  };
}
