/** Metrics: what is folded from a subscription is what is answered when it is asked for, over restarts too. */

import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type MetricState, NotFound, type RemoteLog, TooLarge, type WatchQuery } from "../src/index.js";
import { fold } from "../src/metricfeed.js";
import type { Window } from "../src/wire.js";
import { Served } from "./served.js";

let served: Served;
let log: RemoteLog;

beforeAll(async () => {
  served = await Served.create();
  log = await connect(served.url, { backoff: { firstMs: 10, mostMs: 100 } });
});
afterAll(async () => {
  log.close();
  await served.remove();
});

function events(count: number, n: number) {
  return Array.from({ length: count }, (_, m) => ({
    topics: [["m", m % 2 ? "odd" : "even"]],
    ...(m % 5 === 0 ? {} : { actor: { type: "user", id: `u-${(n + m) % 3}` } }),
    data: { ms: m },
  }));
}

test("a metric is got by measure, window and group", async () => {
  await log.append(events(10, 0));
  const topic = ["m"];
  expect((await log.metrics.get({ measure: "count", topic })).total).toBe(10);
  expect((await log.metrics.get({ measure: "sum", field: "data.ms", topic })).total).toBe(45);
  const grouped = await log.metrics.get({ measure: "count", topic, group_by: "actor.id" });
  expect(grouped.windows.map((window) => [window.group, window.count])).toEqual([
    [null, 2],
    ["u-0", 3],
    ["u-1", 3],
    ["u-2", 2],
  ]);
  expect((await log.metrics.get({ measure: "avg", field: "data.ms", topic: ["nothing"] })).total).toBe(null);
  for (const { name } of await log.metrics.list())
    expect((await log.metrics.get({ metric: name })).as_of).toBeDefined();
  await expect(log.metrics.get({ metric: "nobody's" })).rejects.toThrow(NotFound);
  await expect(log.metrics.get({ measure: "count", seek: 0, window: "1ms" })).rejects.toThrow(TooLarge);
});

const QUERIES: [string, WatchQuery][] = [
  ["all in one window", { measure: "count", topic: ["m"] }],
  ["rolling, by second", { measure: "count", topic: ["m"], last: "10m", window: "1s" }],
  [
    "grouped, with some of no group",
    { measure: "sum", field: "data.ms", topic: ["m"], group_by: "actor.id", window: "1s" },
  ],
];

test("what is kept up with is what would be answered, after restarts of the server too", {
  timeout: 120_000,
}, async () => {
  const control = new AbortController();
  const latest = new Map<string, MetricState>();
  const reading = QUERIES.map(async ([name, query]) => {
    for await (const state of log.metrics.subscribe({ ...query, every: 0 }, { signal: control.signal }))
      latest.set(name, state);
  });
  for (let n = 0; n < 3; n += 1) {
    await log.append(events(7, n));
    if (n > 0) {
      await served.stop();
      await served.start();
    }
    await log.append(events(3, n));
  }
  for (const [name, query] of QUERIES) {
    const { total } = await log.metrics.get({
      measure: query.measure ?? null,
      field: query.field ?? null,
      topic: ["m"],
    });
    while (latest.get(name)?.total !== total) await sleep(5);
  }
  // Windows in which nothing happened come and go with time.
  const kept = (all: readonly Window[]) =>
    all.filter((window) => window.count > 0).map((window) => [window.start, window.group, window.value]);
  for (const [name, query] of QUERIES) {
    const asked = kept((await log.metrics.get(query)).windows);
    expect(asked.length).toBeGreaterThan(0);
    expect(kept(latest.get(name)?.windows ?? []), name).toEqual(asked);
  }
  control.abort();
  await Promise.allSettled(reading);
});

const at = (second: number) => new Date(second * 1_000).toISOString();
const window = fc.record({ start: fc.nat(20), group: fc.option(fc.constantFrom("a", "b")), value: fc.nat(9) });

test("folding keeps one window of each start and group, the one told last, and none from before", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ since: fc.option(fc.nat(20)), told: fc.array(window, { maxLength: 6 }) })),
      (updates) => {
        let windows: Window[] = [];
        const model = new Map<string, number>();
        for (const { since, told } of updates) {
          const made = told.map((one) => ({
            ...one,
            start: at(one.start),
            end: at(one.start + 1),
            count: 1,
            final: false,
          }));
          windows = fold(windows, since === null ? undefined : at(since), made);
          for (const key of model.keys()) if (since !== null && Number(key.split(" ")[0]) < since) model.delete(key);
          for (const one of told) model.set(`${one.start} ${one.group ?? ""}`, one.value);
          const order = ([a]: [string, number], [b]: [string, number]) =>
            Number(a.split(" ")[0]) - Number(b.split(" ")[0]) || (a < b ? -1 : 1);
          expect(windows.map((one) => one.value)).toEqual([...model].sort(order).map(([, value]) => value));
        }
      },
    ),
  );
});
