import type { FastifySchemaCompiler } from 'fastify';
import type { z } from 'zod';
import { holdsCardNumber } from '../lib/card-number.ts';
import { unseenSentence, withUnseenShown } from '../lib/unseen.ts';
import { ApiError } from './errors.ts';

/**
 * Checks a part of a request with its schema. The first thing that is wrong is told in a sentence: the field, its
 * value unless that is long or may be secret, and what is accepted. Schemas say the last in their own words where a
 * pattern or a bound needs them: `.regex(/^[A-Z]{3}$/, 'three capital letters')`.
 */
export const validate: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  const place = PLACES[httpPart ?? 'body'] ?? 'request';
  return (data: unknown) => {
    const result = schema.safeParse(data, { error: acceptedWords });
    return result.success
      ? { value: result.data }
      : { error: refusalOf(result.error.issues[0]!, data, place) };
  };
};

const PLACES: Readonly<Record<string, string>> = { body: 'body', querystring: 'query', params: 'address' };
const SECRET_FIELD = /password|secret|credential|token|key|authorization|header|^code$/i;
const HIDDEN = '****';

function refusalOf(issue: z.core.$ZodIssue, data: unknown, place: string): ApiError {
  const accepted = issue.message;
  if (issue.code === 'unrecognized_keys') {
    const field = shownText([...issue.path, ...issue.keys.slice(0, 1)].join('.'));
    return refused(`The ${place} has no field ${field}.`, { field, accepted });
  }
  if (issue.path.length === 0) return refused(`The ${place} must be ${accepted}.`, { accepted });
  const field = shownText(issue.path.join('.'));
  const value = valueAt(data, issue.path);
  if (value === undefined) return refused(`In the ${place}, ${field} is missing.`, { field, accepted });
  if (place === 'query' && Array.isArray(value)) {
    return refused(`In the query, ${field} is given more than once.`, { field, accepted });
  }
  const unseen = typeof value === 'string' && !SECRET_FIELD.test(field) ? unseenSentence(value.trim()) : '';
  return refused(`In the ${place}, ${field} must be ${accepted}.${unseen}`, {
    field,
    value: SECRET_FIELD.test(field) ? HIDDEN : shownValue(value),
    accepted,
  });
}

function refused(message: string, detail: ApiError['detail']): ApiError {
  return new ApiError(400, 'invalid_field', message, detail);
}

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, name) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, name)
        ? (value as Record<PropertyKey, unknown>)[name]
        : undefined,
    data,
  );
}

/** A number that begins in what is shown may end in what is not, and what is not shown may be a megabyte. */
const LOOKED_AT = 1_000;

function shownText(text: string): string {
  return holdsCardNumber(text.slice(0, LOOKED_AT))
    ? HIDDEN
    : withUnseenShown(text.slice(0, 200).toWellFormed());
}

function shownValue(value: unknown): string | undefined {
  if (typeof value === 'object' && value !== null) return undefined;
  const text = String(value);
  return text.length <= 200 ? shownText(text) : undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a JSON object',
  record: 'a JSON object',
  array: 'a list',
};
const FORMATS: Readonly<Record<string, string>> = {
  uuid: 'a UUID',
  datetime: 'a time with its zone, such as 2026-03-31T09:30:00Z',
};

/** What would have been accepted, to follow "must be"; only asked where the schema has no words of its own. */
function acceptedWords(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.length === 1 ? String(issue.values[0]) : `one of ${issue.values.join(', ')}`;
    case 'invalid_format':
      return FORMATS[issue.format] ?? 'of another form';
    case 'too_small':
      return sizeWords(issue.origin, 'at least', issue.minimum);
    case 'too_big':
      return sizeWords(issue.origin, 'at most', issue.maximum);
    case 'unrecognized_keys':
      return Object.keys((issue.inst as z.ZodObject).shape).join(', ');
    case 'invalid_key':
      return `a JSON object, each of its names ${issue.issues[0]!.message}`;
    default:
      return 'of another form';
  }
}

function sizeWords(origin: string, bound: string, size: number | bigint): string {
  if (origin === 'string')
    return size === 1 ? 'text that is not empty' : `text of ${bound} ${size} characters`;
  return origin === 'array' ? `a list of ${bound} ${size} entries` : `${bound} ${size}`;
}
