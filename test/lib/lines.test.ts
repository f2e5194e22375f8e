import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { holdsCardNumber } from '../../src/lib/card-number.ts';
import { type Line, linesOf, slicesOf } from '../../src/lib/lines.ts';

async function read(chunks: Iterable<Buffer> | AsyncIterable<Buffer>, maxBytes = 100): Promise<Line[]> {
  async function* source() {
    yield* chunks;
  }
  const lines: Line[] = [];
  for await (const some of linesOf(source(), maxBytes)) lines.push(...some);
  return lines;
}

describe('lines of a stream', () => {
  it('are the same however the bytes come in pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll('\n', ' '))),
        fc.array(fc.nat({ max: 12 }), { minLength: 1 }),
        async (texts, sizes) => {
          const bytes = Buffer.from(texts.join('\n'));
          const chunks: Buffer[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const size = sizes[turn % sizes.length]! + 1;
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          const expected = texts
            .map((text, index) => ({
              no: index + 1,
              ok: true,
              text: index === 0 ? text.replace(/^\uFEFF/, '') : text,
            }))
            .filter(({ text }) => text.trim() !== '');
          expect(await read(chunks, 1_000)).toEqual(expected);
        },
      ),
    );
  });

  it('that are too long or not UTF-8 are said to be, with their number', async () => {
    const chunks = ['a\n', 'b'.repeat(150), 'b'.repeat(150), '\nc\n'].map((text) => Buffer.from(text));
    expect(await read([...chunks, Buffer.from([0xc3, 0x0a]), Buffer.from('d'.repeat(101))])).toEqual([
      { no: 1, ok: true, text: 'a' },
      { no: 2, ok: false, why: 'too_long' },
      { no: 3, ok: true, text: 'c' },
      { no: 4, ok: false, why: 'not_utf8' },
      { no: 5, ok: false, why: 'too_long' },
    ]);
  });
});

describe('slices', () => {
  it('are full but for the last, and hold everything in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer(), { maxLength: 9 })),
        fc.integer({ min: 1, max: 5 }),
        async (lists, length) => {
          async function* source() {
            yield* lists;
          }
          const slices: number[][] = [];
          for await (const slice of slicesOf(source(), length)) slices.push(slice);
          expect(slices.flat()).toEqual(lists.flat());
          for (const slice of slices.slice(0, -1)) expect(slice).toHaveLength(length);
        },
      ),
    );
  });

  it('go on with what is there when nothing more comes', async () => {
    const { promise: forNow, resolve } = Promise.withResolvers<void>();
    async function* source() {
      yield [1, 2];
      await forNow;
      yield [3];
    }
    const slices = slicesOf(source(), 10, 5);
    expect((await slices.next()).value).toEqual([1, 2]);
    resolve();
    expect((await slices.next()).value).toEqual([3]);
    expect((await slices.next()).done).toBe(true);
  });

  it('pass on what their source throws, and close it when they are left', async () => {
    let closed = false;
    async function* broken() {
      try {
        yield [1];
        throw new Error('gone');
      } finally {
        closed = true;
      }
    }
    const slices = slicesOf(broken(), 10, 5);
    await expect(
      (async () => {
        for await (const slice of slices) expect(slice).toEqual([1]);
      })(),
    ).rejects.toThrow('gone');
    expect(closed).toBe(true);
    closed = false;
    for await (const _ of slicesOf(broken(), 1)) break;
    expect(closed).toBe(true);
  });
});

describe('card numbers', () => {
  // Published test numbers of the brands, none of them anyone's.
  it.each([
    '4111111111111111',
    '4222222222222',
    '5555 5555 5555 4444',
    '2223-0031-2200-3222',
    '378282246310005',
    '3782 822463 10005',
    '30569309025904',
    '6011111111111117',
    '3530111333300000',
    '6304000000000000',
  ])('%s is one, in any text', (number) => {
    expect(holdsCardNumber(number)).toBe(true);
    expect(holdsCardNumber(`paid with "${number}", thanks`)).toBe(true);
    expect(holdsCardNumber(`ref12,${number}.`)).toBe(true);
  });

  it.each([
    ['a wrong check digit', '4111111111111112'],
    ['a moment in milliseconds', '1767225600009'],
    ['a snowflake id', '1234567890123456785'],
    ['a dated running number', '2026010100001234'],
    ['part of a longer number', '94111111111111111111111'],
    ['letters', 'four one one one'],
    ['phone number', '+91 98765 43210'],
    ['nothing', ''],
  ])('%s is none', (_, text) => {
    expect(holdsCardNumber(text)).toBe(false);
  });

  it('are looked for in long hostile text without delay', () => {
    for (const text of ['4 ', '4111-', '4111 1111 ', '4', '378282 ']) {
      expect(holdsCardNumber(text.repeat(100_000))).toBe(false);
    }
  });
});
