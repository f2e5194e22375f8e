import { describe, expect, test } from 'vitest';
import { isUnseen, unseenIn, unseenSentence, withUnseenShown } from '../../src/lib/unseen.ts';

describe('characters that cannot be seen', () => {
  test.each([
    ['\u200b', 'U+200B (zero width space)'],
    ['\ufeff', 'U+FEFF (byte order mark)'],
    ['\u00a0', 'U+00A0 (no-break space)'],
    ['\u00ad', 'U+00AD (soft hyphen)'],
    ['\u200f', 'U+200F (right-to-left mark)'],
    ['\u2066', 'U+2066 (left-to-right isolate)'],
    ['\u{e0041}', 'U+E0041 (tag character)'],
    ['\ufe0f', 'U+FE0F (variation selector)'],
    ['\u034f', 'U+034F (combining grapheme joiner)'],
    ['\u2800', 'U+2800 (Braille blank)'],
    ['\u3164', 'U+3164 (Hangul filler)'],
    ['\u2007', 'U+2007 (typographic space)'],
    ['\t', 'U+0009 (tab)'],
    ['\u0001', 'U+0001 (control character)'],
  ])('%j is named %s', (sign, name) => {
    expect(unseenIn(`12${sign}.50`)).toBe(name);
    expect(unseenSentence(`12${sign}.50`)).toContain(`${name}: delete it`);
  });

  test('what can be seen is none, nor is a plain blank', () => {
    for (const text of ['', '12.50', 'José 1', 'नमस्ते', '語', '±−–—', 'é'.normalize('NFD')]) {
      expect(unseenIn(text)).toBeNull();
      expect(unseenSentence(text)).toBe('');
      expect(withUnseenShown(text)).toBe(text);
    }
  });

  test('people see where one stands', () => {
    expect(withUnseenShown('12\u200b.50\u2060')).toBe('12⟨U+200B⟩.50⟨U+2060⟩');
    expect([0x200b, 0x20e3, 0x41].map(isUnseen)).toEqual([true, true, false]);
  });
});
