/**
 * A client without its verbs: keeps a connection, makes another when it is lost, and carries calls and feeds over.
 *
 * Invariant: until it has failed, every feed is subscribed, being subscribed, or waiting for its next try; then every
 * call and feed is told why.
 */

import { abortable, sleep } from "./abort.js";
import type { Address } from "./address.js";
import { toldWaitMs, waitMs } from "./backoff.js";
import {
  AuditError,
  ClientClosed,
  Conflict,
  fromWire,
  InvalidParameter,
  OutcomeUnknown,
  Overloaded,
  Unavailable,
} from "./errors.js";
import { type Answer, Link, Lost, type Note, type Outcome } from "./link.js";
import type { News, Options } from "./options.js";
import { openSocket } from "./socket.js";
import type { Source } from "./source.js";
import type { InfoResult, SubscribeResult, WireError } from "./wire.js";

type AnyFeed = Source<unknown>;

/** Where a feed is subscribed, or when it will be. */
interface Place {
  /** What it is asked for with. */
  readonly method: string;
  on: { readonly link: Link; readonly name: string } | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
  failures: number;
  downSince: number | undefined;
}

export class Core {
  readonly #ending = new AbortController();
  readonly #feeds = new Map<AnyFeed, Place>();
  readonly #changes = new Set<() => void>();
  #link: Link | undefined;
  #failure: unknown;
  #info: InfoResult | undefined;

  constructor(
    private readonly address: Address,
    readonly options: Options,
  ) {}

  /** What the server said of itself when it was connected to last. */
  get info(): InfoResult {
    if (this.#info === undefined) throw new ClientClosed("the client was never connected");
    return this.#info;
  }

  /** Connect for the first time, and keep connected from then on; whatever keeps it from that is thrown. */
  start(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    signal?.addEventListener("abort", () => this.fail(signal.reason), { once: true, signal: this.#ending.signal });
    return new Promise((resolve, reject) => {
      void this.#run(resolve).finally(() => reject(this.#failure));
    });
  }

  /** End everything: subscriptions end, calls fail with `ClientClosed`. */
  close(): void {
    this.fail(new ClientClosed("the client is closed"));
  }

  /** Tell everybody that there will be no other connection. */
  fail(reason: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#link?.close();
    this.#link = undefined;
    this.#ending.abort(reason);
    for (const [feed, place] of this.#feeds) {
      clearTimeout(place.timer);
      if (reason instanceof ClientClosed) feed.finish();
      else feed.finish(reason);
    }
    this.#feeds.clear();
    this.#changed();
  }

  // Connections

  async #run(started: () => void): Promise<void> {
    let failures = 0;
    let waitedMs = 0;
    let downSince: number | undefined;
    let once = false;
    while (this.#failure === undefined) {
      let upAt: number | undefined;
      let reason: AuditError;
      try {
        const link = await this.#connect();
        upAt = Date.now();
        this.#up(link, once);
        once = true;
        started();
        reason = await link.over;
      } catch (error) {
        reason = error instanceof AuditError ? error : new AuditError(String(error), { cause: error });
      }
      this.#link = undefined;
      if (this.#failure !== undefined) return;
      const now = Date.now();
      if (upAt !== undefined) {
        downSince = undefined;
        // One that is lost as soon as it is made must not be made again at once for ever.
        if (now - upAt >= waitedMs) failures = 0;
      }
      downSince ??= now;
      waitedMs = waitMs(this.options.backoff, failures, reason);
      failures += 1;
      if (!once || !reason.retryable || now + waitedMs - downSince > this.options.reconnectTimeoutMs) {
        this.fail(reason);
        this.#tell({ type: "disconnected", reason, retryInMs: undefined });
        return;
      }
      this.#tell({ type: "disconnected", reason, retryInMs: waitedMs });
      await sleep(waitedMs, this.#ending.signal).catch(() => {});
    }
  }

  /** Return a connection whose server has said what it takes. */
  async #connect(): Promise<Link> {
    const socket = await openSocket(this.address, this.options, this.#ending.signal);
    const link = new Link(socket, this.address.url);
    const inTime = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(this.options.openTimeoutMs)]);
    try {
      this.#info = (await this.#ask(link, "server.info", {}, inTime)).result as InfoResult;
    } catch (error) {
      link.close();
      if (error instanceof Lost) throw await link.over;
      throw error instanceof AuditError ? error : new Unavailable(`${this.address.url} does not answer`);
    }
    link.limit(this.#info.limits);
    return link;
  }

  #up(link: Link, again: boolean): void {
    this.#link = link;
    const { name, version, store } = this.info;
    this.#tell({ type: "connected", server: `${name} ${version}`, storeId: store.id, again });
    for (const [feed, place] of [...this.#feeds]) this.#subscribe(feed, place);
    this.#changed();
  }

  #tell(news: News): void {
    try {
      this.options.onNews(news);
    } catch (error) {
      // Whatever it is, it is the hook's, and must not end the client.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #changed(): void {
    const changes = [...this.#changes];
    this.#changes.clear();
    for (const change of changes) change();
  }

  // Calls

  /**
   * Return a result, over as many connections and tries as it takes.
   *
   * `writes`: whether it may leave something behind although it failed; its parameters then have idempotency keys.
   * Throws `Unavailable` (no answer in time, and nothing written), `Overloaded` (the server says that there will be none
   * in time), `OutcomeUnknown` (the same, and it may have been written), what the server answered, or what the signal was aborted with.
   */
  async call(method: string, params: object, signal?: AbortSignal, writes = false): Promise<unknown> {
    return (await this.answer(method, params, signal, writes)).result;
  }

  /** The same, with the text of the frame in which the result came. */
  async answer(method: string, params: object, signal?: AbortSignal, writes = false): Promise<Answer> {
    const late = AbortSignal.timeout(this.options.callTimeoutMs);
    const endsAt = Date.now() + this.options.callTimeoutMs;
    const trial: Trial = { writes, doubtful: false, trouble: undefined, endsAt };
    try {
      return await this.#try(method, params, signal === undefined ? late : AbortSignal.any([signal, late]), trial);
    } catch (error) {
      if (signal?.aborted || error instanceof InvalidParameter || error instanceof Conflict) throw error;
      const timedOut = late.aborted && error === late.reason;
      if (!timedOut && !trial.doubtful) throw error;
      const why = timedOut ? `no answer in time${trial.trouble ? `: ${trial.trouble.message}` : ""}` : String(error);
      if (trial.doubtful) throw new OutcomeUnknown(`the events may have been written or not: ${why}`, { cause: error });
      throw new Unavailable(`${this.address.url}: ${why}`, { cause: trial.trouble });
    }
  }

  async #try(method: string, params: object, signal: AbortSignal, trial: Trial): Promise<Answer> {
    for (let failures = 0; ; failures += 1) {
      const link = await this.#connected(signal);
      const doubtfulBefore = trial.doubtful;
      let delayMs: number;
      const onSent = () => {
        trial.doubtful = trial.writes;
      };
      try {
        return await this.#ask(link, method, params, signal, onSent);
      } catch (error) {
        if (signal.aborted || !(error instanceof AuditError)) throw error;
        // What the server refuses was not written; a connection that was lost leaves that open.
        if (!(error instanceof Lost || error instanceof OutcomeUnknown)) trial.doubtful = doubtfulBefore;
        if (!error.retryable) throw error;
        trial.trouble = error;
        // The next connection has a delay of its own.
        if (error instanceof Lost) continue;
        const toldMs = toldWaitMs(error);
        if (toldMs > 0 && Date.now() + toldMs > trial.endsAt) throw error;
        delayMs = waitMs(this.options.backoff, failures, error);
      }
      await sleep(delayMs, signal);
    }
  }

  #ask(link: Link, method: string, params: object, signal: AbortSignal, onSent?: () => void): Promise<Answer> {
    let id = 0;
    const answer = new Promise<Answer>((resolve, reject) => {
      const done = (outcome: Outcome) => ("error" in outcome ? reject(outcome.error) : resolve(outcome));
      id = link.request(method, params, done, onSent);
    });
    return abortable(answer, signal).finally(() => link.forget(id));
  }

  async #connected(signal: AbortSignal): Promise<Link> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#link !== undefined) return this.#link;
      let change: () => void = () => {};
      const changed = new Promise<void>((resolve) => {
        change = resolve;
        this.#changes.add(change);
      });
      await abortable(changed, signal).finally(() => this.#changes.delete(change));
    }
  }

  // Feeds

  /** Subscribe a feed, now or when there is a connection, and keep it so until it is over. */
  add(feed: AnyFeed, method: string): void {
    if (this.#failure !== undefined) throw this.#failure;
    const place: Place = { method, on: undefined, timer: undefined, failures: 0, downSince: undefined };
    this.#feeds.set(feed, place);
    this.#subscribe(feed, place);
  }

  /** Forget a feed, and have the server do so. */
  drop(feed: AnyFeed): void {
    const place = this.#feeds.get(feed);
    if (place === undefined) return;
    this.#feeds.delete(feed);
    clearTimeout(place.timer);
    if (place.on !== undefined) this.#cancel(place.on.link, place.on.name);
  }

  /** Let the server send so many more events. */
  grant(feed: AnyFeed, events: number): void {
    const on = this.#feeds.get(feed)?.on;
    if (events > 0) on?.link.grant(on.name, events);
  }

  #subscribe(feed: AnyFeed, place: Place): void {
    const link = this.#link;
    clearTimeout(place.timer);
    place.on = undefined;
    if (link === undefined) return;
    const params = feed.request(this.info.limits.credit ?? this.options.credit);
    if (params === undefined) {
      this.#feeds.delete(feed);
      return;
    }
    link.request(place.method, params, (outcome) => this.#subscribed(feed, place, link, outcome));
  }

  #subscribed(feed: AnyFeed, place: Place, link: Link, outcome: Outcome): void {
    const wanted = this.#feeds.get(feed) === place;
    if ("error" in outcome) {
      // After a connection that was lost comes another one, on which all feeds are subscribed.
      if (wanted && !(outcome.error instanceof Lost)) this.#trouble(feed, place, outcome.error);
      return;
    }
    const name = (outcome.result as SubscribeResult).subscription;
    if (!wanted) {
      this.#cancel(link, name);
      return;
    }
    place.on = { link, name };
    link.route(name, (note) => this.#note(feed, place, note));
    if (feed.started) this.#tell({ type: "resumed", topics: topicsOf(feed), cursor: feed.resumeAt });
    feed.started = true;
  }

  #note(feed: AnyFeed, place: Place, note: Note): void {
    if (this.#feeds.get(feed) !== place) return;
    if (!note.method.endsWith(".end")) {
      place.failures = 0;
      place.downSince = undefined;
      feed.receive(note);
      return;
    }
    if (place.on !== undefined) place.on.link.unroute(place.on.name);
    place.on = undefined;
    feed.move(note.params.cursor);
    const reason = note.params["reason"];
    const told = note.params["error"] as WireError | undefined;
    if (reason === "seek_end" || reason === "limit" || reason === "cancelled") {
      this.#feeds.delete(feed);
      feed.finish();
    } else if (told) {
      this.#trouble(feed, place, fromWire(told));
    } else if (reason === "error") {
      this.#trouble(feed, place, new AuditError("the server failed to go on with a subscription"));
    } else {
      this.#trouble(feed, place, new Unavailable(`the server ended a subscription: ${reason}`));
    }
  }

  /** Try a feed again later, if there is a point. */
  #trouble(feed: AnyFeed, place: Place, error: AuditError): void {
    const now = Date.now();
    const delayMs = waitMs(this.options.backoff, place.failures, error);
    place.failures += 1;
    place.downSince ??= now;
    if (!error.retryable || now + delayMs - place.downSince > this.options.reconnectTimeoutMs) {
      this.#feeds.delete(feed);
      feed.finish(error);
      return;
    }
    place.timer = setTimeout(() => this.#subscribe(feed, place), delayMs);
  }

  #cancel(link: Link, subscription: string): void {
    link.unroute(subscription);
    link.request("subscription.cancel", { subscription }, (outcome) => {
      if (!("error" in outcome) || !(outcome.error instanceof Overloaded)) return;
      // Left open, it would hold its place among the connection's subscriptions.
      setTimeout(() => this.#cancel(link, subscription), waitMs(this.options.backoff, 0, outcome.error));
    });
  }
}

/** What has become of one call so far. */
interface Trial {
  readonly writes: boolean;
  /** By the clock of `Date`. */
  readonly endsAt: number;
  /** Whether it may have been written. */
  doubtful: boolean;
  trouble: AuditError | undefined;
}

function topicsOf(feed: AnyFeed): readonly (readonly string[])[] {
  const params = feed.params as { topic?: string[]; topics?: string[][] };
  return params.topics ?? [params.topic ?? []];
}
