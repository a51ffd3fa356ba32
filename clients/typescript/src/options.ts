/** What a client may be told. Times are in milliseconds. */

import { type Backoff, DEFAULT_BACKOFF } from "./backoff.js";
import { type AuditError, InvalidParameter } from "./errors.js";
import type { VerifyOptions } from "./verification.js";

/** What happened to the connection; nothing here is needed to use it. */
export type News =
  /** A connection is up: the first one, or one after a loss (`again`). */
  | { readonly type: "connected"; readonly server: string; readonly storeId: string; readonly again: boolean }
  /** One was lost, or could not be made; `retryInMs` undefined: it is not tried again. */
  | { readonly type: "disconnected"; readonly reason: AuditError; readonly retryInMs: number | undefined }
  /** A subscription goes on, right after what it had received; `cursor` undefined: it had been told nothing yet. */
  | { readonly type: "resumed"; readonly topics: readonly (readonly string[])[]; readonly cursor: string | undefined };

/** What every call takes: aborting frees it at once, and throws the signal's reason. */
export interface CallOptions {
  signal?: AbortSignal;
}

export interface ConnectOptions {
  /** Ends the client when it aborts, while it connects and later. */
  signal?: AbortSignal;
  /** A bearer token. It is exchanged for a one-use ticket before each connection, and is never part of a URL. */
  token?: string;
  /** In place of a token: a ticket, good for one connection, or what fetches one for each. */
  ticket?: string | (() => string | Promise<string>);
  /** How long one attempt to connect may take (10,000). */
  openTimeoutMs?: number;
  /** How long a call may take with all its tries (30,000). */
  callTimeoutMs?: number;
  /** How long to go on without a connection before everything fails (for ever). */
  reconnectTimeoutMs?: number;
  /** Events of a subscription that may be on their way or wait to be read (1,000): the bound of the memory it takes. */
  credit?: number;
  /** Called with what happens to the connection; must return at once. */
  onNews?: (news: News) => void;
  /** Delays between attempts. */
  backoff?: Backoff;
  /**
   * Check each event, page and batch against the log's checkpoints, and those against each other, before anybody gets to
   * see it: `TamperDetected` names what is not as it was signed.
   */
  verify?: VerifyOptions;
}

export interface Options {
  readonly token: string | undefined;
  readonly ticket: ConnectOptions["ticket"];
  readonly openTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly reconnectTimeoutMs: number;
  readonly credit: number;
  readonly onNews: (news: News) => void;
  readonly backoff: Backoff;
}

/** Return the options with what was left out, or throw `InvalidParameter`. */
export function checkOptions(given: ConnectOptions): Options {
  const options: Options = {
    token: given.token,
    ticket: given.ticket,
    openTimeoutMs: given.openTimeoutMs ?? 10_000,
    callTimeoutMs: given.callTimeoutMs ?? 30_000,
    reconnectTimeoutMs: given.reconnectTimeoutMs ?? Number.POSITIVE_INFINITY,
    credit: given.credit ?? 1_000,
    onNews: given.onNews ?? (() => {}),
    backoff: given.backoff ?? DEFAULT_BACKOFF,
  };
  for (const name of ["openTimeoutMs", "callTimeoutMs", "reconnectTimeoutMs"] as const) {
    if (!(options[name] > 0)) {
      throw new InvalidParameter(`${name}: must be above 0, got ${options[name]}`, { parameter: name });
    }
  }
  if (!Number.isInteger(options.credit) || options.credit < 1 || options.credit > 1_000_000) {
    throw new InvalidParameter(`credit: must be 1-1000000, got ${options.credit}`, { parameter: "credit" });
  }
  if (options.token !== undefined && options.ticket !== undefined) {
    throw new InvalidParameter("ticket: goes without a token", { parameter: "ticket" });
  }
  return options;
}
