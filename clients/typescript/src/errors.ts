/** Every error of the client: a class for each code of the wire, under one root. */

import type { WireError } from "./wire.js";

interface ErrorDetails {
  cause?: unknown;
  parameter?: string | undefined;
  retryAfterMs?: number | undefined;
}

/** The root. `code` is stable, and `retryable` says whether the same request may succeed later. */
export class AuditError extends Error {
  static readonly code: string = "internal";
  static readonly retryable: boolean = false;
  readonly code: string;
  readonly retryable: boolean;
  /** Path of the parameter that is wrong, such as `events[3].topics[0]`. */
  readonly parameter: string | undefined;

  constructor(message: string, options?: ErrorDetails) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = new.target.code;
    this.retryable = new.target.retryable;
    this.parameter = options?.parameter;
  }
}

/** A parameter out of form or bounds. */
export class InvalidParameter extends AuditError {
  static override readonly code: string = "invalid_params";
}
/** The server has no such method. */
export class MethodNotFound extends AuditError {
  static override readonly code = "method_not_found";
}
/** The server does not know who is asking. */
export class Unauthorized extends AuditError {
  static override readonly code = "unauthorized";
}
/** Who is asking may not do this. */
export class Forbidden extends AuditError {
  static override readonly code = "forbidden";
}
/** No event has this id. */
export class NotFound extends AuditError {
  static override readonly code = "not_found";
}
/** A damaged cursor, or one of another store, query or order. */
export class CursorInvalid extends AuditError {
  static override readonly code = "cursor_invalid";
}
/** A cursor below what the log keeps. */
export class CursorExpired extends AuditError {
  static override readonly code = "cursor_expired";
}
/** An event or a call over its size. */
export class TooLarge extends InvalidParameter {
  static override readonly code = "too_large";
}
/** Too many requests in flight, too many subscriptions, or too much asked in too short a time. */
export class Overloaded extends AuditError {
  static override readonly code = "overloaded";
  static override readonly retryable = true;
  /** When it is worth another try, in milliseconds from now; undefined: soon. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options?: ErrorDetails) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}
/** The log can't be reached, or can't serve this now; nothing was written. */
export class Unavailable extends AuditError {
  static override readonly code = "unavailable";
  static override readonly retryable = true;
}
/** An idempotency key that is known with another request. */
export class Conflict extends AuditError {
  static override readonly code = "conflict";
}
/** The events may have been written or not: only a retry with the same idempotency key finds out. */
export class OutcomeUnknown extends AuditError {
  static override readonly code = "outcome_unknown";
  static override readonly retryable = true;
}
/** The server's clock has jumped: appends are refused until its operator accepts it. */
export class ClockSuspect extends AuditError {
  static override readonly code = "clock_suspect";
}
/** What answers does not speak this protocol, or says that we don't. */
export class ProtocolViolation extends AuditError {
  static override readonly code = "invalid_request";
}
/** A proof or a checkpoint does not show what it should; what it was to vouch for must not be trusted. */
export class ProofInvalid extends AuditError {
  static override readonly code: string = "proof_invalid";
  /** What was checked, such as `event 41` or `checkpoint of size 100`. */
  readonly subject: string;
  /** What is wrong with it. */
  readonly problem: string;

  constructor(subject: string, problem: string, options?: { cause?: unknown }) {
    super(`${subject}: ${problem}`, options);
    this.subject = subject;
    this.problem = problem;
  }
}
/** A proof, checkpoint or key is not of its form, or a proof has not as many hashes as it should. */
export class ProofMalformed extends ProofInvalid {
  static override readonly code = "proof_malformed";
}
/** A checkpoint bears no signature by the key that is trusted. */
export class WrongKey extends ProofInvalid {
  static override readonly code = "wrong_key";
}
/** A checkpoint is another log's. */
export class WrongOrigin extends ProofInvalid {
  static override readonly code = "wrong_origin";
}
/** A signature bears the trusted key's name, but the key did not sign this text. */
export class SignatureInvalid extends ProofInvalid {
  static override readonly code = "signature_invalid";
}
/** What is there is not what was signed: history was changed, cut off or replaced. */
export class TamperDetected extends ProofInvalid {
  static override readonly code: string = "tamper_detected";
}
/** An event or a root is not the one that a checkpoint covers. */
export class HashMismatch extends TamperDetected {
  static override readonly code = "hash_mismatch";
}
/** Two checkpoints of one log tell different histories. */
export class HistoryForked extends TamperDetected {
  static override readonly code = "history_forked";
}
/** A checkpoint covers fewer events than one that was trusted before: the log was rolled back. */
export class CheckpointBehind extends TamperDetected {
  static override readonly code = "checkpoint_behind";
}
/** A checkpoint covers more events than there are. */
export class CheckpointAhead extends TamperDetected {
  static override readonly code = "checkpoint_ahead";
}
/** The client was closed. */
export class ClientClosed extends AuditError {
  static override readonly code = "client_closed";
}

type Kind = new (message: string, options?: ErrorDetails) => AuditError;

/** The wire's codes: number, word, class. */
export const WIRE_CODES: readonly (readonly [number, string, Kind])[] = [
  [-32700, "parse_error", ProtocolViolation],
  [-32600, "invalid_request", ProtocolViolation],
  [-32601, "method_not_found", MethodNotFound],
  [-32602, "invalid_params", InvalidParameter],
  [-32603, "internal", AuditError],
  [-32001, "unauthorized", Unauthorized],
  [-32002, "forbidden", Forbidden],
  [-32003, "not_found", NotFound],
  [-32004, "cursor_invalid", CursorInvalid],
  [-32005, "too_large", TooLarge],
  [-32006, "overloaded", Overloaded],
  [-32007, "unavailable", Unavailable],
  [-32008, "conflict", Conflict],
  [-32009, "outcome_unknown", OutcomeUnknown],
  [-32010, "cursor_expired", CursorExpired],
  [-32011, "clock_suspect", ClockSuspect],
];

/** Return the error that a server told; one with a code that nobody here knows is a plain `AuditError`. */
export function fromWire(error: WireError): AuditError {
  const word: unknown = error.data?.code;
  const row = WIRE_CODES.find(([, code]) => code === word) ?? WIRE_CODES.find(([number]) => number === error.code);
  const kind = row?.[2] ?? AuditError;
  const { parameter, retry_after_ms } = error.data ?? {};
  return new kind(error.message, { parameter: parameter ?? undefined, retryAfterMs: retry_after_ms ?? undefined });
}
