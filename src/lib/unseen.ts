/** Signs that take no room on the screen, by their names in Unicode or as people call them. */
const NAMES: Readonly<Record<number, string>> = {
  173: 'soft hyphen',
  847: 'combining grapheme joiner',
  1564: 'Arabic letter mark',
  6158: 'Mongolian vowel separator',
  8203: 'zero width space',
  8204: 'zero width non-joiner',
  8205: 'zero width joiner',
  8206: 'left-to-right mark',
  8207: 'right-to-left mark',
  8234: 'left-to-right embedding',
  8235: 'right-to-left embedding',
  8236: 'pop directional formatting',
  8237: 'left-to-right override',
  8238: 'right-to-left override',
  8288: 'word joiner',
  8294: 'left-to-right isolate',
  8295: 'right-to-left isolate',
  8296: 'first strong isolate',
  8297: 'pop directional isolate',
  10240: 'Braille blank',
  12644: 'Hangul filler',
  65279: 'byte order mark',
  65440: 'halfwidth Hangul filler',
  65533: 'replacement character: something that could not be read',
};

/** Blanks that look like another blank, or like none. */
const BLANKS: Readonly<Record<number, string>> = {
  9: 'tab',
  10: 'line end',
  13: 'carriage return',
  133: 'next line',
  160: 'no-break space',
  5760: 'Ogham space mark',
  8239: 'narrow no-break space',
  8287: 'mathematical space',
  8232: 'line separator',
  8233: 'paragraph separator',
  12288: 'ideographic space',
};

// The second are those that Unicode lets programs ignore: joiners, fillers, variation selectors, tags.
const UNSEEN = /[\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/u;
const UNSEEN_OR_ODD_BLANK = /(?! )[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u2800\ufffd]/u;

/** Whether a character takes no room on the screen. The enclosing of a keycap counts as well: it changes no digit. */
export function isUnseen(code: number): boolean {
  return code === 0x20e3 || UNSEEN.test(String.fromCodePoint(code));
}

/** The first character of a text that cannot be seen, or looks like a plain blank and is none: “U+200B (zero width space)”. */
export function unseenIn(text: string): string | null {
  const found = UNSEEN_OR_ODD_BLANK.exec(text);
  return found ? nameOf(found[0].codePointAt(0)!) : null;
}

function nameOf(code: number): string {
  const name = NAMES[code] ?? BLANKS[code] ?? kindOf(code);
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')} (${name})`;
}

function kindOf(code: number): string {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return 'control character';
  if (code >= 0x2000 && code <= 0x200a) return 'typographic space';
  if (code >= 0xe0000 && code <= 0xe007f) return 'tag character';
  if ((code >= 0xfe00 && code <= 0xfe0f) || code >= 0xe0100) return 'variation selector';
  return 'invisible character';
}

/** A sentence to follow what is wrong with a text: which sign to delete, where it is one that nobody sees. */
export function unseenSentence(text: string): string {
  const sign = unseenIn(text);
  return sign === null
    ? ''
    : ` It holds a character that cannot be seen, ${sign}: delete it, or type the value anew.`;
}

/** The text with such characters written out, so that people see where they stand. */
export function withUnseenShown(text: string): string {
  return text.replace(
    new RegExp(UNSEEN.source, 'gu'),
    (sign) => `⟨U+${sign.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟩`,
  );
}
