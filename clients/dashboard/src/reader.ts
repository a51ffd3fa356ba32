/**
 * Reads the events of one query into a window: pages above and below, and a live tail that goes on where they end.
 *
 * Owns one subscription at most. Invariant: what the tail brings joins the newest event without a gap, or a bar says so.
 */

import {
  AuditError,
  CursorExpired,
  CursorInvalid,
  type Event,
  Forbidden,
  type RemoteLog,
  type Tail,
} from "@audit/client";
import { askedOf, type Shown } from "./query.js";
import { EventWindow } from "./window.js";

const PAGE_EVENTS = 100;
/** Events in memory: what is furthest from where the reader is goes first. */
const MOST_EVENTS = 3_000;
/** What came is shown at once, but at most so often: each time all rows in sight may be others. */
const SHOW_MS = 100;
/** A tail that is paused and has missed more than this goes on at the newest event. */
const CATCH_UP_EVENTS = 5_000;

export type Mode = "off" | "live" | "behind" | "paused";

export class Reader {
  readonly window = new EventWindow();
  mode: Mode = "off";
  loading = false;
  problem: string | undefined;
  /** Whether who is asking may not read this: nothing is broken. */
  forbidden = false;
  /** Rows by which what is looked at has moved, since the list last looked: put in above, or taken away there. */
  shiftedRows = 0;
  /** Whether the reader of the list looks at its top: only then may events below be dropped. */
  atTop = true;
  readonly #control = new AbortController();
  #tail: Tail | undefined;
  /** The tail whose next batch is waited for. */
  #reading: Tail | undefined;
  #pending: Event[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shownAt = 0;

  constructor(
    private readonly log: RemoteLog,
    readonly shown: Shown,
    private readonly onChange: () => void,
  ) {}

  /** Load what is around an event, or the newest events; of an open range, follow it. */
  async start(around: string | undefined): Promise<void> {
    if (around === undefined) {
      await this.#guard(() => this.#load("older", this.shown.to, 2));
      if (this.shown.to === undefined && this.problem === undefined) this.follow();
      return;
    }
    await this.#guard(async () => {
      const page = await this.log.page(
        { ...askedOf(this.shown), seek: around, seek_end: around, inclusive: "both" },
        this.#signal,
      );
      this.window.addOlder(page.events);
      await this.#load("older", around, 1);
      await this.#load("newer", around, 1);
    });
    if (!this.window.hasNewer && this.shown.to === undefined && this.problem === undefined) this.follow();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#control.abort();
  }

  older(): Promise<void> {
    return this.#more("older", this.window.hasOlder, this.window.oldest?.id);
  }

  async newer(): Promise<void> {
    await this.#more("newer", this.window.hasNewer, this.window.newest?.id);
    if (!this.window.hasNewer && this.mode === "off" && this.shown.to === undefined && this.window.events > 0) {
      this.follow();
    }
  }

  /** Show what is appended from the newest event on. */
  follow(): void {
    // Something else is shown by now.
    if (this.#control.signal.aborted) return;
    const newest = this.window.newest?.id;
    const from = newest ?? this.shown.from;
    const bound = from === undefined ? {} : { seek: from };
    this.#tail = this.log.subscribe(
      { ...askedOf(this.shown), ...bound, inclusive: newest === undefined ? "left" : "right" },
      this.#signal,
    );
    this.mode = "behind";
    void this.#read(this.#tail);
  }

  pause(): void {
    if (this.mode !== "live" && this.mode !== "behind") return;
    this.#flush();
    this.mode = "paused";
    this.onChange();
  }

  /** Go on after a pause; returns false when too much was missed: then to start anew is quicker. */
  async resume(): Promise<boolean> {
    const tail = this.#tail;
    if (this.mode !== "paused" || tail === undefined) return true;
    const { size } = (await this.log.info(this.#signal)).store;
    if (size - (this.window.newest?.index ?? size) > CATCH_UP_EVENTS) return false;
    this.mode = tail.caughtUp ? "live" : "behind";
    this.#flush();
    void this.#read(tail);
    return true;
  }

  /** Said by `pause` while a read waits. */
  get #isPaused(): boolean {
    return this.mode === "paused";
  }

  get #signal(): { signal: AbortSignal } {
    return { signal: this.#control.signal };
  }

  async #read(tail: Tail): Promise<void> {
    // After a short pause, the one from before may still wait for its batch.
    if (this.#reading === tail) return;
    this.#reading = tail;
    try {
      while (!this.#isPaused) {
        const { value: batch } = await tail.next();
        if (batch === undefined || this.#control.signal.aborted) return;
        this.#pending.push(...batch.events);
        // What came to a reader that waited when it was paused is shown once it goes on.
        if (this.#isPaused) break;
        this.mode = batch.caughtUp ? "live" : "behind";
        this.#timer ??= setTimeout(() => this.#flush(), Math.max(0, this.#shownAt + SHOW_MS - performance.now()));
      }
    } catch (error) {
      if (this.#control.signal.aborted) return;
      this.#flush();
      this.mode = "off";
      if (error instanceof CursorExpired || error instanceof CursorInvalid) {
        // The server can't go on where we were: what is missing is not known.
        this.bar("gap", "Events may be missing here: the server could not go on from this place.");
        this.follow();
      } else {
        this.problem = error instanceof AuditError ? error.message : String(error);
      }
      this.onChange();
    } finally {
      if (this.#reading === tail) this.#reading = undefined;
    }
  }

  /** Put a bar above the newest event. */
  bar(kind: "resumed" | "gap", text: string): void {
    if (this.window.events === 0) return;
    this.#flush();
    this.window.addBar({ kind, text });
    if (!this.atTop) this.shiftedRows += 1;
    this.onChange();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#shownAt = performance.now();
    const events = this.#pending;
    this.#pending = [];
    if (events.length > 0) {
      // Of a burst that no window could hold, only the end is shown: the rest is below, to be loaded.
      const before = this.window.rows.length;
      if (events.length >= MOST_EVENTS) {
        this.window.rows = [];
        this.window.events = 0;
        this.window.hasOlder = true;
      }
      this.window.addNewer(events.slice(-MOST_EVENTS), this.atTop ? MOST_EVENTS : 2 * MOST_EVENTS);
      // At the top one sees what comes; further down, what is looked at stays where it is.
      if (!this.atTop && before > 0) this.shiftedRows += Math.min(events.length, MOST_EVENTS);
      if (!this.atTop && this.window.events >= 2 * MOST_EVENTS) this.pause();
    }
    this.onChange();
  }

  async #more(side: "older" | "newer", wanted: boolean, from: string | undefined): Promise<void> {
    if (!wanted || this.loading || from === undefined) return;
    await this.#guard(() => this.#load(side, from, 1));
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    this.loading = true;
    this.onChange();
    try {
      await work();
      this.problem = undefined;
    } catch (error) {
      this.forbidden = error instanceof Forbidden;
      if (!this.#control.signal.aborted) this.problem = error instanceof Error ? error.message : String(error);
    }
    this.loading = false;
    this.onChange();
  }

  /** Load so many pages on one side of a bound; a page may be empty while there is more. */
  async #load(side: "older" | "newer", from: string | undefined, pages: number): Promise<void> {
    const { from: low, to: high } = this.shown;
    const bound = (name: string, value: string | undefined) => (value === undefined ? {} : { [name]: value });
    const older = side === "older";
    const query = {
      ...askedOf(this.shown),
      ...bound("seek", older ? low : from),
      ...bound("seek_end", older ? from : high),
      order: older ? ("desc" as const) : ("asc" as const),
      inclusive: older ? ("left" as const) : ("neither" as const),
      limit: PAGE_EVENTS,
    };
    let wanted = pages;
    for await (const page of this.log.list(query, this.#signal)) {
      if (older) {
        this.window.hasOlder = page.has_more;
        this.shiftedRows -= this.window.addOlder(page.events, MOST_EVENTS);
        if (this.window.hasNewer && this.#tail !== undefined) this.#unfollow();
      } else {
        this.window.hasNewer = page.has_more;
        this.window.addNewer(page.events, MOST_EVENTS);
        this.shiftedRows += page.events.length;
      }
      if (page.events.length > 0) wanted -= 1;
      if (wanted === 0) break;
      this.onChange();
    }
  }

  /** The newest events are no longer in memory: what comes after them has no place. */
  #unfollow(): void {
    this.#tail?.close();
    this.#tail = undefined;
    this.#pending = [];
    this.mode = "off";
  }
}
