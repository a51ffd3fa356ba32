/** How long to wait before the next try: exponentially longer, with full jitter, so that no crowd comes at once. */

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
