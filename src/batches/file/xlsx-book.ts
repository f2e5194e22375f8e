import { posix } from 'node:path';
import { MAX_CELL_LENGTH } from '../../lib/csv-records.ts';
import { type Archive, damaged, tooLarge, XLSX_LIMITS, xmlParser } from './xlsx-archive.ts';
import { builtInFormat, formatOf, type NumberFormat } from './xlsx-number.ts';

/** A sheet with cells. */
export interface Sheet {
  readonly name: string;
  readonly hidden: boolean;
  /** The part that holds it. */
  readonly part: string;
}

/** What is needed of a workbook to read its sheets. */
export interface Book {
  /** At least one can be seen. */
  readonly sheets: readonly Sheet[];
  readonly strings: SharedStrings;
  /** By the style number of a cell. */
  readonly formats: readonly NumberFormat[];
  /** Whether days are counted from 1904 on. */
  readonly since1904: boolean;
}

export async function readBook(archive: Archive): Promise<Book> {
  const root = await relationsOf(archive, '_rels/.rels', '');
  const main = root.find(({ type }) => type === 'officeDocument')?.target ?? 'xl/workbook.xml';
  const { sheets, since1904 } = await sheetsOf(archive, main);
  const folder = posix.dirname(main);
  const relations = await relationsOf(archive, `${folder}/_rels/${posix.basename(main)}.rels`, folder);
  const worksheets = new Map(
    relations.filter(({ type }) => type === 'worksheet').map(({ id, target }) => [id, target]),
  );
  const withCells = sheets.flatMap(({ name, hidden, relation }): Sheet[] => {
    const part = worksheets.get(relation);
    return part === undefined ? [] : [{ name, hidden, part }];
  });
  if (withCells.every(({ hidden }) => hidden)) throw damaged('it has no visible sheet with cells');
  const target = (type: string) => relations.find((relation) => relation.type === type)?.target;
  return {
    sheets: withCells,
    strings: await stringsOf(archive, target('sharedStrings')),
    formats: await formatsOf(archive, target('styles')),
    since1904,
  };
}

interface Relation {
  readonly id: string;
  readonly type: string;
  readonly target: string;
}

/** What a part points to inside the archive. What points out of it, such as a link, is left alone. */
async function relationsOf(archive: Archive, part: string, folder: string): Promise<Relation[]> {
  const relations: Relation[] = [];
  if (!archive.has(part)) return relations;
  const parser = xmlParser({
    open(name, { Id = '', Type = '', Target = '', TargetMode = '' }) {
      if (name !== 'Relationship' || TargetMode.toLowerCase() === 'external') return;
      const target = Target.startsWith('/') ? Target.slice(1) : posix.join(folder, Target);
      relations.push({ id: Id, type: Type.slice(Type.lastIndexOf('/') + 1), target });
    },
  });
  await archive.read(part, XLSX_LIMITS.otherBytes, parser);
  return relations;
}

async function sheetsOf(archive: Archive, part: string) {
  const sheets: { name: string; relation: string; hidden: boolean }[] = [];
  let since1904 = false;
  const parser = xmlParser({
    open(name, attributes) {
      if (name === 'workbookPr') since1904 = /^(?:1|true)$/.test(attributes['date1904'] ?? '');
      if (name !== 'sheet') return;
      const relation = Object.entries(attributes).find(([key]) => /:id$/.test(key))?.[1] ?? '';
      const label = unescaped(attributes['name'] ?? '')
        .slice(0, 100)
        .toWellFormed()
        .replaceAll('\0', '\uFFFD');
      sheets.push({ name: label, relation, hidden: /hidden/i.test(attributes['state'] ?? '') });
    },
  });
  await archive.read(part, XLSX_LIMITS.otherBytes, parser);
  return { sheets, since1904 };
}

async function formatsOf(archive: Archive, part: string | undefined): Promise<NumberFormat[]> {
  const formats: NumberFormat[] = [];
  if (part === undefined) return formats;
  const own = new Map<number, NumberFormat>();
  let inCells = false;
  const parser = xmlParser({
    open(name, attributes) {
      if (name === 'numFmt')
        own.set(Number(attributes['numFmtId']), formatOf(attributes['formatCode'] ?? ''));
      else if (name === 'cellXfs') inCells = true;
      else if (name === 'xf' && inCells) {
        const id = Number(attributes['numFmtId'] ?? 0);
        formats.push(own.get(id) ?? builtInFormat(id));
      }
    },
    close(name) {
      if (name === 'cellXfs') inCells = false;
    },
  });
  await archive.read(part, XLSX_LIMITS.otherBytes, parser);
  return formats;
}

// Texts that cells share -------------------------------------------------------------------------------------

async function stringsOf(archive: Archive, part: string | undefined): Promise<SharedStrings> {
  const strings = new SharedStrings();
  if (part === undefined) return strings;
  let text: string | null = null;
  let inText = false;
  let phonetic = 0;
  const parser = xmlParser({
    open(name) {
      if (name === 'si') text = '';
      else if (name === 'rPh') phonetic++;
      else if (name === 't') inText = true;
    },
    text(piece) {
      if (inText && phonetic === 0 && text !== null) text += piece;
    },
    close(name) {
      if (name === 't') inText = false;
      else if (name === 'rPh') phonetic--;
      else if (name === 'si') {
        strings.add(unescaped(text ?? ''));
        text = null;
      }
    },
  });
  for await (const _ of archive.parse(part, XLSX_LIMITS.stringsBytes, parser));
  return strings;
}

const PAGE_BYTES = 1 << 20;
const MAX_STRINGS = 8_000_000;

/** Millions of short texts, held as bytes: as objects they would take several times as much. */
export class SharedStrings {
  readonly #pages: Buffer[] = [];
  #used = 0;
  #starts = new Uint32Array(1_024);
  #lengths = new Uint32Array(1_024);
  #count = 0;

  add(text: string): void {
    if (this.#count === MAX_STRINGS) throw tooLarge();
    // One more character than a cell can hold is enough to see that it is too long.
    const bytes = Buffer.from(text.slice(0, MAX_CELL_LENGTH + 1));
    if (this.#pages.length === 0 || this.#used + bytes.length > PAGE_BYTES) {
      this.#pages.push(Buffer.allocUnsafe(PAGE_BYTES));
      this.#used = 0;
    }
    if (this.#count === this.#starts.length) {
      this.#starts = doubled(this.#starts);
      this.#lengths = doubled(this.#lengths);
    }
    bytes.copy(this.#pages.at(-1)!, this.#used);
    this.#starts[this.#count] = (this.#pages.length - 1) * PAGE_BYTES + this.#used;
    this.#lengths[this.#count] = bytes.length;
    this.#used += bytes.length;
    this.#count++;
  }

  at(index: number): string | undefined {
    if (!(index >= 0 && index < this.#count)) return undefined;
    const start = this.#starts[index]!;
    const from = start % PAGE_BYTES;
    return this.#pages[Math.floor(start / PAGE_BYTES)]!.toString('utf8', from, from + this.#lengths[index]!);
  }
}

function doubled(numbers: Uint32Array): Uint32Array<ArrayBuffer> {
  const more = new Uint32Array(numbers.length * 2);
  more.set(numbers);
  return more;
}

/** Characters that XML cannot hold are written as _x000D_ (ECMA-376 part 1, 22.9.2.19). */
export function unescaped(text: string): string {
  if (!text.includes('_x')) return text;
  return text
    .replace(/_x([0-9A-Fa-f]{4})_/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .toWellFormed();
}
