/** Waiting for what a feed has to tell. */

import { abortable } from "./abort.js";
import type { Core } from "./core.js";
import type { Source } from "./source.js";

/**
 * A subscription: an asynchronous iterable. It goes on over lost connections and restarts of the server. Leaving the
 * loop ends it; so does `close`.
 *
 * What it hands out counts as dealt with, and the server may send more, once the next one is asked for.
 */
export class Subscription<Item, Came = Item> implements AsyncIterableIterator<Item> {
  /** What was handed out last. */
  protected last: Item | undefined;
  /** What came and is not handed out yet, since it was not checked, or did not hold; with the cursor right before it. */
  #held: { readonly came: Came; readonly cursor: string | undefined } | undefined;
  /** Aborted once nothing more is wanted. */
  readonly #ended = new AbortController();
  #waiter: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #unlisten: () => void = () => {};

  /** @internal */
  constructor(
    private readonly core: Core,
    private readonly feed: Source<Came>,
    method: string,
    signal: AbortSignal | undefined,
    /** Makes what is handed out of what came, or throws: then it is asked again, and nobody reads past what came. */
    private readonly check?: (came: Came, signal: AbortSignal) => Promise<Item>,
  ) {
    signal?.throwIfAborted();
    feed.onChange = () => this.#waiter?.();
    core.add(feed, method);
    if (signal !== undefined) {
      const abort = () => {
        core.drop(feed);
        feed.close(signal.reason);
        this.#ended.abort();
      };
      signal.addEventListener("abort", abort);
      this.#unlisten = () => signal.removeEventListener("abort", abort);
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resumes right after what was handed out last; undefined: the server has not said yet where it starts. */
  get cursor(): string | undefined {
    return this.#held === undefined ? this.feed.cursor : this.#held.cursor;
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

  /** Return what comes next. Calls that overlap are answered in turn. Throws what the subscription failed with. */
  next(): Promise<IteratorResult<Item, undefined>> {
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#held === undefined) {
      this.core.grant(this.feed, this.feed.consumed());
      while (!this.feed.ready) await this.#change();
    }
    const item = this.#held === undefined && this.check === undefined ? this.feed.take() : await this.#checked();
    if (item === undefined) {
      this.#unlisten();
      return { done: true, value: undefined };
    }
    this.last = item as Item;
    return { done: false, value: item as Item };
  }

  async #checked(): Promise<Item | undefined> {
    const { cursor } = this;
    const came = this.#held?.came ?? this.feed.take();
    if (came === undefined) return undefined;
    this.#held = { came, cursor };
    try {
      const item = await this.check?.(came, this.#ended.signal);
      this.#held = undefined;
      return item;
    } catch (error) {
      if (!this.#ended.signal.aborted) throw error;
    }
    this.#held = undefined;
    this.feed.take(); // throws what it was ended with, if anything
    return undefined;
  }

  /** End it, as leaving a loop does. */
  async return(): Promise<IteratorResult<Item, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  /** End it: a `next` that waits is told that it is over, and what came unread is dropped. */
  close(): void {
    this.#unlisten();
    this.core.drop(this.feed);
    this.feed.close();
    this.#ended.abort();
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
