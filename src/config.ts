import { isIP } from 'node:net';
import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { API_KEY } from './access/api-keys.ts';
import { OperatorError } from './lib/operator-error.ts';

/** Checked, frozen settings. Made once from the environment; everything else receives this object. */
export interface Settings {
  /** 0 until the program has chosen one. */
  readonly port: number;
  readonly host: string;
  /** Null: the embedded PostgreSQL under dataDir. */
  readonly databaseUrl: string | null;
  readonly databasePoolSize: number;
  /** Absolute. */
  readonly dataDir: string;
  /** A second folder for a mark of the books, absolute; null where there is none. */
  readonly witnessDir: string | null;
  /** Whether every commit waits for a standby, so that one that is promoted has lost nothing. */
  readonly synchronousStandby: boolean;
  readonly role: 'all' | 'api' | 'worker';
  /** 32 bytes; null only when embedded (then kept in dataDir) or when the command does not need it. */
  readonly masterKey: Buffer | null;
  readonly demo: boolean;
  readonly demoApiKey: string | null;
  readonly manualReviewAfterMs: number;
  readonly logLevel: string;
  readonly allowPrivateWebhooks: boolean;
  /** Whether accounts at gateways that move real money may lie on hosts that are not the gateway's. */
  readonly allowOtherGatewayHosts: boolean;
  /** Where the outside reaches us, without a slash at the end: links, gateway webhook addresses. */
  readonly publicUrl: string;
  /** False where publicUrl follows from host and port, which seldom fits behind a proxy. */
  readonly publicUrlIsSet: boolean;
  /** Whether the sandbox gateway is served, and whether its books may be read without a key. */
  readonly sandbox: 'off' | 'keyed' | 'open';
  /** Where SANDBOX accounts find it. */
  readonly sandboxUrl: string;
  /** How long the request log keeps an entry. */
  readonly requestLogMs: number;
  /** A person who does nothing for so long is signed out. */
  readonly sessionIdleMs: number;
  /** And everyone at the latest so long after signing in. */
  readonly sessionLifeMs: number;
  /** Proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  /** What one API key may ask of this process, steadily; 0 sets no limit. */
  readonly requestsPerSecondOfKey: number;
  /** What one address may ask without a key; 0 sets no limit. */
  readonly requestsPerSecondOfAddress: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

interface Variable<Value> {
  /** What is taken when it is not set, in words. */
  readonly otherwise: string;
  readonly accepts: string;
  readonly about: string;
  /** Never shown, not even in an error. */
  readonly secret?: boolean;
  /** Undefined when the text is not accepted. */
  read(text: string): Value | undefined;
}

const VARIABLES = {
  PORT: {
    otherwise: '8080',
    accepts: 'a whole number from 0 to 65535; 0 lets the system choose',
    about: 'The port the server listens on.',
    read: wholeNumber(0, 65_535),
  },
  HOST: {
    otherwise: '127.0.0.1',
    accepts: 'an IP address or a host name; 0.0.0.0 for all addresses',
    about: 'The address the server listens on.',
    read: (text) => (isIP(text) !== 0 || HOST_NAME.test(text) ? text : undefined),
  },
  DATABASE_URL: {
    otherwise: 'the embedded PostgreSQL',
    accepts: 'postgres://user:password@host:port/database',
    about: 'Your own PostgreSQL 15 or newer, instead of the embedded one.',
    secret: true,
    read: (text) => (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text) ? text : undefined),
  },
  DATABASE_POOL_SIZE: {
    otherwise: '10',
    accepts: 'a whole number from 2 to 200',
    about: 'The most database connections that one process opens.',
    read: wholeNumber(2, 200),
  },
  DATA_DIR: {
    otherwise: './data',
    accepts: 'a folder, made if absent',
    about: 'Where the embedded PostgreSQL and the generated keys lie.',
    read: (text) => (text.includes('\0') ? undefined : resolve(text)),
  },
  WITNESS_DIR: {
    otherwise: 'DATA_DIR alone',
    accepts: 'a folder, made if absent',
    about:
      "A second folder, on another volume than the database's, for the mark that shows when the books went back in time.",
    read: (text) => (text.includes('\0') ? undefined : resolve(text)),
  },
  SYNCHRONOUS_STANDBY: {
    otherwise: 'off',
    accepts: 'on or off',
    about: 'Whether every commit waits for a standby: then sending goes on by itself after one is promoted.',
    read: onOrOff,
  },
  ROLE: {
    otherwise: 'all',
    accepts: 'all, api or worker',
    about: 'What this process does: answer requests, do the work behind them, or both.',
    read: oneOf('all', 'api', 'worker'),
  },
  MASTER_KEY: {
    otherwise: 'made in DATA_DIR/master.key when embedded, else required',
    accepts: '32 bytes as 64 hex digits or as base64',
    about:
      'Seals gateway credentials, webhook secrets and the audit trail. Keep a copy: nothing opens them without it.',
    secret: true,
    read: readKey,
  },
  DEMO: {
    otherwise: 'on when embedded, else off',
    accepts: 'on or off',
    about: 'Makes the merchant "demo" with some hundred orders.',
    read: onOrOff,
  },
  DEMO_API_KEY: {
    otherwise: 'a random one',
    accepts: '1 to 128 visible ASCII characters without a colon',
    about: "Fixes the demo merchant's API key.",
    secret: true,
    read: (text) => (API_KEY.test(text) ? text : undefined),
  },
  MANUAL_REVIEW_AFTER: {
    otherwise: '10d',
    accepts: 'a whole number with ms, s, m, h or d, such as 90s, 15m, 12h or 10d, up to 365d',
    about: 'How long a refund may stay without an outcome before a person is asked.',
    read: readDurationMs,
  },
  LOG_LEVEL: {
    otherwise: 'info; in a terminal warn',
    accepts: 'fatal, error, warn, info, debug, trace or silent',
    about: 'What is logged, to standard error. Each request is a line at info.',
    read: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
  },
  ALLOW_PRIVATE_WEBHOOKS: {
    otherwise: 'on in the embedded demo, else off',
    accepts: 'on or off',
    about: 'Whether webhooks and gateway calls may go to private and loopback addresses.',
    read: onOrOff,
  },
  ALLOW_OTHER_GATEWAY_HOSTS: {
    otherwise: 'off',
    accepts: 'on or off',
    about:
      'Whether an account at a gateway that moves real money may have a public base_url that is not the gateway’s own.',
    read: onOrOff,
  },
  PUBLIC_URL: {
    otherwise: 'http://HOST:PORT',
    accepts: 'an http or https URL without a query',
    about: 'Where gateways and people reach this server from outside.',
    read: readBaseUrl,
  },
  SANDBOX: {
    otherwise: 'open in the demo, else off',
    accepts: 'off, keyed (its books need an API key) or open',
    about: 'Whether the sandbox gateway is served under /sandbox.',
    read: oneOf('off', 'keyed', 'open'),
  },
  SANDBOX_URL: {
    otherwise: 'http://127.0.0.1:PORT/sandbox',
    accepts: 'an http or https URL without a query',
    about: 'Where SANDBOX gateway accounts reach the sandbox gateway.',
    read: readBaseUrl,
  },
  SESSION_IDLE: {
    otherwise: '12h',
    accepts: 'a duration from 5m to 365d, such as 30m, 8h or 7d',
    about: 'How long a person may do nothing in the dashboard before they are signed out.',
    read: durationFrom(5 * 60_000),
  },
  SESSION_LIFE: {
    otherwise: '7d',
    accepts: 'a duration from 5m to 365d, such as 30m, 8h or 7d',
    about: 'How long after signing in a person must do so again, at the latest.',
    read: durationFrom(5 * 60_000),
  },
  TRUSTED_PROXIES: {
    otherwise: 'none',
    accepts: 'addresses or networks separated by commas, such as 10.0.0.0/8,127.0.0.1',
    about: "Proxies in front of this server whose X-Forwarded-For names the caller. Others' is not believed.",
    read: readNetworks,
  },
  RATE_PER_KEY: {
    otherwise: '2000',
    accepts: 'a whole number from 1 to 1000000, or off',
    about:
      'How many requests a second one API key may make of each process, bursts of ten seconds apart; a session of a person a twentieth.',
    read: readRate,
  },
  RATE_PER_ADDRESS: {
    otherwise: '300',
    accepts: 'a whole number from 1 to 1000000, or off',
    about:
      'How many requests a second one address may make without a key, bursts of ten seconds apart; off also lets it try any number of wrong keys and webhooks.',
    read: readRate,
  },
  REQUEST_LOG_FOR: {
    otherwise: '14d',
    accepts: 'a whole number with ms, s, m, h or d, such as 12h or 30d, up to 365d',
    about: 'How long the request log keeps who asked what with which answer.',
    read: readDurationMs,
  },
  REFUNDRY_URL: {
    otherwise: 'http://HOST:PORT',
    accepts: 'an http or https URL without a query',
    about: 'Which Refundry the commands that start with "refundry batch" speak to.',
    read: readBaseUrl,
  },
  REFUNDRY_API_KEY: {
    otherwise: "the demo merchant's, where this machine has one",
    accepts: '1 to 128 visible ASCII characters without a colon',
    about: 'The API key with which they do that.',
    secret: true,
    read: (text) => (API_KEY.test(text) ? text : undefined),
  },
} satisfies Record<string, Variable<unknown>>;

type Name = keyof typeof VARIABLES;
type ValueOf<Of extends Name> = Exclude<ReturnType<(typeof VARIABLES)[Of]['read']>, undefined>;

/**
 * The settings that the environment asks for. An empty variable counts as not set. Throws one OperatorError that
 * names every problem: the variable, its value (unless secret) and what is accepted.
 */
export function readSettings(
  environment: Environment = process.env,
  options: { readonly needsMasterKey?: boolean; readonly inTerminal?: boolean } = {},
): Settings {
  const { take, problems } = takerFrom(environment);
  const databaseUrl = take('DATABASE_URL') ?? null;
  const embedded = !environment['DATABASE_URL']?.trim();
  const masterKey = take('MASTER_KEY') ?? null;
  if (!embedded && options.needsMasterKey !== false && !environment['MASTER_KEY']?.trim()) {
    problems.push(
      `MASTER_KEY is not set, and with DATABASE_URL it is required. Give ${VARIABLES.MASTER_KEY.accepts}; ` +
        '"openssl rand -hex 32" makes one.',
    );
  }
  const demo = take('DEMO') ?? embedded;
  const settings = {
    port: take('PORT') ?? 8080,
    host: take('HOST') ?? '127.0.0.1',
    databaseUrl,
    databasePoolSize: take('DATABASE_POOL_SIZE') ?? 10,
    dataDir: take('DATA_DIR') ?? resolve('data'),
    witnessDir: take('WITNESS_DIR') ?? null,
    synchronousStandby: take('SYNCHRONOUS_STANDBY') ?? false,
    role: take('ROLE') ?? 'all',
    masterKey,
    demo,
    demoApiKey: take('DEMO_API_KEY') ?? null,
    manualReviewAfterMs: take('MANUAL_REVIEW_AFTER') ?? 10 * DAY_MS,
    logLevel: take('LOG_LEVEL') ?? (options.inTerminal ? 'warn' : 'info'),
    allowPrivateWebhooks: take('ALLOW_PRIVATE_WEBHOOKS') ?? (embedded && demo),
    allowOtherGatewayHosts: take('ALLOW_OTHER_GATEWAY_HOSTS') ?? false,
    sandbox: take('SANDBOX') ?? (demo ? 'open' : 'off'),
    requestLogMs: take('REQUEST_LOG_FOR') ?? 14 * DAY_MS,
    sessionIdleMs: take('SESSION_IDLE') ?? DAY_MS / 2,
    sessionLifeMs: take('SESSION_LIFE') ?? 7 * DAY_MS,
    trustedProxies: take('TRUSTED_PROXIES') ?? [],
    requestsPerSecondOfKey: take('RATE_PER_KEY') ?? 2_000,
    requestsPerSecondOfAddress: take('RATE_PER_ADDRESS') ?? 300,
  } as const;
  const addresses = { publicUrl: take('PUBLIC_URL'), sandboxUrl: take('SANDBOX_URL') };
  if (problems.length > 0) throw new OperatorError(problems.join('\n'));
  return withAddresses({ ...settings, publicUrlIsSet: addresses.publicUrl !== undefined }, addresses);
}

/** Where the commands that speak HTTP find a Refundry, and as whom. */
export interface Remote {
  readonly url: string;
  /** Null where none is set. */
  readonly apiKey: string | null;
  /** Whether it is this machine's own server, as its settings have it. */
  readonly isLocal: boolean;
}

/** Throws one OperatorError for what is not accepted, as `readSettings` does. */
export function readRemote(environment: Environment = process.env): Remote {
  const { take, problems } = takerFrom(environment);
  const url = take('REFUNDRY_URL');
  const apiKey = take('REFUNDRY_API_KEY') ?? null;
  const { publicUrl } = derivedAddresses({ host: take('HOST') ?? '127.0.0.1', port: take('PORT') ?? 8080 });
  if (problems.length > 0) throw new OperatorError(problems.join('\n'));
  return { url: url ?? publicUrl, apiKey, isLocal: url === undefined };
}

function takerFrom(environment: Environment) {
  const problems: string[] = [];
  const take = <Of extends Name>(name: Of): ValueOf<Of> | undefined => {
    const text = environment[name]?.trim();
    if (!text) return undefined;
    const variable: Variable<unknown> = VARIABLES[name];
    const value = variable.read(text);
    if (value === undefined) {
      const shown = variable.secret
        ? `(${text.length} characters, not shown)`
        : JSON.stringify(text.slice(0, 100));
      problems.push(`${name} ${shown} is not accepted. Give ${variable.accepts}.`);
    }
    return value as ValueOf<Of> | undefined;
  };
  return { take, problems };
}

/** The same settings on the port that the system chose; addresses that follow from the port follow it. */
export function withPort(settings: Settings, port: number): Settings {
  const before = derivedAddresses(settings);
  return withAddresses(
    { ...settings, port },
    {
      publicUrl: settings.publicUrl === before.publicUrl ? undefined : settings.publicUrl,
      sandboxUrl: settings.sandboxUrl === before.sandboxUrl ? undefined : settings.sandboxUrl,
    },
  );
}

export interface SettingDescription {
  readonly name: string;
  readonly accepts: string;
  readonly about: string;
  /** What is taken when it is not set, in words. */
  readonly otherwise: string;
  /** What the environment says; "(set)" for a secret, null when not set. */
  readonly value: string | null;
}

/** Every setting with what it means, in the order of the documentation: for `refundry settings` and the README. */
export function describeSettings(environment: Environment = process.env): SettingDescription[] {
  return Object.entries(VARIABLES).map(([name, variable]: [string, Variable<unknown>]) => {
    const text = environment[name]?.trim();
    return {
      name,
      accepts: variable.accepts,
      about: variable.about,
      otherwise: variable.otherwise,
      value: text ? (variable.secret ? '(set)' : text) : null,
    };
  });
}

type Addresses = 'publicUrl' | 'sandboxUrl';

function withAddresses(
  settings: Omit<Settings, Addresses>,
  given: { readonly [Address in Addresses]: string | undefined },
): Settings {
  const derived = derivedAddresses(settings);
  return Object.freeze({
    ...settings,
    publicUrl: given.publicUrl ?? derived.publicUrl,
    sandboxUrl: given.sandboxUrl ?? derived.sandboxUrl,
  });
}

function derivedAddresses({ host, port }: Pick<Settings, 'host' | 'port'>): Pick<Settings, Addresses> {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const origin = `http://${isIP(reachable) === 6 ? `[${reachable}]` : reachable}:${port}`;
  return { publicUrl: origin, sandboxUrl: `${origin}/sandbox` };
}

// Readers ----------------------------------------------------------------------------------------------

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS };

function wholeNumber(least: number, most: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most ? value : undefined;
  };
}

function oneOf<const Word extends string>(...words: Word[]): (text: string) => Word | undefined {
  return (text) => words.find((word) => word === text.toLowerCase());
}

function onOrOff(text: string): boolean | undefined {
  if (/^(on|true|yes|1)$/i.test(text)) return true;
  if (/^(off|false|no|0)$/i.test(text)) return false;
  return undefined;
}

/** 0 for "off". */
function readRate(text: string): number | undefined {
  return text.toLowerCase() === 'off' ? 0 : wholeNumber(1, 1_000_000)(text);
}

function readDurationMs(text: string): number | undefined {
  const parts = /^(\d{1,12})\s?(ms|s|m|h|d)$/.exec(text);
  const value = parts ? Number(parts[1]) * (UNIT_MS[parts[2]!] ?? 0) : 0;
  return value >= 1 && value <= 365 * DAY_MS ? value : undefined;
}

function durationFrom(leastMs: number): (text: string) => number | undefined {
  return (text) => {
    const value = readDurationMs(text);
    return value !== undefined && value >= leastMs ? value : undefined;
  };
}

function readNetworks(text: string): readonly string[] | undefined {
  const parts = text.split(',').map((part) => part.trim());
  return parts.every((part) => ipaddr.isValid(part) || ipaddr.isValidCIDR(part)) ? parts : undefined;
}

/** A key as people write it: 64 hex digits, or 32 bytes in base64. */
export function readKey(text: string): Buffer | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex');
  const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : null;
  return bytes?.length === 32 ? bytes : undefined;
}

function readBaseUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const plain =
    (url.protocol === 'http:' || url.protocol === 'https:') && !url.search && !url.hash && !url.username;
  return plain ? url.href.replace(/\/+$/, '') : undefined;
}
