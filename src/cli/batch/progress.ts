import { SingleBar } from 'cli-progress';

/** One thing that goes forward, and how far it has come. */
export interface Step {
  /** `total` null: nobody knows. `note` is what else there is to say. */
  update(value: number, total: number | null, note?: string): void;
  end(): void;
}

/** Lines that are written no oftener than this, where they are not read on a terminal. */
const LINE_MS = 10_000;

/** Shows a step on `out`: as a bar on a terminal, else as a line now and then. */
export function beginStep(
  name: string,
  show: (value: number) => string,
  out: NodeJS.WriteStream = process.stderr,
): Step {
  return out.isTTY ? barOf(name, show, out) : linesOf(name, show, out);
}

function barOf(name: string, show: (value: number) => string, out: NodeJS.WriteStream): Step {
  const bar = new SingleBar({
    stream: out,
    format: `${name.padEnd(9)} {bar} {percentage}%  {done}{note}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 28,
    hideCursor: true,
    clearOnComplete: false,
    gracefulExit: false,
  });
  bar.start(1, 0, { done: '', note: '' });
  return {
    update(value, total, note = '') {
      bar.setTotal(Math.max(1, total ?? 1));
      const done = total === null ? show(value) : `${show(value)} of ${show(total)}`;
      bar.update(total === null ? 0 : value, { done, note: note && `  ${note}` });
    },
    end: () => bar.stop(),
  };
}

function linesOf(name: string, show: (value: number) => string, out: NodeJS.WriteStream): Step {
  let writtenAt = Number.NEGATIVE_INFINITY;
  let written = '';
  let latest = '';
  const write = () => {
    if (latest === written) return;
    out.write(`${name}: ${latest}\n`);
    written = latest;
    writtenAt = performance.now();
  };
  return {
    update(value, total, note = '') {
      const done =
        total === null
          ? show(value)
          : `${show(value)} of ${show(total)} (${Math.floor((100 * value) / Math.max(1, total))} %)`;
      latest = note ? `${done}, ${note}` : done;
      if (performance.now() - writtenAt >= LINE_MS) write();
    },
    end: write,
  };
}

export const size = (bytes: number) =>
  bytes < 1_000_000 ? `${Math.ceil(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
export const rows = (count: number) => `${count.toLocaleString('en')} rows`;
export const refunds = (count: number) => `${count.toLocaleString('en')} refunds`;

export function timeLeft(seconds: number): string {
  if (seconds < 90) return `${seconds} s left`;
  return seconds < 5_400 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3_600).toFixed(1)} h left`;
}
