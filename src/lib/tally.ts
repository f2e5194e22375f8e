/** Of many things that happen, few are told one by one; the rest are told as a number. */
export interface Tally<Thing> {
  /**
   * Notes that a thing happened. Within a window of time the first of its kind is told at once, and how many more there
   * were when the window is over. Of one group no more than `most` kinds are told so: what others there are in the
   * window is told as one number, with the last of them.
   */
  note(group: string, kind: string, thing: Thing): void;
  /** Tells what has been counted in windows that are over; with `all`, also in those that are not. */
  tellCounted(all?: boolean): void;
}

interface Count<Thing> {
  readonly thing: Thing;
  readonly more: number;
}

interface Group<Thing> {
  readonly endsAtMs: number;
  readonly kinds: Map<string, Count<Thing>>;
  others: Count<Thing> | null;
}

/** `tell` gets a thing with how often it happened; `others` where that is the sum of things that differ. */
export function createTally<Thing>(options: {
  readonly windowMs: number;
  readonly most: number;
  readonly tell: (thing: Thing, count: number, others: boolean) => void;
  /** A clock that only goes forward. */
  readonly nowMs?: () => number;
}): Tally<Thing> {
  const { windowMs, most, tell, nowMs = () => performance.now() } = options;
  const groups = new Map<string, Group<Thing>>();

  function end(name: string, group: Group<Thing>): void {
    groups.delete(name);
    for (const { thing, more } of group.kinds.values()) if (more > 0) tell(thing, more, false);
    if (group.others) tell(group.others.thing, group.others.more, true);
  }

  function tellCounted(all = false): void {
    const atMs = nowMs();
    for (const [name, group] of groups) if (all || group.endsAtMs <= atMs) end(name, group);
  }

  return {
    note(name, kind, thing) {
      tellCounted();
      const group = groups.get(name) ?? { endsAtMs: nowMs() + windowMs, kinds: new Map(), others: null };
      groups.set(name, group);
      const known = group.kinds.get(kind);
      if (known) group.kinds.set(kind, { thing, more: known.more + 1 });
      else if (group.kinds.size < most) {
        group.kinds.set(kind, { thing, more: 0 });
        tell(thing, 1, false);
      } else group.others = { thing, more: (group.others?.more ?? 0) + 1 };
    },
    tellCounted,
  };
}
