import { crc32 } from 'node:zlib';
import { SaxesParser } from 'saxes';
import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl';
import { FileProblem } from './file-problem.ts';
import { otherArchive } from './sniff.ts';

/** What a workbook may be at most: compressed, and each of its parts unpacked. It is held in memory while it is read. */
export const XLSX_LIMITS = {
  bytes: 64_000_000,
  parts: 5_000,
  sheetBytes: 1_000_000_000,
  stringsBytes: 300_000_000,
  otherBytes: 16_000_000,
  /** Between two tags of the XML there is a cell's text at most. */
  textLength: 1_000_000,
  depth: 64,
} as const;

/** The parts of a workbook by their names in the archive. Nothing outside the archive is ever followed. */
export class Archive {
  readonly #zip: ZipFile;
  readonly #entries: ReadonlyMap<string, Entry>;

  constructor(zip: ZipFile, entries: ReadonlyMap<string, Entry>) {
    this.#zip = zip;
    this.#entries = entries;
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /**
   * The XML of a part as it is unpacked, each piece handed to the parser; yields after each piece. Throws a FileProblem for
   * a part that is damaged, or larger than `most` bytes, by what it claims or by what it is.
   */
  async *parse(name: string, most: number, parser: SaxesParser): AsyncGenerator<void, void, void> {
    const entry = this.#entries.get(name);
    if (!entry) throw damaged(`it has no part ${name}`);
    if (entry.uncompressedSize > most) throw tooLarge();
    if (!entry.canDecodeFileData())
      throw damaged(`its part ${name} is encrypted or compressed in an unknown way`);

    let sinceTag = 0;
    let checksum = 0;
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const malformed = () => damaged(`its part ${name} is not well-formed XML in UTF-8`);
    const decode = (chunk: Buffer | null) => {
      try {
        return chunk === null ? decoder.decode() : decoder.decode(chunk, { stream: true });
      } catch {
        throw malformed();
      }
    };
    const write = (chunk: Buffer | null) => {
      const text = decode(chunk);
      sinceTag += text.length;
      parser.write(text);
      if (sinceTag > XLSX_LIMITS.textLength) throw damaged(`its part ${name} has a text without end`);
    };
    parser.on('error', () => {
      throw malformed();
    });
    parser.on('opentagstart', () => {
      sinceTag = 0;
    });
    parser.on('doctype', () => {
      throw damaged(`its part ${name} declares entities, which no workbook does`);
    });
    const stream = await this.#zip.openReadStreamPromise(entry).catch(() => {
      throw damaged(`its part ${name} cannot be found in it`);
    });
    let chunks: AsyncIterator<Buffer> | null = null;
    try {
      chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      while (true) {
        const chunk = await chunks.next().catch(() => {
          throw damaged(`its part ${name} cannot be unpacked`);
        });
        if (chunk.done) break;
        checksum = crc32(chunk.value, checksum);
        write(chunk.value);
        yield;
      }
      write(null);
      parser.close();
      if (checksum !== entry.crc32) throw damaged(`its part ${name} has a wrong checksum`);
    } finally {
      stream.destroy();
      await chunks?.return?.();
    }
  }

  /** The same, for a part that is small. */
  async read(name: string, most: number, parser: SaxesParser): Promise<void> {
    for await (const _ of this.parse(name, most, parser));
  }
}

/** Takes the whole stream into memory, up to the limit, and reads the table of contents. */
export async function openArchive(bytes: AsyncGenerator<Buffer, void, void>): Promise<Archive> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length > XLSX_LIMITS.bytes) throw tooLarge();
    chunks.push(chunk);
  }
  const entries = new Map<string, Entry>();
  let zip: ZipFile;
  try {
    zip = await fromBufferPromise(Buffer.concat(chunks), { lazyEntries: true });
    if (zip.entryCount > XLSX_LIMITS.parts) throw damaged('it has too many parts');
    for await (const entry of zip.eachEntry()) {
      // Of two parts with one name, programs disagree which one counts.
      if (entries.has(entry.fileName)) throw damaged(`it has two parts ${entry.fileName}`);
      entries.set(entry.fileName, entry);
    }
  } catch (error) {
    if (error instanceof FileProblem) throw error;
    throw damaged('its table of contents cannot be read');
  }
  if (!entries.has('[Content_Types].xml') || ![...entries.keys()].some((name) => /^xl\/.*\.xml$/.test(name)))
    throw otherArchive([...entries.keys()]);
  return new Archive(zip, entries);
}

/** A parser that calls back with names without their namespace's prefix. */
export function xmlParser(handlers: {
  readonly open?: (name: string, attributes: Readonly<Record<string, string>>) => void;
  readonly close?: (name: string) => void;
  readonly text?: (text: string) => void;
}): SaxesParser {
  const parser = new SaxesParser({ xmlns: false, position: false });
  let depth = 0;
  parser.on('opentag', ({ name, attributes }) => {
    if (++depth > XLSX_LIMITS.depth) throw damaged('its tags are nested too deeply');
    handlers.open?.(local(name), attributes);
  });
  parser.on('closetag', ({ name }) => {
    depth--;
    handlers.close?.(local(name));
  });
  if (handlers.text) {
    parser.on('text', handlers.text);
    parser.on('cdata', handlers.text);
  }
  return parser;
}

const local = (name: string) => (name.includes(':') ? name.slice(name.indexOf(':') + 1) : name);

export function damaged(why: string): FileProblem {
  return new FileProblem(
    'bad_xlsx',
    `The workbook cannot be read: ${why}. Open it in a spreadsheet program and save it anew, or save it as “CSV UTF-8”.`,
    { accepted: 'an undamaged .xlsx, or CSV in UTF-8' },
  );
}

export function tooLarge(): FileProblem {
  return new FileProblem(
    'xlsx_too_large',
    'The workbook is larger than workbooks are read here. Save its sheet as “CSV UTF-8”, which may have 200 MB.',
    { accepted: `.xlsx up to ${XLSX_LIMITS.bytes / 1_000_000} MB, or CSV in UTF-8` },
  );
}
