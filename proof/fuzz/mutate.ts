import type { Random } from './random.ts';

/** Addresses of this machine where nobody listens: nothing that is made here ever leaves it. */
export const URLS = [
  'http://[::1]:9/hook',
  'https://[::1]:9/hook?x=1',
  'http://[::1]:1/a b',
  'http://[::ffff:127.0.0.1]:9/',
  'http://0:9/',
  'http://127.1:9/',
  'ftp://[::1]/x',
  'file:///etc/passwd',
  'gopher://[::1]:9/_x',
  'javascript:alert(1)',
  'http://[::1]:9/\r\nX-Injected: 1',
  `http://[::1]:9/${'p'.repeat(3000)}`,
  'http://',
  '//[::1]:9/',
] as const;

/** What breaks programs, found over the years by others. */
export const HOSTILE: readonly unknown[] = [
  ...['', ' ', 'null', 'undefined', 'NaN', 'true', '[]', '{}', '[object Object]', '0', '-1', '-0', '1e999'],
  ...[
    '9'.repeat(400),
    '0.1',
    '1.005',
    '1,5',
    '٣',
    '１',
    '0x10',
    '1e2',
    '+1',
    '.5',
    '5.',
    ' 5',
    '1_000',
    '007',
  ],
  ...['\0', 'a\0b', '\x01', '\x7f', '\u202e', '\ufeff', '\ufffd', 'ﬀ', 'İ', 'ß', '💸', 'e\u0301', '\u2028'],
  ...['\ud800', 'a\udfff', 'A'.repeat(1_025), 'B'.repeat(70_000), '\r\nX-Injected: yes', '%00', '%', '%zz'],
  ...[
    "' or 1=1 --",
    '"; drop table refunds; --',
    '$1',
    '\\',
    '\\x00',
    '#{7*7}',
    '{{7*7}}',
    '../../etc/passwd',
  ],
  ...[
    '<script>alert(1)</script>',
    '=cmd|x',
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'toString',
    '.',
    '..',
  ],
  ...[
    '(a+)+$',
    'a'.repeat(60).concat('!'),
    ' '.repeat(500),
    '-'.repeat(500),
    '1'.repeat(19),
    'XXX',
    'inr',
    'full',
  ],
  ...['2026-02-30T00:00:00Z', '0001-01-01T00:00:00Z', '+275760-09-13T00:00:00Z', '9999-12-31T23:59:60Z'],
  ...[
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    'ga_',
    'MODEL',
    'default',
  ],
  ...[null, true, false, 0, -1, 0.1, 1e21, 1e308, 2 ** 53 + 2, -2147483649, 4294967296],
  ...[[], [[]], [null], {}, { a: 1 }, { toString: 1 }, { length: 1e9 }, ['a', 'b'], [[[[[[[['deep']]]]]]]]],
];

const MOST_TEXT = 100_000;

/** One small change of a text. Addresses are only exchanged for others of this machine. */
export function mutateText(random: Random, text: string): string {
  if (text.includes('://')) return random.pick(URLS);
  if (text.length > MOST_TEXT) return text.slice(0, random.below(text.length));
  const at = random.below(text.length + 1);
  const before = text.slice(0, at);
  const after = text.slice(at);
  switch (random.below(12)) {
    case 0:
      return before + after.slice(1);
    case 1:
      return (
        before + random.pick(['\0', ' ', '.', '0', '%', '\n', '\ud83d', 'é', '/', ':', '"', '-', ',']) + after
      );
    case 2:
      return text.toUpperCase();
    case 3:
      return text.toLowerCase();
    case 4:
      return ` ${text}`;
    case 5:
      return `${text}\n`;
    case 6:
      return text + text;
    case 7:
      return before;
    case 8:
      return text + asText(random.pick(HOSTILE));
    case 9:
      return text.repeat(random.pick([30, 300])).slice(0, MOST_TEXT);
    case 10:
      return before + String.fromCharCode(random.below(0x10000)) + after.slice(1);
    default:
      return asText(random.pick(HOSTILE));
  }
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** Some bytes changed, left out, doubled or moved. */
export function mutateBytes(random: Random, bytes: Buffer): Buffer {
  let result = bytes;
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(result.length + 1);
    const length = 1 + random.below(8);
    const [before, there, after] = [
      result.subarray(0, at),
      result.subarray(at, at + length),
      result.subarray(at + length),
    ];
    switch (random.below(6)) {
      case 0:
        result = Buffer.concat([before, after]);
        break;
      case 1:
        result = Buffer.concat([before, there, there, after]);
        break;
      case 2:
        result = Buffer.concat([before, Buffer.from([random.below(256)]), there, after]);
        break;
      case 3:
        result = before;
        break;
      case 4:
        result = Buffer.concat([before, there.map((byte) => byte ^ (1 << random.below(8))), after]);
        break;
      default:
        result = Buffer.concat([before, Buffer.from(random.pick(FRAGMENTS)), there, after]);
    }
  }
  return result;
}

const FRAGMENTS = [
  '\0',
  '\xc3',
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '\r\n',
  '&',
  '=',
  '%',
  '\\ud800',
  '﻿',
  '1e9',
  '--',
];

/** A copy of a JSON value with one place of it changed: left out, doubled, renamed, another value or another kind. */
export function mutateJson(random: Random, value: unknown): unknown {
  const copy = { it: structuredClone(value) };
  const places = placesOf(copy);
  const [holder, name] = random.pick(places.length > 1 ? places.slice(1) : places);
  const here = holder[name];
  switch (random.below(9)) {
    case 0:
      delete holder[name];
      break;
    case 1:
      holder[mutateText(random, name)] = here;
      break;
    case 2:
      holder[random.pick(['__proto__x', 'constructor', 'status', 'amount', 'id', 'extra'])] =
        random.pick(HOSTILE);
      break;
    case 3:
      holder[name] = [here];
      break;
    case 4:
      holder[name] = { value: here };
      break;
    case 5:
      holder[name] = random.pick(HOSTILE);
      break;
    default:
      holder[name] = mutateScalar(random, here);
  }
  return copy.it;
}

function mutateScalar(random: Random, value: unknown): unknown {
  if (typeof value === 'string') return mutateText(random, value);
  if (typeof value === 'number')
    return random.pick([-value, value + 1, value / 3, value * 1e9, String(value), 0]);
  if (typeof value === 'boolean') return random.pick([!value, String(value), Number(value)]);
  return random.pick(HOSTILE);
}

type Holder = Record<string, unknown>;

function placesOf(holder: Holder): [Holder, string][] {
  return Object.keys(holder).flatMap((name): [Holder, string][] => {
    const inner = holder[name];
    const below = typeof inner === 'object' && inner !== null ? placesOf(inner as Holder) : [];
    return [[holder, name], ...below];
  });
}
