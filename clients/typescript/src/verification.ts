/**
 * Checking what a server sends against its log's checkpoints. Owns the newest checkpoint that was trusted.
 *
 * Invariant: a checkpoint is trusted only once it is signed by the log's key and goes on from the one trusted before; no
 * event is handed on that no trusted checkpoint covers. What is left out of a filtered answer can't be found out; of an
 * answer with everything, a hole between two events can.
 */

import { abortable } from "./abort.js";
import { type Checkpoint, openCheckpoint, rootOf, verifyNewer } from "./checkpoints.js";
import {
  CheckpointAhead,
  HashMismatch,
  InvalidParameter,
  type ProofInvalid,
  ProofMalformed,
  TamperDetected,
} from "./errors.js";
import { type Bytes, sameBytes } from "./hashing.js";
import { leafHash, placeOf } from "./leaves.js";
import { followRotations, parseKey, type VerifierKey } from "./notes.js";
import { selectionRoot } from "./trees.js";

/** What a client trusts. */
export interface VerifyOptions {
  /** The log's public key, as text: what `audit key show` prints. */
  readonly key: string;
  /** Statements by which other keys took its place, in their order. */
  readonly rotations?: readonly string[];
  /** The checkpoint to go on from: `trusted` of an earlier client. Without one, the first that the key signed is. */
  readonly trusted?: string | undefined;
}

/** Whoever answers for a log; nothing of it is believed. */
export interface Prover {
  /** Return the note of a checkpoint that covers all that is committed. */
  checkpoint(signal?: AbortSignal): Promise<string>;
  /** Return the hashes that prove that the log of one size goes on from that of another. */
  consistency(from: number, to: number, signal?: AbortSignal): Promise<readonly Bytes[]>;
  /** Return the hashes from some events, ascending, to the root of the log of this size. */
  selection(indexes: readonly number[], size: number, signal?: AbortSignal): Promise<readonly Bytes[]>;
}

interface Placed {
  readonly index: number;
  readonly id: string;
  readonly text: string;
}

/** What is to be made of some events; `after` is the index of the one that came before them. */
export interface Expected {
  /** Whether nothing may be left out between them. */
  readonly allOfIt?: boolean;
  readonly after?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class Verification {
  /** Note of the newest checkpoint that is trusted; undefined: there is none yet. */
  note: string | undefined;
  #newest: Checkpoint | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly keys: readonly VerifierKey[],
    private readonly origin: string,
    private readonly prover: Prover,
  ) {}

  /** Throws `InvalidParameter` (the key is none of a log) or `ProofInvalid` (a statement or checkpoint does not hold). */
  static async open(options: VerifyOptions, prover: Prover): Promise<Verification> {
    if (typeof options?.key !== "string") throw badKey("must be the log's public key");
    const key = await parseKey(options.key.trim()).catch((error) => {
      throw error instanceof ProofMalformed ? badKey(error.problem, error) : error;
    });
    const keys = await followRotations(key, options.rotations ?? []);
    const opened = new Verification(keys, key.name, prover);
    const { trusted } = options;
    if (trusted !== undefined) {
      opened.#newest = await openCheckpoint(trusted, keys, key.name);
      opened.note = trusted;
    }
    return opened;
  }

  /**
   * Trust the newest checkpoint of the log, if it goes on from the one trusted before; return its note. Throws
   * `ProofInvalid`: it does not; the class says why, and the one before stays.
   */
  async renew(signal?: AbortSignal): Promise<string> {
    return (await this.#inTurn(() => this.#renew(signal), signal)).note;
  }

  /**
   * Check that events are in the log, each at its place, before anybody gets to see them. They are as they are stored, in
   * either order.
   *
   * Throws `TamperDetected` (one is not what was signed, or is missing; the error names it) or `ProofInvalid` (the log
   * shows no checkpoint that could be trusted, or a proof that is none).
   */
  async check(texts: readonly string[], { allOfIt = false, after, signal }: Expected = {}): Promise<void> {
    const events = texts.map((text) => ({ ...placeOf(text), text })).sort((one, other) => one.index - other.index);
    const last = events.at(-1)?.index;
    if (last === undefined) return;
    let before = after;
    for (const { index } of events) {
      if (before !== undefined && index <= before) throw new ProofMalformed(`event ${index}`, "was sent twice");
      if (before !== undefined && allOfIt && index !== before + 1)
        throw new TamperDetected(`event ${before + 1}`, `is missing between events ${before} and ${index}`);
      before = index;
    }
    const checkpoint = this.#covering(last) ?? (await this.#inTurn(() => this.#renewedFor(last, signal), signal));
    if (checkpoint.size <= last)
      throw new HashMismatch(`event ${last}`, `is beyond the newest checkpoint, of size ${checkpoint.size}`);
    const leaves = await Promise.all(events.map((event) => leafHash(event.text)));
    await this.#checkAgainst(events, leaves, checkpoint, signal);
  }

  #covering(index: number): Checkpoint | undefined {
    return this.#newest !== undefined && this.#newest.size > index ? this.#newest : undefined;
  }

  async #renewedFor(index: number, signal: AbortSignal | undefined): Promise<Checkpoint> {
    // Whoever had the turn before may have renewed it.
    return this.#covering(index) ?? (await this.#renew(signal)).checkpoint;
  }

  async #renew(signal: AbortSignal | undefined): Promise<{ checkpoint: Checkpoint; note: string }> {
    const note = await this.prover.checkpoint(signal);
    const checkpoint = await openCheckpoint(note, this.keys, this.origin);
    const trusted = this.#newest;
    if (trusted !== undefined) {
      const { size } = checkpoint;
      const grown = trusted.size < size;
      const hashes = grown ? await asked(this.prover.consistency(trusted.size, size, signal), size) : [];
      await verifyNewer(trusted, checkpoint, hashes);
    }
    this.#newest = checkpoint;
    this.note = note;
    return { checkpoint, note };
  }

  async #checkAgainst(
    events: readonly Placed[],
    leaves: readonly Bytes[],
    checkpoint: Checkpoint,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { size } = checkpoint;
    const indexes = events.map((event) => event.index);
    const hashes = await asked(this.prover.selection(indexes, size, signal), size);
    if (sameBytes(await selectionRoot(indexes, leaves, size, hashes), rootOf(checkpoint))) return;
    const [first] = events;
    const problem = `is not the one that the checkpoint of size ${size} covers`;
    if (events.length === 1) throw new HashMismatch(`event ${first?.index} (${first?.id})`, problem);
    // Which one: the half that does not hold, and so on.
    const middle = Math.floor(events.length / 2);
    await this.#checkAgainst(events.slice(0, middle), leaves.slice(0, middle), checkpoint, signal);
    await this.#checkAgainst(events.slice(middle), leaves.slice(middle), checkpoint, signal);
    throw new HashMismatch(`one of ${events.length} events, ${indexes[0]} to ${indexes.at(-1)}`, problem);
  }

  /** Two that renew at once would each go on from what the other has not trusted yet. */
  #inTurn<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const turn = this.#turn.then(() => {
      signal?.throwIfAborted();
      return work();
    });
    this.#turn = turn.catch(() => {});
    return abortable(turn, signal);
  }
}

async function asked<T>(answer: Promise<T>, size: number): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    // What was signed once must be there for ever.
    if (error instanceof InvalidParameter) {
      const problem = `the log has no such history: ${error.message}`;
      throw new CheckpointAhead(`checkpoint of size ${size}`, problem, { cause: error });
    }
    throw error;
  }
}

function badKey(problem: string, cause?: ProofInvalid): InvalidParameter {
  return new InvalidParameter(`verify.key: ${problem}`, { parameter: "verify.key", cause });
}
