import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readJson, unstorableAt, WrittenNumber } from '../../src/lib/json.ts';

const safeJson = fc
  .jsonValue({ noUnicodeString: false })
  .filter((value) => !JSON.stringify(value).includes('__proto__'));

describe('reading JSON from strangers', () => {
  test('every JSON document is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(safeJson, fc.constantFrom(undefined, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(readJson(text)).toEqual({ ok: true, value: JSON.parse(text) });
      }),
    );
  });

  test('what JSON.parse refuses is refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((text) => text.slice(0, -1)),
        ),
        (text) => {
          let valid = true;
          try {
            JSON.parse(text);
          } catch {
            valid = false;
          }
          if (!valid) expect(readJson(text)).toMatchObject({ ok: false });
        },
      ),
    );
  });

  test('why a text is refused never quotes it', () => {
    for (const text of [
      '{"password":hunter2}',
      'hunter2',
      '{"password":"x" hunter2}',
      '{"a":1}hunter2',
      '"hunter2',
    ])
      expect(readJson(text)).toMatchObject({ ok: false, why: expect.not.stringContaining('unter2') });
  });

  test('a megabyte of quotes that never end is refused as fast as it is read', () => {
    // A reading that starts anew at each of them would take half an hour, and the test would time out.
    for (const text of [`"${'\\"'.repeat(500_000)}`, `"a"${' '.repeat(1_000_000)}x`, '{"a" '.repeat(200_000)])
      expect(readJson(text)).toMatchObject({ ok: false });
  });

  test('a name twice is refused wherever it stands and however it is spelt', () => {
    fc.assert(
      fc.property(safeJson, safeJson, fc.string(), (one, other, name) => {
        fc.pre(name !== '__proto__');
        const key = JSON.stringify(name);
        const text = `[{"a":{${key}:${JSON.stringify(one)},${key}:${JSON.stringify(other)}}}]`;
        expect(readJson(text)).toMatchObject({ ok: false });
      }),
    );
    expect(readJson('{"a":1,"\\u0061":2}')).toMatchObject({ ok: false });
    expect(readJson('{"a":"\\"b\\":1","b":{"a":2}}')).toMatchObject({ ok: true });
  });

  test('numbers keep their digits', () => {
    for (const written of ['0.1', '1e2', '12345678901234567890', '-0', '1.10']) {
      const reading = readJson(`{"n":[${written}]}`, 'written');
      expect(reading).toEqual({ ok: true, value: { n: [new WrittenNumber(written)] } });
    }
  });

  test('__proto__ and depth are refused', () => {
    expect(readJson('{"a":[{"__proto__":{}}]}')).toMatchObject({ ok: false });
    expect(readJson(`${'['.repeat(32)}${']'.repeat(32)}`)).toMatchObject({ ok: true });
    expect(readJson(`${'['.repeat(33)}${']'.repeat(33)}`)).toMatchObject({ ok: false });
    expect(readJson(`"${'\\n'.repeat(500_000)}"`)).toMatchObject({ ok: true });
  });
});

test('text that PostgreSQL cannot hold is found where it is', () => {
  expect(unstorableAt({ a: ['fine', { b: 'x\0y' }] })).toBe('a.1.b');
  expect(unstorableAt({ 'a\0': 1 })).toBe('a\0');
  expect(unstorableAt('\ud800')).toBe('');
  expect(unstorableAt({ a: '💸', b: null, c: 1 })).toBeNull();
});
