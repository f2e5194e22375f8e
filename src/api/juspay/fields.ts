import { Busboy } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import { holdsCardNumber, holdsCardNumberWithin } from '../../lib/card-number.ts';
import { readJson, unstorableAt, WrittenNumber } from '../../lib/json.ts';
import { badRequest, invalidField } from './errors.ts';

/**
 * What a request of the Juspay surface says, by field name, whichever way it was sent: query, form, JSON or
 * multipart. Values are text as it was written, or for JSON also WrittenNumber, boolean, null, object and array.
 * `metadata.x`, `metadata[x]` and a nested object all arrive as an object under `metadata`.
 */
export type Fields = ReadonlyMap<string, unknown>;

const MAX_FIELDS = 200;
const MAX_FIELD_BYTES = 65_536;

/** Reads query and body. A name that is given twice with different values is refused, since either may be meant. */
export async function readFields(request: FastifyRequest): Promise<Fields> {
  const query = request.url.split('?').slice(1).join('?');
  const fields = gather([...formEntries(query), ...(await bodyEntries(request))]);
  const unstorable = unstorableAt(Object.fromEntries(fields));
  if (unstorable !== null) throw invalidField(unstorable, 'Text may not hold NUL bytes or half characters');
  return fields;
}

type Entry = readonly [name: string, value: unknown];

async function bodyEntries(request: FastifyRequest): Promise<Entry[]> {
  const body = request.body;
  if (!Buffer.isBuffer(body) || body.length === 0) return [];
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  switch (type) {
    case 'application/x-www-form-urlencoded':
      return formEntries(textOf(body));
    case 'application/json':
      return jsonEntries(textOf(body));
    case 'multipart/form-data':
      return multipartEntries(body, request.headers['content-type']!);
    default:
      throw badRequest(
        415,
        'The body must be application/x-www-form-urlencoded, application/json or multipart/form-data.',
      );
  }
}

function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw badRequest(400, 'The body is not UTF-8.');
  }
}

function formEntries(form: string): Entry[] {
  const pairs = form.split('&').filter((pair) => pair !== '');
  // Before half a million of them are decoded.
  if (pairs.length > MAX_FIELDS) throw badRequest(400, TOO_MANY_FIELDS);
  return pairs.map((pair) => {
    const split = pair.indexOf('=');
    const name = split === -1 ? pair : pair.slice(0, split);
    return [decoded(name), split === -1 ? '' : decoded(pair.slice(split + 1))];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw badRequest(400, 'The form holds a broken percent-encoding.');
  }
}

function jsonEntries(text: string): Entry[] {
  const reading = readJson(text, 'written');
  if (!reading.ok) throw badRequest(400, `The body cannot be read as JSON: ${reading.why}.`);
  const { value } = reading;
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof WrittenNumber) {
    throw badRequest(400, 'The JSON body must be an object.');
  }
  return Object.entries(value);
}

function multipartEntries(body: Buffer, contentType: string): Promise<Entry[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Entry[]>();
  const refuse = (reason: string) => reject(badRequest(400, reason));
  const entries: Entry[] = [];
  try {
    const reader = new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldNameSize: 200, fieldSize: MAX_FIELD_BYTES, fields: MAX_FIELDS, parts: MAX_FIELDS },
    });
    reader.on('field', (name, value, nameCut, valueCut) => {
      if (nameCut || valueCut) refuse(`A field has at most ${MAX_FIELD_BYTES} bytes, its name 200.`);
      entries.push([name, value]);
    });
    reader.on('file', (name, file) => {
      file.resume();
      refuse(`The field ${name} is a file; text is expected.`);
    });
    reader.on('partsLimit', () => refuse(TOO_MANY_FIELDS));
    reader.on('fieldsLimit', () => refuse(TOO_MANY_FIELDS));
    reader.on('error', () => refuse(BROKEN_MULTIPART));
    reader.on('finish', () => (isClosed(body, contentType) ? resolve(entries) : refuse(BROKEN_MULTIPART)));
    reader.end(body);
  } catch {
    refuse(BROKEN_MULTIPART);
  }
  return promise;
}

const BROKEN_MULTIPART = 'The multipart body is broken.';
const TOO_MANY_FIELDS = `At most ${MAX_FIELDS} fields are read.`;

/** Whether the last boundary came: without it fields may be missing, and a missing amount means everything. */
function isClosed(body: Buffer, contentType: string): boolean {
  const boundary = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  return boundary !== null && body.includes(`--${boundary[1] ?? boundary[2]}--`);
}

function gather(entries: readonly Entry[]): Fields {
  if (entries.length > MAX_FIELDS) throw badRequest(400, TOO_MANY_FIELDS);
  const fields = new Map<string, unknown>();
  for (const [name, value] of entries) {
    const split = name.search(/[.[]/);
    if (split === -1) put(fields, name, value);
    else putNested(fields, name.slice(0, split), name.slice(split), value);
  }
  return fields;
}

function put(fields: Map<string, unknown>, name: string, value: unknown): void {
  const before = fields.get(name);
  if (value === NOT_SERIALIZED && isNested(before)) return;
  if (before !== undefined && !sameText(before, value)) throw givenTwice(name);
  fields.set(name, value);
}

function putNested(fields: Map<string, unknown>, name: string, path: string, value: unknown): void {
  // `metadata[a][b]` and `metadata.a.b` are the same; `list[]` may come as often as it likes.
  const inner = path.replaceAll(']', '').replaceAll('[', '.').slice(1);
  const before = fields.get(name);
  const nested = isNested(before) ? before : Object.create(null);
  if (before !== undefined && nested !== before && before !== NOT_SERIALIZED) throw givenTwice(name);
  if (inner !== '' && inner in nested && !sameText(nested[inner], value))
    throw givenTwice(`${name}.${inner}`);
  nested[inner] = value;
  fields.set(name, nested);
}

/** What JavaScript makes of an object in a form (contract section 9.1): the object itself is lost. */
const NOT_SERIALIZED = '[object Object]';

function isNested(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null;
}

function sameText(one: unknown, other: unknown): boolean {
  const text = textFrom(one);
  return text !== undefined && text === textFrom(other);
}

function givenTwice(name: string) {
  return invalidField(name, 'Given twice with different values');
}

/** Text, or a scalar's text as it was written; undefined for null, objects and arrays. */
export function textFrom(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (value instanceof WrittenNumber) return value.text;
  return typeof value === 'boolean' ? String(value) : undefined;
}

/** The words that Juspay's Node SDK sends for a value that is not there (contract section 9.1). */
export function saysNothing(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === 'null' || value === 'undefined';
}

/** The text of a field that may be missing. Throws when it is not text, too long, or holds a card number. */
export function optionalText(fields: Fields, name: string, maxLength = 1024): string | undefined {
  const value = fields.get(name);
  if (saysNothing(value)) return undefined;
  const text = textFrom(value);
  if (text === undefined) throw invalidField(name, 'Must be text');
  if (text.length > maxLength) throw invalidField(name, `Must have at most ${maxLength} characters`);
  if (mayHoldCard(name, text)) throw invalidField(name, 'Must not hold a card number');
  return text;
}

/** Ids may look like card numbers and are none, and no phone number has more than 15 digits. */
const IDS: ReadonlySet<string> = new Set(['order_id', 'txn_id', 'customer_id', 'product_id']);

const mayHoldCard = (name: string, text: string) =>
  !IDS.has(name) && holdsCardNumber(name.endsWith('phone') ? `+${text.replace(/\D/g, '')}` : text);

const MAX_OBJECT_LENGTH = 16_384;

/**
 * An object that may be missing, as plain JSON values: given nested, by dotted names or as JSON text. Other text
 * comes as undefined, since it is no object. Throws when it is too large or holds a card number.
 */
export function optionalObject(fields: Fields, name: string): Readonly<Record<string, unknown>> | undefined {
  const value = fields.get(name);
  const object = typeof value === 'string' && value.startsWith('{') ? parsed(value) : plain(value);
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return undefined;
  const text = JSON.stringify(object);
  if (text.length > MAX_OBJECT_LENGTH)
    throw invalidField(name, `Must have at most ${MAX_OBJECT_LENGTH} characters`);
  if (holdsCardNumberWithin(object)) throw invalidField(name, 'Must not hold a card number');
  const unstorable = unstorableAt(object, name);
  if (unstorable !== null) throw invalidField(unstorable, 'Text may not hold NUL bytes or half characters');
  return object as Record<string, unknown>;
}

function parsed(text: string): unknown {
  const reading = readJson(text);
  return reading.ok ? reading.value : undefined;
}

/** Written numbers as numbers where that loses nothing, else as their text. */
function plain(value: unknown): unknown {
  if (value instanceof WrittenNumber)
    return String(Number(value.text)) === value.text ? Number(value.text) : value.text;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}
