/** Waiting for what a feed has to tell. */

import { abortable } from "./abort.js";
import type { Core } from "./core.js";
import type { Feed, FeedBatch, FeedParams } from "./feed.js";

/**
 * A subscription: an asynchronous iterable of batches. It goes on over lost connections and restarts of the server,
 * without a gap or a duplicate. Leaving the loop ends it; so does `close`.
 *
 * What it hands out counts as dealt with, and the server may send more, once the next batch is asked for.
 */
export class Subscription<Batch extends FeedBatch<unknown>> implements AsyncIterableIterator<Batch> {
  #last: Batch | undefined;
  #waiter: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #unlisten: () => void = () => {};

  /** @internal */
  constructor(
    private readonly core: Core,
    // biome-ignore lint/suspicious/noExplicitAny: what it was asked for with is no concern of its reader
    private readonly feed: Feed<FeedParams & Record<string, any>, any>,
    method: string,
    private readonly toBatch: (batch: FeedBatch<unknown>) => Batch,
    signal: AbortSignal | undefined,
  ) {
    signal?.throwIfAborted();
    feed.onChange = () => this.#waiter?.();
    core.add(feed, method);
    if (signal !== undefined) {
      const abort = () => {
        core.drop(feed);
        feed.close(signal.reason);
      };
      signal.addEventListener("abort", abort);
      this.#unlisten = () => signal.removeEventListener("abort", abort);
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resumes right after the last batch handed out; undefined: the server has not said yet where it starts. */
  get cursor(): string | undefined {
    return this.feed.cursor;
  }

  /** Whether it had caught up with the log as of the last batch handed out. */
  get caughtUp(): boolean {
    return this.#last?.caughtUp ?? false;
  }

  /** Whether it had caught up before, and as of the last batch handed out had not again. */
  get fellBehind(): boolean {
    return this.#last?.fellBehind ?? false;
  }

  /**
   * Return once it is known where the subscription starts: of one that starts at `"now"`, once the server has said so.
   * Until then a connection that is lost moves that "now".
   */
  async settled(signal?: AbortSignal): Promise<void> {
    while (this.feed.resumeAt === undefined && this.feed.cursor === undefined && !this.feed.isOver) {
      await abortable(this.#change(), signal);
    }
  }

  /** Return the next batch. Calls that overlap are answered in turn. Throws what the subscription failed with. */
  next(): Promise<IteratorResult<Batch, undefined>> {
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #next(): Promise<IteratorResult<Batch, undefined>> {
    this.core.grant(this.feed, this.feed.consumed());
    while (!this.feed.ready) await this.#change();
    const batch = this.feed.take();
    if (batch === undefined) {
      this.#unlisten();
      return { done: true, value: undefined };
    }
    this.#last = this.toBatch(batch);
    return { done: false, value: this.#last };
  }

  /** End it, as leaving a loop does. */
  async return(): Promise<IteratorResult<Batch, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  /** End it: a `next` that waits is told that it is over, and what came unread is dropped. */
  close(): void {
    this.#unlisten();
    this.core.drop(this.feed);
    this.feed.close();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const earlier = this.#waiter;
      this.#waiter = () => {
        this.#waiter = undefined;
        earlier?.();
        resolve();
      };
    });
  }
}
