/**
 * A subscription as its reader sees it, over any number of connections: what came unread, and where to go on.
 *
 * No I/O. Invariants: `resumeAt` is the cursor of the last notification received, so that what is buffered is never
 * asked for again; credit granted, events buffered and events handed out but not granted anew add up to the window, so
 * that a reader who reads nothing stalls the server and fills no memory.
 */

import type { Note } from "./link.js";
import type { Source } from "./source.js";

/** Events of one batch at most, when several that came are put together. */
const BATCH_EVENTS = 1_000;

/** What a subscription hands out at once. */
export interface FeedBatch<Item> {
  /** In order; none when only the marks below changed. */
  readonly events: readonly Item[];
  /** Resumes right after this batch. */
  readonly cursor: string;
  /** All that was committed has been handed out: what follows is new. */
  readonly caughtUp: boolean;
  /** It had caught up, and is now so far behind that the server reads from the disk. Nothing is left out. */
  readonly fellBehind: boolean;
}

interface Building<Item> extends FeedBatch<Item> {
  events: Item[];
  cursor: string;
}

export interface FeedParams {
  readonly cursor?: string | null;
  readonly limit?: number | null;
}

export class Feed<Params extends FeedParams, Item> implements Source<FeedBatch<Item>> {
  /** Cursor of the last notification received; undefined: there was none yet. */
  resumeAt: string | undefined;
  /** Whether it was subscribed once: the next time resumes it. */
  started = false;
  /** Called when there is something to read. */
  onChange: () => void = () => {};
  readonly #queue: Building<Item>[] = [];
  #buffered = 0;
  /** Handed out, and not granted anew. */
  #consumed = 0;
  /** Handed out last: dealt with once more is asked for. */
  #handedOut = 0;
  #window: number;
  #left: number | undefined;
  #caughtUp = false;
  #fellBehind = false;
  #over: { readonly error: unknown } | "ended" | undefined;
  #readUpTo: string | undefined;

  constructor(
    readonly params: Params,
    private readonly credit: number,
    /** Finds what a notification brings. */
    private readonly itemsOf: (note: Note) => Item[] | undefined = parsedEvents,
  ) {
    this.#window = credit;
    this.#left = params.limit ?? undefined;
    this.#readUpTo = params.cursor ?? undefined;
  }

  /** Resumes right after what was handed out last; undefined: nobody said yet where it starts. */
  get cursor(): string | undefined {
    return this.#readUpTo;
  }

  /** Whether nothing more is wanted from the server. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** Return what to subscribe to on a new connection; undefined: nothing, since the limit was reached. */
  request(maxCredit: number): (Params & { credit: number }) | undefined {
    if (this.#left === 0) {
      this.finish();
      return undefined;
    }
    this.#window = Math.min(this.credit, maxCredit);
    this.#consumed = 0;
    const credit = Math.max(0, this.#window - this.#buffered - this.#handedOut);
    const cursor = this.resumeAt ?? this.params.cursor;
    return {
      ...this.params,
      ...(cursor == null ? {} : { cursor }),
      ...(this.#left === undefined ? {} : { limit: this.#left }),
      credit,
    };
  }

  /** Take a notification; not the one that ends it. */
  receive(note: Note): void {
    if (this.#over !== undefined) return;
    const { cursor } = note.params;
    const events = this.itemsOf(note);
    this.resumeAt = cursor;
    if (events !== undefined && events.length > 0) {
      this.#push(events, cursor);
      this.#buffered += events.length;
      if (this.#left !== undefined) this.#left = Math.max(0, this.#left - events.length);
    } else if (note.method === "events.caught_up" && !this.#caughtUp) {
      // One that was resumed catches up again, which is no news to who was told so before.
      this.#caughtUp = true;
      this.#fellBehind = false;
      this.#push([], cursor);
    } else if (note.method === "events.fell_behind" && this.#caughtUp) {
      this.#caughtUp = false;
      this.#fellBehind = true;
      this.#push([], cursor);
    } else {
      this.move(cursor);
    }
    this.#readUpTo ??= note.method === "events.batch" ? undefined : cursor;
    this.onChange();
  }

  /** Take over a cursor that came without anything to tell. */
  move(cursor: string): void {
    this.resumeAt = cursor;
    const last = this.#queue.at(-1);
    if (last === undefined) this.#readUpTo = cursor;
    else last.cursor = cursor;
  }

  /** End it: its reader is told once all that came before is read. */
  finish(...error: [] | [unknown]): void {
    if (this.#over !== undefined) return;
    this.#over = error.length === 0 ? "ended" : { error: error[0] };
    this.onChange();
  }

  /** End it at once: what is buffered is dropped. */
  close(...error: [] | [unknown]): void {
    this.#queue.length = 0;
    this.#buffered = 0;
    this.#over = error.length === 0 ? "ended" : { error: error[0] };
    this.onChange();
  }

  /** Whether `take` has something to return or to throw. */
  get ready(): boolean {
    return this.#queue.length > 0 || this.#over !== undefined;
  }

  /** Return the next batch; undefined: it is over, or nothing has come. Throws what it failed with. */
  take(): FeedBatch<Item> | undefined {
    const batch = this.#queue.shift();
    if (batch === undefined) {
      if (this.#over !== undefined && this.#over !== "ended") throw this.#over.error;
      return undefined;
    }
    this.#buffered -= batch.events.length;
    this.#handedOut = batch.events.length;
    this.#readUpTo = batch.cursor;
    return batch;
  }

  /** Count what was handed out as dealt with; return how much more the server may be let to send, mostly 0. */
  consumed(): number {
    this.#consumed += this.#handedOut;
    this.#handedOut = 0;
    if (2 * this.#consumed < this.#window) return 0;
    const events = this.#consumed;
    this.#consumed = 0;
    return events;
  }

  #push(events: Item[], cursor: string): void {
    const last = this.#queue.at(-1);
    if (
      last !== undefined &&
      last.caughtUp === this.#caughtUp &&
      last.fellBehind === this.#fellBehind &&
      last.events.length + events.length <= BATCH_EVENTS
    ) {
      last.events = last.events.concat(events);
      last.cursor = cursor;
    } else {
      this.#queue.push({ events, cursor, caughtUp: this.#caughtUp, fellBehind: this.#fellBehind });
    }
  }
}

function parsedEvents<Item>(note: Note): Item[] | undefined {
  return note.params["events"] as Item[] | undefined;
}
