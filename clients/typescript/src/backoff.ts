/** How long to wait before the next try: exponentially longer, with full jitter, so that no crowd comes at once. */

import { type AuditError, Overloaded } from "./errors.js";

/** Longer ones make timers fire at once. */
const MOST_TIMER_MS = 2 ** 31 - 1;

export interface Backoff {
  /** Upper end of the first delay; each one after it doubles. */
  readonly firstMs: number;
  /** Upper end of every delay. */
  readonly mostMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { firstMs: 100, mostMs: 10_000 };

/** Return the delay after so many tries that failed in a row, the last one not counted. */
export function delayMs(backoff: Backoff, failures: number, draw: () => number = Math.random): number {
  return draw() * Math.min(backoff.mostMs, backoff.firstMs * 2 ** Math.min(failures, 30));
}

/** Return the delay after an error. A server that said when another try is worth it is not asked before that. */
export function waitMs(backoff: Backoff, failures: number, error: AuditError): number {
  // Added, not the greater of the two: all who were told the same would come at once.
  return Math.min(MOST_TIMER_MS, toldWaitMs(error) + delayMs(backoff, failures));
}

/** Return how long the server said that another try is of no use. */
export function toldWaitMs(error: AuditError): number {
  return error instanceof Overloaded ? (error.retryAfterMs ?? 0) : 0;
}
