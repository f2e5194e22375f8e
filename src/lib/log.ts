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
      redact: {
        paths: PRIVATE.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]),
        censor: '[hidden]',
      },
    },
    destination ?? pino.destination({ fd: 2, sync: false }),
  );
}
