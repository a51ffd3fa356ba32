/** The verbs of a log elsewhere. */

import { type Address, parseAddress } from "./address.js";
import { type Bounded, bounded } from "./bounds.js";
import { Core } from "./core.js";
import { InvalidParameter, TamperDetected } from "./errors.js";
import { Feed, type FeedBatch } from "./feed.js";
import { decodeHash } from "./hashing.js";
import { placeOf } from "./leaves.js";
import { RemoteMetrics } from "./metrics.js";
import { type CallOptions, type ConnectOptions, checkOptions } from "./options.js";
import { members, storedEvents } from "./storedtext.js";
import { Subscription } from "./subscription.js";
import { type Prover, Verification } from "./verification.js";
import type {
  AppendResult,
  CheckpointResult,
  ConsistencyResult,
  Event,
  InclusionResult,
  InfoResult,
  ListParams,
  ListResult,
  NewEvent,
  Receipt,
  SelectionResult,
  SubscribeParams,
  TopicsParams,
  TopicsResult,
} from "./wire.js";

/** Which events, in which order; members are those of the wire. */
export type ListQuery = Bounded<ListParams>;
/** Which events; `seek` may be `"now"`. */
export type SubscribeQuery = Bounded<SubscribeParams>;
/** Events of a tail, in order, and how far it is. */
export type Batch = FeedBatch<Event>;

/** History, then live events: an asynchronous iterable of batches, without a gap or a duplicate. */
export class Tail extends Subscription<Batch, FeedBatch<unknown>> {
  /** Whether it had caught up with the log as of the last batch handed out. */
  get caughtUp(): boolean {
    return this.last?.caughtUp ?? false;
  }

  /** Whether it had caught up before, and as of the last batch handed out had not again. */
  get fellBehind(): boolean {
    return this.last?.fellBehind ?? false;
  }
}

/**
 * Connect to a log. A connection that is lost later is made again, for as long as it takes; subscriptions go on where
 * they were, and calls are tried again. Only the first connection must succeed at once.
 *
 * Throws `Unavailable` (nothing answers, or not in time), `Unauthorized` or `Forbidden`, `ProtocolViolation` (what
 * answers is no audit server) or `InvalidParameter`; with `verify`, also `ProofInvalid`: a rotation or the trusted
 * checkpoint does not hold.
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<RemoteLog> {
  const address: Address = parseAddress(url);
  const core = new Core(address, checkOptions(options));
  const { verify } = options;
  const verification = verify === undefined ? undefined : await Verification.open(verify, proverOf(core));
  await core.start(options.signal);
  return new RemoteLog(core, verification);
}

/**
 * A log elsewhere.
 *
 * Every call may throw `Unavailable` (no answer within `callTimeoutMs`, all tries included), `Unauthorized`,
 * `Forbidden`, and `ClientClosed`. Numbers beyond 2^53 in an event's `data` lose digits, as `JSON.parse` has it.
 */
export class RemoteLog {
  /** Values over windows of time. */
  readonly metrics: RemoteMetrics;

  /** @internal */
  constructor(
    private readonly core: Core,
    private readonly verification: Verification | undefined,
  ) {
    this.metrics = new RemoteMetrics(core);
  }

  /** Return what the server says of itself: name, version, store and limits. */
  async info(options: CallOptions = {}): Promise<InfoResult> {
    return (await this.core.call("server.info", {}, options.signal)) as InfoResult;
  }

  /** Return one event, or throw `NotFound`. */
  async get(id: string, options: CallOptions = {}): Promise<Event> {
    const { result, text } = await this.core.answer("events.get", { id }, options.signal);
    if (this.verification === undefined) return result as Event;
    const stored = members(text).get("result") ?? "";
    await this.verification.check([stored], options);
    const sent = placeOf(stored).id;
    if (sent !== id.toUpperCase()) throw new TamperDetected(`event ${id}`, `another one was sent: ${sent}`);
    return JSON.parse(stored) as Event;
  }

  /** Return one page. It may be short, even empty, while `has_more` is true. */
  async page(query: ListQuery = {}, options: CallOptions = {}): Promise<ListResult> {
    const { result, text } = await this.core.answer("events.list", bounded(query), options.signal);
    if (this.verification === undefined) return result as ListResult;
    const stored = storedEvents(text, "result") ?? [];
    await this.verification.check(stored, { allOfIt: isEverything(query), ...options });
    return { ...(result as ListResult), events: stored.map(parsed) };
  }

  /** Yield page after page, to the end of what matches; `limit` is the size of one. */
  async *list(query: ListQuery = {}, options: CallOptions = {}): AsyncGenerator<ListResult, void, undefined> {
    let page: ListResult | undefined;
    do {
      page = await this.page(page === undefined ? query : { ...query, cursor: page.cursor }, options);
      yield page;
    } while (page.has_more);
  }

  /**
   * Append one event, or 1-1,000 as one commit: all or none. They are durable, and visible to readers, when this
   * returns. Tried again as often as need be: events without an idempotency key go with one made for this call.
   *
   * Throws `InvalidParameter` or `TooLarge` (out of form or bounds), `Conflict` (a key that was used with another
   * event), `ClockSuspect`, or `OutcomeUnknown` (no answer in time: only a retry with a key of your own is safe).
   */
  append(event: NewEvent, options?: CallOptions): Promise<Receipt>;
  append(events: readonly NewEvent[], options?: CallOptions & { idempotencyKey?: string }): Promise<Receipt[]>;
  async append(
    given: NewEvent | readonly NewEvent[],
    options: CallOptions & { idempotencyKey?: string } = {},
  ): Promise<Receipt | Receipt[]> {
    const several = Array.isArray(given);
    const events: readonly NewEvent[] = several ? given : [given as NewEvent];
    const params = keyed(events, options.idempotencyKey);
    const result = (await this.core.call("events.append", params, options.signal, true)) as AppendResult;
    return several ? result.receipts : (result.receipts[0] as Receipt);
  }

  /**
   * Return history from a bound or cursor, then live events, without gap or duplicate. It is asked for at once; what
   * the server refuses is thrown by its iteration.
   */
  subscribe(query: SubscribeQuery = {}, options: CallOptions = {}): Tail {
    const { limit } = query;
    if (limit != null && !(Number.isInteger(limit) && limit >= 1)) {
      throw new InvalidParameter(`limit: must be at least 1, got ${limit}`, { parameter: "limit" });
    }
    const { core, verification } = this;
    const { credit } = core.options;
    const method = "events.subscribe";
    if (verification === undefined) return new Tail(core, new Feed(bounded(query), credit), method, options.signal);
    const feed = new Feed(bounded(query), credit, (note) => storedEvents(note.text, "params"));
    const check = tailCheck(verification, isEverything(query));
    return new Tail(core, feed, method, options.signal, check as (came: FeedBatch<unknown>) => Promise<Batch>);
  }

  /** Return one page of a topic's children with their counts, by name. */
  async topics(query: TopicsParams = {}, options: CallOptions = {}): Promise<TopicsResult> {
    return (await this.core.call("topics.list", query, options.signal)) as TopicsResult;
  }

  /** Return what proves that an event is in the log, for `verifyInclusion`; throws `NotFound`. */
  async proof(id: string, options: CallOptions = {}): Promise<InclusionResult> {
    return (await this.core.call("log.inclusion", { id }, options.signal)) as InclusionResult;
  }

  /** Return the note of a checkpoint of all that is committed, unchecked; three lines, if the log runs unsigned. */
  async checkpoint(options: CallOptions = {}): Promise<string> {
    return ((await this.core.call("log.checkpoint", {}, options.signal)) as CheckpointResult).checkpoint;
  }

  /** Return what proves that the log of `to` events begins with that of `from`, unchecked. */
  async consistency(from: number, to: number, options: CallOptions = {}): Promise<ConsistencyResult> {
    return (await this.core.call("log.consistency", { from, to }, options.signal)) as ConsistencyResult;
  }

  /** Return what proves that events, by their indexes, ascending, are in the log of `size` events, unchecked. */
  async selection(indexes: readonly number[], size: number, options: CallOptions = {}): Promise<SelectionResult> {
    return (await this.core.call("log.selection", { indexes, size }, options.signal)) as SelectionResult;
  }

  /** Note of the newest checkpoint trusted, with `verify`: keep it, and give it to the next client. */
  get trusted(): string | undefined {
    return this.verification?.note;
  }

  /**
   * Check that the log's newest checkpoint goes on from the one trusted before; trust it, and return its note.
   *
   * Throws `InvalidParameter` (the client was connected without `verify`) or `ProofInvalid`: it does not; the class says
   * why, and the one before stays trusted.
   */
  async trustNewest(options: CallOptions = {}): Promise<string> {
    if (this.verification === undefined) {
      throw new InvalidParameter("verify: must be given, with the log's key, when connecting", { parameter: "verify" });
    }
    return this.verification.renew(options.signal);
  }

  /** End every subscription, and every call with `ClientClosed`, and close the connection. */
  close(): void {
    this.core.close();
  }
}

/** Return an append's parameters, safe to be sent twice. */
function keyed(events: readonly NewEvent[], key: string | undefined): object {
  if (key !== undefined) return { events, idempotency_key: key };
  const own = events.filter((event) => event.idempotency_key != null).length;
  if (own === 0) return { events, idempotency_key: newKey() };
  if (own === events.length) return { events };
  // A call's key goes with no other: each of the rest gets its own.
  return {
    events: events.map((event) => (event.idempotency_key == null ? { ...event, idempotency_key: newKey() } : event)),
  };
}

function newKey(): string {
  // `randomUUID` is missing from pages that came without TLS from another machine.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return what answers for a log: the proofs that its server gives. */
function proverOf(core: Core): Prover {
  const hashes = (result: unknown) => (result as SelectionResult | ConsistencyResult).hashes.map(decodeHash);
  return {
    checkpoint: async (signal) => ((await core.call("log.checkpoint", {}, signal)) as CheckpointResult).checkpoint,
    consistency: async (from, to, signal) => hashes(await core.call("log.consistency", { from, to }, signal)),
    selection: async (indexes, size, signal) => hashes(await core.call("log.selection", { indexes, size }, signal)),
  };
}

/** Return what checks each batch of one tail before anything of it is handed out. */
function tailCheck(verification: Verification, allOfIt: boolean) {
  let after: number | undefined;
  return async (batch: FeedBatch<string>, signal: AbortSignal): Promise<Batch> => {
    await verification.check(batch.events, { allOfIt, after, signal });
    const last = batch.events.at(-1);
    if (last !== undefined) after = placeOf(last).index;
    return { ...batch, events: batch.events.map(parsed) };
  };
}

/** Return whether a query leaves nothing out, so that nothing may be missing between two events. */
function isEverything(query: { topic?: string[]; topics?: string[][] | null; filter?: object | null }): boolean {
  const { topic, topics, filter } = query;
  const filtered = Object.values(filter ?? {}).some((value) => value != null);
  return !filtered && (topics ?? [topic ?? []]).some((one) => one.length === 0);
}

function parsed(stored: string): Event {
  return JSON.parse(stored) as Event;
}
