import { holdsCardNumberWithin, replaceCardNumbers } from '../lib/card-number.ts';
import type { Evidence, Exchange } from './gateway.ts';

/**
 * What a gateway said, fit to be kept for years (invariant 9): no credentials, no card, bank or contact data,
 * bounded in size and depth, and free of the characters that PostgreSQL cannot store.
 */
export function evidenceOf(
  exchange: Extract<Exchange, { kind: 'response' }>,
  credentials: Readonly<Record<string, string>>,
): Evidence {
  const json = parseJson(exchange.body);
  const requestId = cleanText(exchange.headers['request-id'] ?? exchange.headers['x-request-id'], 100);
  return {
    http_status: exchange.status,
    ...(requestId === null ? {} : { request_id: requestId }),
    ...(json === undefined
      ? { text: scrubProse(exchange.body.slice(0, 500), credentials) }
      : { body: scrub(json, credentials) }),
  };
}

/** The same for a value that was parsed from JSON: an event of a webhook, one entry of a list. */
export function scrub(value: unknown, credentials: Readonly<Record<string, string>>): unknown {
  const scrubbed = scrubValue(value, credentials, 0);
  const text = JSON.stringify(scrubbed);
  return text.length <= MAX_JSON_LENGTH ? scrubbed : { cut: text.slice(0, 2000).toWellFormed() };
}

/** JSON, or undefined for text that is none. Never throws. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One member of something that may not be an object at all. Inherited members are not looked at. */
export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** A short text that can be stored and shown in one line, or null for anything else, the empty text included. */
export function cleanText(value: unknown, maxLength: number): string | null {
  if (typeof value !== 'string' || value === '') return null;
  return value
    .slice(0, maxLength)
    .toWellFormed()
    .replace(/\p{Cc}/gu, ' ');
}

const HIDDEN = '[hidden]';
const MAX_JSON_LENGTH = 20_000;
const MAX_DEPTH = 12;
const MAX_MEMBERS = 200;

// Compared without case, blanks, dashes and underscores.
const PRIVATE_NAMES = new Set(
  `number cardnumber maskedcardnumber maskedcard pan cvc cvv cvv2 securitycode last4 lastfour fingerprint
   expmonth expyear expiry expirydate expirymonth expiryyear cardexpiry
   holdername cardholder cardholdername nameoncard accountholder accountholdername beneficiaryname
   vpa payervpa upiid accountnumber accountno bankaccount bankaccountnumber iban bic swift ifsc routingnumber sortcode
   email phone contact mobile instructionsemail
   authorization password secret clientsecret secretkey apikey accesstoken cardtoken networktoken`.split(
    /\s+/,
  ),
);

function scrubValue(value: unknown, credentials: Readonly<Record<string, string>>, depth: number): unknown {
  if (typeof value === 'string') return scrubText(value, credentials);
  if (typeof value === 'number') return holdsCardNumberWithin(value) ? HIDDEN : value;
  if (typeof value !== 'object' || value === null) return value;
  if (depth === MAX_DEPTH) return '[too deep]';
  if (Array.isArray(value)) {
    return value.slice(0, MAX_MEMBERS).map((entry) => scrubValue(entry, credentials, depth + 1));
  }
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, MAX_MEMBERS)
      .map(([name, entry]) => [
        storable(replaceCardNumbers(name.slice(0, 100), HIDDEN)),
        entry !== null && PRIVATE_NAMES.has(name.toLowerCase().replace(/[\s_-]/g, ''))
          ? HIDDEN
          : scrubValue(entry, credentials, depth + 1),
      ]),
  );
}

function scrubText(text: string, credentials: Readonly<Record<string, string>>): string {
  let clean = text.slice(0, 10_000);
  for (const value of Object.values(credentials)) {
    if (value.length >= 6) clean = clean.replaceAll(value, HIDDEN);
  }
  return storable(
    replaceCardNumbers(clean, HIDDEN)
      // E-mail and UPI addresses look alike.
      .replace(/[\w.+-]{2,64}@[a-z][\w.-]{1,64}/gi, HIDDEN)
      .slice(0, 2000),
  );
}

/** Text without names beside its values: whatever has three digits in a row may be one of them. */
function scrubProse(text: string, credentials: Readonly<Record<string, string>>): string {
  return scrubText(text, credentials).replace(/[\w-]*\d{3}[\w-]*/g, HIDDEN);
}

function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}
