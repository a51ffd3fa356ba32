/** What was refused for being asked too often is asked again when the server said, and not before. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { waitMs } from "../src/backoff.js";
import { connect, Overloaded, Unavailable } from "../src/index.js";

const AT_ONCE = { firstMs: 0, mostMs: 0 };
const INFO = { name: "audit", version: "0", protocol: "audit.v1.json", store: { id: "S", size: 0 }, limits: {} };
const CURSOR = "there";

/** Answers the first request of each method with `overloaded`, then as it should; knows when each came. */
class Busy {
  readonly came: { method: string; at: number }[] = [];
  readonly #rpc: WebSocketServer;
  readonly listening: Promise<void>;

  constructor(retryAfterMs: number) {
    this.#rpc = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "audit.v1.json" });
    this.listening = new Promise((resolve) => this.#rpc.once("listening", resolve));
    this.#rpc.on("connection", (socket) => {
      const say = (told: object) => socket.send(JSON.stringify({ jsonrpc: "2.0", ...told }));
      socket.on("message", (text) => {
        const { id, method } = JSON.parse(String(text));
        if (method === "server.info") return say({ id, result: INFO });
        this.came.push({ method, at: performance.now() });
        if (this.times(method).length === 1) {
          const data = { code: "overloaded", retryable: true, retry_after_ms: retryAfterMs };
          return say({ id, error: { code: -32006, message: "too often", data } });
        }
        if (method === "subscription.cancel") return say({ id, result: {} });
        const result = method === "events.subscribe" ? { subscription: "1" } : { receipts: [{ id: "E", index: 0 }] };
        say({ id, result });
        if ("subscription" in result) say({ method: "events.caught_up", params: { ...result, cursor: CURSOR } });
      });
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#rpc.address() as { port: number }).port}`;
  }

  times(method: string): number[] {
    return this.came.filter((one) => one.method === method).map((one) => one.at);
  }

  waited(method: string): number {
    const [first, second] = this.times(method);
    return (second ?? Number.NaN) - (first ?? 0);
  }

  close(): void {
    for (const socket of this.#rpc.clients) socket.terminate();
    this.#rpc.close();
  }
}

const PATIENCE_MS = 80;
let busy: Busy;
beforeEach(async () => {
  busy = new Busy(PATIENCE_MS);
  await busy.listening;
});
afterEach(() => busy.close());

test("a call waits as long as it was told", async () => {
  const log = await connect(busy.url, { backoff: AT_ONCE });
  expect(await log.append({ topics: [["a"]] })).toEqual({ id: "E", index: 0 });
  expect(busy.waited("events.append")).toBeGreaterThan(PATIENCE_MS - 2);
  log.close();
});

test("so does a subscription", async () => {
  const log = await connect(busy.url, { backoff: AT_ONCE });
  expect((await log.subscribe().next()).value).toMatchObject({ caughtUp: true, cursor: CURSOR });
  expect(busy.waited("events.subscribe")).toBeGreaterThan(PATIENCE_MS - 2);
  log.close();
});

test("so does the end of a subscription, which would hold its place otherwise", async () => {
  const log = await connect(busy.url, { backoff: AT_ONCE });
  const tail = log.subscribe();
  await tail.next();
  await tail.return();
  await vi.waitUntil(() => busy.times("subscription.cancel").length === 2, { timeout: 5_000 });
  expect(busy.waited("subscription.cancel")).toBeGreaterThan(PATIENCE_MS - 2);
  log.close();
});

test("a call that would be over before then fails at once, and says when it is worth another try", async () => {
  const log = await connect(busy.url, { backoff: AT_ONCE, callTimeoutMs: PATIENCE_MS / 2 });
  const error = await log.append({ topics: [["a"]] }).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(Overloaded);
  expect(error.retryAfterMs).toBe(PATIENCE_MS);
  expect(busy.came.length).toBe(1);
  log.close();
});

test("what the server asks for comes before the delay, and no timer overflows", () => {
  const backoff = { firstMs: 100, mostMs: 100 };
  const told = waitMs(backoff, 0, new Overloaded("too often", { retryAfterMs: 500 }));
  expect(told).toBeGreaterThanOrEqual(500);
  expect(told).toBeLessThan(600);
  expect(waitMs(backoff, 0, new Unavailable("fenced"))).toBeLessThan(100);
  expect(waitMs(backoff, 0, new Overloaded("never", { retryAfterMs: 2 ** 31 }))).toBe(2 ** 31 - 1);
});
