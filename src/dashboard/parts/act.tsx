import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import { Failed } from './answers.tsx';
import { formProblem } from './field-problem.ts';

export interface Act {
  readonly busy: boolean;
  /** What the last try was refused with; null while it goes well. */
  readonly problem: unknown;
  /** Does it, unless it is already under way, and answers whether it was done. */
  run(does: () => Promise<unknown>): Promise<boolean>;
  clear(): void;
}

/** One thing that a person asks for: a second click while it is under way does nothing. */
export function useAct(): Act {
  const underWay = useRef(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);

  const run = useCallback(async (does: () => Promise<unknown>) => {
    if (underWay.current) return false;
    underWay.current = true;
    setBusy(true);
    setProblem(null);
    try {
      await does();
      return true;
    } catch (error) {
      setProblem(error);
      return false;
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  }, []);
  const clear = useCallback(() => setProblem(null), []);

  return { busy, problem, run, clear };
}

/** For a form: brings the person to the field that was refused, however far down they pressed the button. */
export function useInvalidFocus(problem: unknown): RefObject<HTMLFormElement | null> {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (problem !== null) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problem]);
  return form;
}

/** A refusal that is about none of the form's own fields. */
export function Refusal({
  problem,
  fields = [],
}: {
  readonly problem: unknown;
  readonly fields?: readonly string[];
}) {
  const left = formProblem(problem, fields);
  return left === null ? null : <Failed error={left} />;
}
