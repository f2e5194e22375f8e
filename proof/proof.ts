/** One way of proving that money is neither lost nor sent twice; `proof/main.ts` lists and runs them. */
export interface Proof {
  /** The word on the command line: simulate, crash, fuzz, soak … */
  readonly name: string;
  /** One sentence: what it does, and what it would catch. */
  readonly about: string;
  /** What may be set on the command line as `--name N`, or `--name TEXT`. */
  readonly options: readonly ProofOption[];
  /**
   * Runs to the end and returns what is to be printed. Throws `BrokenInvariant` at the first thing that is not as
   * it must be. Stops early, after saving its place, when `run.signal` is aborted.
   */
  readonly prove: (run: ProofRun) => Promise<Figures>;
}

export interface ProofOption {
  readonly name: string;
  /** A whole number takes whole numbers only. */
  readonly otherwise: number | string;
  readonly about: string;
}

export interface ProofRun {
  /** Every option of the proof that is a number, as set or as otherwise. */
  readonly options: Readonly<Record<string, number>>;
  /** The same of those that are texts. */
  readonly texts?: Readonly<Record<string, string>>;
  /** One line of progress for people. */
  readonly progress: (line: string) => void;
  /** Aborted when somebody wants it to stop (Ctrl-C). */
  readonly signal: AbortSignal;
  /** Where a stopped run with these options left off, or null; what `saveAt` was given. */
  readonly resumeAt: unknown;
  readonly saveAt: (place: unknown) => void;
}

/** What is printed last, in this order. */
export type Figures = Readonly<Record<string, number | string>>;

/** Something that must never be, with what is needed to see it again. */
export class BrokenInvariant extends Error {
  readonly replay: string;
  /** `replay` is the command that shows it again. */
  constructor(what: string, replay: string) {
    super(`${what}\nSee it again: ${replay}`);
    this.replay = replay;
  }
}
