/** Servers killed under load: each event exactly once, checked by index; each append exactly once, checked by number. */

import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { connect, type Event, type News, Unavailable } from "../src/index.js";
import { Served } from "./served.js";

const KILLS = 20;
const quick = { firstMs: 10, mostMs: 100 };

test(`${KILLS} kills lose no event, and bring none twice`, { timeout: 240_000 }, async () => {
  const served = await Served.create();
  const news: News["type"][] = [];
  const log = await connect(served.url, {
    backoff: quick,
    callTimeoutMs: 60_000,
    credit: 64,
    onNews: (one) => news.push(one.type),
  });
  let writing = true;
  let appended = 0;
  const writer = async (name: string) => {
    for (let n = 0; writing; n += 1) {
      const receipts = await log.append(Array.from({ length: 5 }, () => ({ topics: [["load", name]], data: { n } })));
      expect(receipts.length).toBe(5);
      appended += 5;
    }
  };
  const everything = log.subscribe();
  const one = log.subscribe({ topic: ["load", "a"] });
  const seen: number[] = [];
  const ofOne: number[] = [];
  const read = async (subscription: typeof one, into: (event: Event) => void) => {
    for await (const batch of subscription) {
      for (const event of batch.events) into(event);
      // Slower than what comes: at each kill something has come that is not read.
      await sleep(3);
    }
  };
  const reading = [
    read(everything, (event) => seen.push(event.index)),
    read(one, (event) => ofOne.push((event.data as { n: number }).n)),
  ];
  const writers = ["a", "b", "c"].map(writer);
  for (let kill = 0; kill < KILLS; kill += 1) {
    const before = appended;
    // Killed in the midst of work: as soon as some of it is acknowledged.
    while (appended < before + 50) await sleep(1);
    await served.stop(kill % 4 === 3 ? "SIGTERM" : "SIGKILL");
    await served.start();
  }
  writing = false;
  await Promise.all(writers);
  const { size } = (await log.info()).store;
  while (seen.length < size) await sleep(5);
  log.close();
  await Promise.all(reading);
  expect(seen).toEqual(Array.from({ length: size }, (_, n) => n));
  expect(size).toBe(appended);
  expect(ofOne).toEqual(Array.from({ length: ofOne.length }, (_, n) => Math.floor(n / 5)));
  expect(news.filter((type) => type === "connected").length).toBeGreaterThan(KILLS);
  expect(news.filter((type) => type === "resumed").length).toBeGreaterThanOrEqual(KILLS);
  await served.remove();
});

test("without a connection, a call fails in time, and what is read fails when it is told to", async () => {
  const served = await Served.create();
  const log = await connect(served.url, { backoff: quick, callTimeoutMs: 300, reconnectTimeoutMs: 1_500 });
  const subscription = log.subscribe();
  await subscription.next();
  await served.stop();
  await expect(log.info()).rejects.toThrow(Unavailable);
  await expect(subscription.next()).rejects.toThrow(Unavailable);
  await expect(log.info()).rejects.toThrow(Unavailable);
  await served.remove();
});
