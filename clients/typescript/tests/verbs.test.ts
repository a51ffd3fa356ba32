/** The verbs against a real server. */

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  ClientClosed,
  Conflict,
  connect,
  type Event,
  InvalidParameter,
  type News,
  NotFound,
  type RemoteLog,
  TooLarge,
  Unavailable,
} from "../src/index.js";
import { freePort, Served } from "./served.js";

let served: Served;
let log: RemoteLog;

beforeAll(async () => {
  served = await Served.create();
  log = await connect(served.url);
});
afterAll(async () => {
  log.close();
  await served.remove();
});

async function indexes(pages: AsyncIterable<{ events: readonly Event[] }>): Promise<number[]> {
  const found = [];
  for await (const page of pages) found.push(...page.events.map((event) => event.index));
  return found;
}

test("what is appended is got, listed by page, and counted by topic", async () => {
  const data = { any: [1, "ä", null, { 深: true }] };
  const actor = { type: "user", id: "u-7", name: "Ada" };
  const event = { topics: [["verbs", "one"]], action: "opened", actor, outcome: "success" as const, data };
  const receipt = await log.append(event);
  const { id, index } = receipt;
  expect(await log.get(id)).toEqual({ id, index, salt: expect.stringMatching(/^[\w-]{22}$/), ...event });
  const more = await log.append(Array.from({ length: 9 }, () => ({ topics: [["verbs", "two"]] })));
  expect(more.map((one) => one.index)).toEqual(Array.from({ length: 9 }, (_, n) => index + 1 + n));
  expect(await indexes(log.list({ topic: ["verbs"], limit: 4 }))).toEqual([index, ...more.map((one) => one.index)]);
  expect(await indexes(log.list({ filter: { actor: "u-7" } }))).toEqual([index]);
  const page = await log.page({ topic: ["verbs"], order: "desc", limit: 1 });
  expect([page.events[0]?.id, page.has_more]).toEqual([more.at(-1)?.id, true]);
  const { topics } = await log.topics({ topic: ["verbs"] });
  expect(topics.map((one) => [one.topic.join("/"), one.events])).toEqual([
    ["verbs/one", 1],
    ["verbs/two", 9],
  ]);
  expect((await log.info()).store.size).toBeGreaterThan(9);
});

test("a bound may be an id, a text, a number or a Date", async () => {
  const first = await log.append({ topics: [["bounds"]] });
  const ms = Number.parseInt(
    first.id.slice(0, 10).replace(/./g, (c) => "0123456789ABCDEFGHJKMNPQRSTVWXYZ".indexOf(c).toString(32)),
    32,
  );
  for (const seek of [first.id, ms, new Date(ms), new Date(ms).toISOString()]) {
    expect(await indexes(log.list({ topic: ["bounds"], seek }))).toEqual([first.index]);
    expect(await indexes(log.list({ topic: ["bounds"], seek_end: seek }))).toEqual([]);
  }
  await expect(log.page({ seek: new Date(Number.NaN) })).rejects.toThrow(InvalidParameter);
});

test("a key makes a retry the same append, and another one a conflict", async () => {
  const options = { idempotencyKey: "k-1" };
  const [first] = await log.append([{ topics: [["keys"]] }], options);
  expect(await log.append([{ topics: [["keys"]] }], options)).toEqual([first]);
  await expect(log.append([{ topics: [["keys"]], action: "other" }], options)).rejects.toThrow(Conflict);
  const mixed = [{ topics: [["keys"]], idempotency_key: "e-1" }, { topics: [["keys"]] }];
  const [own] = await log.append(mixed);
  expect((await log.append(mixed))[0]).toEqual(own);
});

test("what the server refuses is thrown by its class, with the parameter", async () => {
  await expect(log.get("01KDVDNA00DHW93DTR98H6BCP3")).rejects.toThrow(NotFound);
  await expect(log.append({ topics: [["a/b"]] })).rejects.toMatchObject({ parameter: "events[0].topics[0][0]" });
  const big = { topics: [["big"]], data: "x".repeat(5_000_000) };
  await expect(log.append(big)).rejects.toThrow(TooLarge);
  expect(() => log.subscribe({ limit: 0 })).toThrow(InvalidParameter);
  const refused = log.subscribe({ topic: ["a/b"] });
  await expect(refused.next()).rejects.toMatchObject({ parameter: "topic[0]" });
});

test("a subscription goes from history to live, and ends when its loop is left", async () => {
  const old = await log.append({ topics: [["sub"]] });
  const found: number[] = [];
  const subscription = log.subscribe({ topic: ["sub"] });
  let live: number | undefined;
  for await (const batch of subscription) {
    found.push(...batch.events.map((event) => event.index));
    if (batch.caughtUp && live === undefined) live = (await log.append({ topics: [["sub"]] })).index;
    if (found.length === 2) break;
  }
  expect(found).toEqual([old.index, live]);
  expect(await subscription.next()).toEqual({ done: true, value: undefined });
  const again = log.subscribe({ topic: ["sub"], cursor: subscription.cursor ?? null, limit: 1 });
  const next = await log.append({ topics: [["sub"]] });
  expect(await indexes(again)).toEqual([next.index]);
});

test("a subscription from now on has a place as soon as it is settled", async () => {
  await log.append({ topics: [["now"]] });
  const subscription = log.subscribe({ topic: ["now"], seek: "now", limit: 1 });
  await subscription.settled();
  const next = await log.append({ topics: [["now"]] });
  expect(await indexes(subscription)).toEqual([next.index]);
});

test("a reader that stalls is sent no more than its credit, and holds up nobody", async () => {
  const stalled = await connect(served.url, { credit: 10 });
  for (let n = 0; n < 3; n += 1) await log.append(Array.from({ length: 100 }, () => ({ topics: [["stall"]] })));
  const slow = stalled.subscribe({ topic: ["stall"] });
  const first = await slow.next();
  expect(first.value?.events.length).toBeLessThanOrEqual(10);
  expect((await indexes(stalled.subscribe({ topic: ["stall"], limit: 300 }))).length).toBe(300);
  let rest = first.value?.events.length ?? 0;
  for await (const batch of slow) {
    expect(batch.events.length).toBeLessThanOrEqual(10);
    rest += batch.events.length;
    if (batch.caughtUp) break;
  }
  expect(rest).toBe(300);
  stalled.close();
});

test("more calls than the server takes at once wait for their turn", async () => {
  const all = await Promise.all(Array.from({ length: 600 }, () => log.info()));
  expect(new Set(all.map((one) => one.store.id)).size).toBe(1);
});

test("aborting throws the signal's own reason, at once, wherever it is", async () => {
  const reason = new RangeError("enough");
  const control = new AbortController();
  const waiting = log.subscribe({ topic: ["nothing", "here"], seek: "now" }, { signal: control.signal });
  await waiting.settled();
  // It has caught up, which is one batch.
  await waiting.next();
  const next = waiting.next();
  const call = log.page({}, { signal: control.signal });
  control.abort(reason);
  await expect(next).rejects.toBe(reason);
  await expect(call).rejects.toBe(reason);
  await expect(log.info({ signal: control.signal })).rejects.toBe(reason);
  expect(() => log.subscribe({}, { signal: control.signal })).toThrow(reason);
  await expect(connect(served.url, { signal: control.signal })).rejects.toBe(reason);
  await log.info();
});

test("closing ends what waits", async () => {
  const news: News[] = [];
  const other = await connect(served.url, { onNews: (one) => news.push(one) });
  const subscription = other.subscribe({ topic: ["nothing"] });
  await subscription.next();
  const next = subscription.next();
  other.close();
  expect(await next).toEqual({ done: true, value: undefined });
  await expect(other.info()).rejects.toThrow(ClientClosed);
  expect(news.map((one) => one.type)).toEqual(["connected"]);
});

test("what is no server is said at once", async () => {
  const port = await freePort();
  await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toThrow(Unavailable);
  await expect(connect(`${served.url}/elsewhere`)).rejects.toMatchObject({
    code: expect.stringMatching(/forbidden|invalid_request/),
  });
});
