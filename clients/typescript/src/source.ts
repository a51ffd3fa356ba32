/** A subscription as its connection and its reader see it: what they ask of it, whatever it is about. */

import type { Note } from "./link.js";

export interface Source<Item> {
  /** What it is asked for with, apart from where it goes on. */
  readonly params: object;
  /** Cursor of the last notification received; undefined: there was none yet. */
  readonly resumeAt: string | undefined;
  /** Resumes right after what was handed out last; undefined: nobody said yet where it starts. */
  readonly cursor: string | undefined;
  /** Whether nothing more is wanted from the server. */
  readonly isOver: boolean;
  /** Whether `take` has something to return or to throw. */
  readonly ready: boolean;
  /** Whether it was subscribed once: the next time resumes it. */
  started: boolean;
  /** Called when there is something to read. */
  onChange: () => void;
  /** Return what to subscribe to on a new connection; undefined: nothing, it has just ended. */
  request(maxCredit: number): object | undefined;
  /** Take a notification; not the one that ends it. */
  receive(note: Note): void;
  /** Take over a cursor that came without anything to tell. */
  move(cursor: string): void;
  /** End it: its reader is told once all that came before is read. */
  finish(...error: [] | [unknown]): void;
  /** End it at once: what is buffered is dropped. */
  close(...error: [] | [unknown]): void;
  /** Return what comes next; undefined: it is over, or nothing has come. Throws what it failed with. */
  take(): Item | undefined;
  /** Count what was handed out as dealt with; return how much more the server may be let to send. */
  consumed(): number;
}
