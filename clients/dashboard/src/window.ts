/**
 * The part of the log that is in memory: consecutive events of one query, newest first, and bars between them.
 *
 * Pure. Invariant: ids descend without a gap that no bar tells of; nothing is twice.
 */

import type { Event } from "@audit/client";

/** Something to be seen between two events. */
export interface Bar {
  readonly kind: "resumed" | "gap";
  readonly text: string;
}

export type Row = { readonly event: Event } | { readonly bar: Bar; readonly key: string };

export class EventWindow {
  /** Newest first. */
  rows: readonly Row[] = [];
  events = 0;
  /** Whether there may be events above and below these. */
  hasNewer = false;
  hasOlder = false;
  #bars = 0;

  get newest(): Event | undefined {
    for (const row of this.rows) if ("event" in row) return row.event;
    return undefined;
  }

  get oldest(): Event | undefined {
    for (let n = this.rows.length - 1; n >= 0; n -= 1) {
      const row = this.rows[n];
      if (row !== undefined && "event" in row) return row.event;
    }
    return undefined;
  }

  /** Add what follows the newest, in the order of the log; drop the oldest beyond `most` events. */
  addNewer(events: readonly Event[], most = Number.POSITIVE_INFINITY): void {
    const added: Row[] = events.map((event) => ({ event }));
    this.rows = added.reverse().concat(this.rows);
    this.events += events.length;
    if (this.events > most) {
      this.rows = this.rows.slice(0, cut(this.rows, most));
      this.events = most;
      this.hasOlder = true;
    }
  }

  /** Add what precedes the oldest, newest first; drop the newest beyond `most` events. Returns how many rows went. */
  addOlder(events: readonly Event[], most = Number.POSITIVE_INFINITY): number {
    this.rows = this.rows.concat(events.map((event) => ({ event })));
    this.events += events.length;
    if (this.events <= most) return 0;
    let left = this.events - most;
    let rows = 0;
    for (; left > 0; rows += 1) if ("event" in (this.rows[rows] ?? {})) left -= 1;
    this.rows = this.rows.slice(rows);
    this.events = most;
    this.hasNewer = true;
    return rows;
  }

  /** Put a bar above the newest. */
  addBar(bar: Bar): void {
    this.#bars += 1;
    this.rows = [{ bar, key: `bar-${this.#bars}` }, ...this.rows];
  }

  /** Return the row of an event, or -1. */
  indexOf(id: string | undefined): number {
    return id === undefined ? -1 : this.rows.findIndex((row) => "event" in row && row.event.id === id);
  }
}

/** Return how many rows the first so many events take. */
function cut(rows: readonly Row[], events: number): number {
  let left = events;
  for (const [n, row] of rows.entries()) {
    if ("event" in row) left -= 1;
    if (left < 0) return n;
  }
  return rows.length;
}
