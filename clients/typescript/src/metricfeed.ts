/**
 * A metric as its reader sees it, over any number of connections: all windows, folded from what the server tells.
 *
 * No I/O. Invariant: what is handed out is what the server would answer as of its `as_of`; of several states that came
 * unread, the newest.
 */

import type { Note } from "./link.js";
import type { Source } from "./source.js";
import type { MetricResult, UpdateNote, WatchParams, Window } from "./wire.js";

/** All windows of a metric, in order of their start, and where it goes on. */
export interface MetricState extends MetricResult {
  readonly cursor: string;
}

export class MetricFeed implements Source<MetricState> {
  resumeAt: string | undefined;
  started = false;
  onChange: () => void = () => {};
  /** As of the newest notification, read or not. */
  #state: MetricState | undefined;
  #unread = false;
  #over: { readonly error: unknown } | "ended" | undefined;
  #readUpTo: string | undefined;

  constructor(readonly params: WatchParams) {
    this.#readUpTo = params.cursor ?? undefined;
  }

  get cursor(): string | undefined {
    return this.#readUpTo;
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  get ready(): boolean {
    return this.#unread || this.#over !== undefined;
  }

  request(): WatchParams {
    // Without its windows, a cursor says nothing that could be shown: the first answer then has all of them.
    return this.#state === undefined || this.resumeAt === undefined
      ? this.params
      : { ...this.params, cursor: this.resumeAt };
  }

  receive(note: Note): void {
    if (this.#over !== undefined) return;
    const told = note.params as unknown as UpdateNote;
    const kept = note.method === "metrics.snapshot" || told.all === true ? [] : (this.#state?.windows ?? []);
    this.resumeAt = told.cursor;
    this.#state = {
      windows: fold(kept, told.since ?? undefined, told.windows),
      total: told.total,
      as_of: told.as_of,
      cursor: told.cursor,
    };
    this.#unread = true;
    this.onChange();
  }

  move(cursor: string): void {
    this.resumeAt = cursor;
  }

  finish(...error: [] | [unknown]): void {
    if (this.#over !== undefined) return;
    this.#over = error.length === 0 ? "ended" : { error: error[0] };
    this.onChange();
  }

  close(...error: [] | [unknown]): void {
    this.#unread = false;
    this.#over = error.length === 0 ? "ended" : { error: error[0] };
    this.onChange();
  }

  take(): MetricState | undefined {
    if (this.#unread) {
      this.#unread = false;
      this.#readUpTo = this.#state?.cursor;
      return this.#state;
    }
    if (this.#over !== undefined && this.#over !== "ended") throw this.#over.error;
    return undefined;
  }

  /** It takes no credit: what is not read is replaced. */
  consumed(): number {
    return 0;
  }
}

/** Return windows after an update: those that start too early go, each that is told takes the place of its like. */
export function fold(windows: readonly Window[], since: string | undefined, told: readonly Window[]): Window[] {
  const from = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since);
  const found = new Map<string, Window>();
  for (const window of windows) if (Date.parse(window.start) >= from) found.set(keyOf(window), window);
  for (const window of told) found.set(keyOf(window), window);
  return [...found.values()].sort(
    (one, other) => Date.parse(one.start) - Date.parse(other.start) || compare(one.group, other.group),
  );
}

function keyOf(window: Window): string {
  return JSON.stringify([window.start, window.group]);
}

/** Groups stand in the order of their text; events without one come first. */
function compare(one: Window["group"], other: Window["group"]): number {
  const [a, b] = [one ?? "", other ?? ""].map((group) => JSON.stringify(group));
  return a === b ? 0 : (a ?? "") < (b ?? "") ? -1 : 1;
}
