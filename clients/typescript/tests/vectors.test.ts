/** The transcripts of proto/vectors, by one connection and its feeds: this plays the server. */

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { AuditError, TooLarge, WIRE_CODES } from "../src/errors.js";
import { Feed } from "../src/feed.js";
import { Link, type Outcome } from "../src/link.js";
import { MetricFeed } from "../src/metricfeed.js";
import type { Socket } from "../src/socket.js";

type Json = Record<string, unknown>;
type Step = Record<string, Json>;

const HERE = new URL("../../../proto/vectors/", import.meta.url);
const NAMES = readdirSync(HERE).filter((file) => file.endsWith(".json"));
const MEMBERS = ["id", "jsonrpc", "method", "params"];

const TIME = "2026-01-01T00:00:00Z";

class Wire implements Socket {
  readonly protocol = "audit.v1.json";
  readonly sent: Json[] = [];
  closed: number | undefined;
  onopen = null;
  onerror = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code?: number): void {
    this.closed ??= code;
  }

  deliver(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

class Player {
  readonly #captured = new Map<string, string>();
  readonly #events: Json[] = [];
  #wire = new Wire();
  #link = new Link(this.#wire, "ws://vector");
  #ids = new Map<unknown, number>();
  #outcomes = new Map<number, Outcome>();
  #feeds = new Map<string, Feed<{ cursor?: string }, Json>>();
  #metrics = new Map<string, MetricFeed>();
  #ends = new Map<string, Json>();
  #asked = new Map<unknown, Json>();
  checked = 0;

  constructor(store: Json[][]) {
    for (const event of store.flat()) this.#store(event);
  }

  #store(event: Json): void {
    const index = this.#events.length;
    const id = `01KDVDNA00DHW93DTR98H6BC${String(index).padStart(2, "0")}`;
    const { idempotency_key: _, topics, ...rest } = event;
    const set = Object.entries(rest).filter(([, value]) => value !== null);
    this.#events.push({ id, index, topics, salt: "GP5wyvCYa0Tw-h0UFaIWjA", ...Object.fromEntries(set) });
  }

  /** Return what a pattern stands for: in what the server sends, where it may choose, some value. */
  #value(pattern: unknown): unknown {
    if (Array.isArray(pattern)) return pattern.map((one) => this.#value(one));
    if (pattern === null || typeof pattern !== "object") return pattern;
    const mark = Object.keys(pattern).find((key) => key.startsWith("$"));
    if (mark === undefined) {
      const members = Object.entries(pattern).filter(
        ([, one]) => !(one && typeof one === "object" && "$absent" in one),
      );
      return Object.fromEntries(members.map(([key, one]) => [key, this.#value(one)]));
    }
    const told = (pattern as Json)[mark];
    const times = (pattern as { times?: number }).times ?? 0;
    const known: Record<string, () => unknown> = {
      $any: () =>
        ({ string: "text", integer: 7, number: 0.5, boolean: true, object: {}, array: [], time: TIME })[told as string],
      $capture: () => {
        const value = `${told}-${this.#captured.size}`;
        this.#captured.set(told as string, value);
        return value;
      },
      $ref: () => this.#captured.get(told as string),
      $id: () => this.#events[told as number]?.["id"],
      $event: () => this.#events[told as number],
      $ms: () => 1_767_225_600_000,
      $time: () => "2026-01-01T00:00:00.000Z",
      $text: () => (told as string).repeat(times),
      $list: () => Array.from({ length: times }, () => this.#value(told)),
      $nested: () => Array.from({ length: (told as number) - 1 }).reduce((inner: unknown) => [inner], []),
    };
    return known[mark]?.();
  }

  #connect(): void {
    this.#wire = new Wire();
    this.#link = new Link(this.#wire, "ws://vector");
    this.#ids = new Map();
    this.#outcomes = new Map();
  }

  async step(step: Step): Promise<void> {
    if ("connect" in step) {
      this.#link.close();
      this.#connect();
    } else if (step["send"]) this.#send(step["send"]);
    else if (step["receive"]) await this.#receive(step["receive"]);
    else if (step["events"]) this.#eventsOf(step["events"]);
    else if ("close" in step) await this.#close(step["close"] as unknown as number);
  }

  #send(frame: Json): void {
    const { id, method } = frame as { id: unknown; method: string };
    const params = this.#value(frame["params"] ?? {}) as Json;
    this.#asked.set(id, { method, params });
    if (method === "subscription.credit" && !("id" in frame)) {
      if (Object.keys(params).join() !== "subscription,events") return;
      this.#link.grant(params["subscription"] as string, params["events"] as number);
      expect(this.#wire.sent.at(-1)).toEqual({ jsonrpc: "2.0", method, params });
      return;
    }
    // What this client can't say: another envelope, or parameters that are no object.
    const sayable = Object.keys(frame).every((key) => MEMBERS.includes(key)) && frame["jsonrpc"] === "2.0";
    if (!sayable || typeof method !== "string" || Array.isArray(params) || typeof params !== "object") return;
    if (JSON.stringify(params).length >= 4 * 1024 * 1024) {
      // A frame over the server's size, which would close the connection: it is not even sent.
      expect(() => this.#link.request(method, params, () => {})).toThrow(TooLarge);
      return;
    }
    const mine = this.#link.request(method, params, (outcome) => this.#outcomes.set(mine, outcome));
    this.#ids.set(id, mine);
    expect(this.#wire.sent.at(-1)).toEqual({ jsonrpc: "2.0", id: mine, method, params });
  }

  async #receive(pattern: Json): Promise<void> {
    if ("method" in pattern) {
      this.#note(this.#value(pattern) as { method: string; params: Json });
      return;
    }
    const asked = this.#asked.get(pattern["id"]);
    if (asked?.["method"] === "events.append" && pattern["result"]) {
      const receipts = (pattern["result"] as { receipts: { index: number }[] }).receipts;
      const events = (asked["params"] as { events: Json[] }).events;
      for (const [n, receipt] of receipts.entries()) {
        if (receipt.index === this.#events.length) this.#store(events[n] ?? {});
      }
    }
    const frame = this.#value(pattern) as Json;
    if (pattern["id"] === null) {
      // Never an answer to this client, unless it has a defect: it says so, and goes on on another connection.
      this.#wire.deliver(frame);
      expect([(await this.#link.over).code, this.#wire.closed]).toEqual(["invalid_request", 4400]);
      this.checked += 1;
      this.#connect();
      return;
    }
    const mine = this.#ids.get(pattern["id"]);
    if (mine === undefined) return;
    this.#ids.delete(pattern["id"]);
    this.#wire.deliver({ ...frame, id: mine });
    const outcome = this.#outcomes.get(mine);
    this.checked += 1;
    if ("error" in frame) this.#checkError(frame["error"] as Json, outcome);
    else expect(outcome).toEqual({ result: frame["result"], text: expect.any(String) });
    const subscription = (frame["result"] as Json | undefined)?.["subscription"];
    if (typeof subscription === "string") this.#follow(subscription, asked?.["method"] === "metrics.subscribe");
  }

  #checkError(told: Json, outcome: Outcome | undefined): void {
    const data = told["data"] as Json;
    const error = outcome && "error" in outcome ? outcome.error : undefined;
    const kind = WIRE_CODES.find(([, word]) => word === data["code"])?.[2];
    expect(error).toBeInstanceOf(AuditError);
    expect(error?.constructor).toBe(kind);
    expect([error?.retryable, error?.parameter]).toEqual([data["retryable"], data["parameter"]]);
  }

  #follow(subscription: string, metric: boolean): void {
    const feed = metric ? new MetricFeed({}) : new Feed<{ cursor?: string }, Json>({}, 1_000_000);
    if (feed instanceof MetricFeed) this.#metrics.set(subscription, feed);
    else this.#feeds.set(subscription, feed);
    this.#link.route(subscription, (note) => {
      if (note.method.endsWith(".end")) this.#ends.set(subscription, note.params);
      else feed.receive(note);
    });
  }

  #note(frame: { method: string; params: Json }): void {
    const subscription = frame.params["subscription"] as string;
    const feed = this.#feeds.get(subscription);
    this.#wire.deliver(frame);
    this.checked += 1;
    if (frame.method.endsWith(".end")) {
      expect(this.#ends.get(subscription)).toEqual(frame.params);
      return;
    }
    const metric = this.#metrics.get(subscription);
    if (metric !== undefined) {
      const { cursor, windows, total, as_of } = frame.params;
      expect(metric.take()).toEqual({ cursor, windows, total, as_of });
      return;
    }
    const batch = feed?.take();
    expect(feed?.cursor).toBe(frame.params["cursor"]);
    expect(batch?.events ?? []).toEqual(frame.params["events"] ?? []);
    if (batch) expect(batch.caughtUp).toBe(frame.method === "events.caught_up" || feed?.["ready"] === false);
  }

  #eventsOf(wanted: Json): void {
    const params = { cursor: { $any: "string" }, ...wanted };
    const frame = { jsonrpc: "2.0", method: "events.batch", params: this.#value(params) as Json };
    const feed = this.#feeds.get(frame.params["subscription"] as string);
    this.#wire.deliver(frame);
    this.checked += 1;
    expect(feed?.take()?.events).toEqual(frame.params["events"]);
    expect(feed?.cursor).toBe(frame.params["cursor"]);
  }

  async #close(code: number): Promise<void> {
    this.#wire.onclose?.({ code, reason: "" });
    const reason = await this.#link.over;
    this.checked += 1;
    expect(reason.retryable, `${code}`).toBe(![1007, 4400, 4401, 4403].includes(code));
  }
}

describe("vectors", () => {
  test.each(NAMES)("%s", async (name) => {
    const vector = JSON.parse(readFileSync(new URL(name, HERE), "utf8")) as { store?: Json[][]; steps: Step[] };
    const player = new Player(vector.store ?? []);
    for (const [n, step] of vector.steps.entries()) {
      try {
        await player.step(step);
      } catch (error) {
        throw new Error(`step ${n}, ${JSON.stringify(step).slice(0, 300)}: ${error}`, { cause: error });
      }
    }
    expect(player.checked).toBeGreaterThan(0);
  });
});
