/**
 * One connection while it lives: requests and who waits for their answers, notifications and who gets them.
 *
 * Invariant: each request's `done` is called once, with a result or an error, unless it was forgotten before. It is
 * called before anything that came later is looked at.
 */

import { type AuditError, fromWire, ProtocolViolation, TooLarge, Unavailable } from "./errors.js";
import { closedError, type Socket } from "./socket.js";
import type { Limits, WireError } from "./wire.js";

/** A silent connection is asked something after so long, and given up when so long again nothing came. */
const SILENCE_MS = 20_000;

/** The connection was lost before the answer came. */
export class Lost extends Unavailable {}

export interface Answer {
  readonly result: unknown;
  /** The frame in which it came. */
  readonly text: string;
}
export type Outcome = Answer | { readonly error: AuditError };
export type Done = (outcome: Outcome) => void;

/** A notification; `events` is there in some, and so is what only some methods have. */
export interface Note {
  readonly method: string;
  readonly params: Record<string, unknown> & { readonly subscription: string; readonly cursor: string };
  /** The frame in which it came. */
  readonly text: string;
}

interface Request {
  readonly frame: string;
  readonly done: Done;
  readonly onSent: () => void;
}

const encoder = new TextEncoder();

export class Link {
  /** Resolves with the reason once the connection is lost; never rejects. */
  readonly over: Promise<AuditError>;
  #end: (reason: AuditError) => void = () => {};
  #reason: AuditError | undefined;
  #next = 0;
  /** Sent and not answered; of those that nobody waits for any more, nothing is done. */
  readonly #waiting = new Map<number, Done>();
  /** Not sent yet: the server takes so many at once. */
  readonly #backlog = new Map<number, Request>();
  readonly #receivers = new Map<string, (note: Note) => void>();
  #limits = { frame_bytes: 4 * 1024 * 1024, requests: 256 };
  #heardAt = Date.now();
  #askedAt: number | undefined;
  readonly #watch: ReturnType<typeof setInterval>;

  constructor(
    private readonly socket: Socket,
    private readonly url: string,
  ) {
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#lose(closedError(event.code, event.reason, url));
    // What went wrong is told by the close that follows.
    socket.onerror = () => {};
    this.#watch = setInterval(() => this.#listen(), SILENCE_MS / 2);
  }

  /** Keep to what the server takes. */
  limit(limits: Limits): void {
    this.#limits = { ...this.#limits, ...limits };
  }

  /**
   * Send a request as soon as the server takes one more, and have `done` called with its outcome. Returns its id.
   *
   * Throws `TooLarge`: the server would close the connection over a frame of this size.
   */
  request(method: string, params: object, done: Done, onSent: () => void = () => {}): number {
    this.#next += 1;
    const frame = JSON.stringify({ jsonrpc: "2.0", id: this.#next, method, params });
    this.#check(frame, method);
    if (this.#reason !== undefined) done({ error: new Lost(this.#reason.message) });
    else {
      this.#backlog.set(this.#next, { frame, done, onSent });
      this.#sendNext();
    }
    return this.#next;
  }

  /** Wait no longer for an answer; what was asked for may happen all the same. */
  forget(id: number): void {
    this.#backlog.delete(id);
    if (this.#waiting.has(id)) this.#waiting.set(id, () => {});
  }

  /** Have a subscription's notifications handed to `receiver`. */
  route(subscription: string, receiver: (note: Note) => void): void {
    this.#receivers.set(subscription, receiver);
  }

  /** Drop whatever still comes of a subscription. */
  unroute(subscription: string): void {
    this.#receivers.delete(subscription);
  }

  /** Let the server send more of a subscription. */
  grant(subscription: string, events: number): void {
    if (this.#reason !== undefined) return;
    const params = { subscription, events };
    this.socket.send(JSON.stringify({ jsonrpc: "2.0", method: "subscription.credit", params }));
  }

  /** Close the connection. */
  close(): void {
    this.socket.close(1000);
    // A peer that is gone does not close its side: nobody waits for that.
    this.#lose(new Unavailable(`the connection to ${this.url} was closed`));
  }

  #check(frame: string, method: string): void {
    const most = this.#limits.frame_bytes;
    // UTF-8 has at most three bytes for each UTF-16 code unit: most frames need no counting.
    if (frame.length * 3 <= most || encoder.encode(frame).length <= most) return;
    const parameter = method === "events.append" ? "events" : "params";
    throw new TooLarge(`${parameter}: make a frame of over ${most} bytes, more than the server takes`, { parameter });
  }

  #sendNext(): void {
    for (const [id, request] of this.#backlog) {
      if (this.#waiting.size >= this.#limits.requests) return;
      this.#backlog.delete(id);
      this.#waiting.set(id, request.done);
      request.onSent();
      this.socket.send(request.frame);
    }
  }

  #receive(data: unknown): void {
    if (this.#reason !== undefined) return;
    this.#heardAt = Date.now();
    this.#askedAt = undefined;
    let frame: Record<string, unknown>;
    try {
      frame = parse(data);
    } catch (cause) {
      this.#violate(new ProtocolViolation("the server sent what is no message", { cause }));
      return;
    }
    if (typeof frame["method"] === "string") {
      const note = { method: frame["method"], params: frame["params"], text: data } as Note;
      this.#receivers.get(note.params?.subscription)?.(note);
      return;
    }
    const id = frame["id"];
    if (typeof id !== "number") {
      const told = (frame["error"] as WireError | undefined)?.message;
      this.#violate(new ProtocolViolation(told ? `the server refuses: ${told}` : "the server answers nobody"));
      return;
    }
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    const failed = "error" in frame;
    done?.(
      failed ? { error: fromWire(frame["error"] as WireError) } : { result: frame["result"], text: data as string },
    );
    this.#sendNext();
  }

  #violate(reason: ProtocolViolation): void {
    this.socket.close(4400, reason.message.slice(0, 40));
    this.#lose(reason);
  }

  #listen(): void {
    const now = Date.now();
    if (this.#askedAt !== undefined && now - this.#askedAt >= SILENCE_MS) {
      this.socket.close(4408, "no answer");
      this.#lose(new Unavailable(`${this.url} does not answer any more`));
    } else if (this.#askedAt === undefined && now - this.#heardAt >= SILENCE_MS) {
      this.#askedAt = now;
      this.request("server.info", {}, () => {});
    }
  }

  #lose(reason: AuditError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearInterval(this.#watch);
    this.socket.onmessage = null;
    const left = [...this.#waiting.values(), ...[...this.#backlog.values()].map((request) => request.done)];
    this.#waiting.clear();
    this.#backlog.clear();
    this.#receivers.clear();
    this.#end(reason);
    for (const done of left) done({ error: new Lost(reason.message) });
  }
}

function parse(data: unknown): Record<string, unknown> {
  if (typeof data !== "string") throw new TypeError("a binary frame");
  const frame: unknown = JSON.parse(data);
  if (frame === null || typeof frame !== "object" || Array.isArray(frame)) throw new TypeError("no object");
  return frame as Record<string, unknown>;
}
