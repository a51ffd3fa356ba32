/** The built package in a real browser, against a real server of another origin. */

import { mkdtemp, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect } from "../src/index.js";
import { errorsOf, openChromium, openPage, servePackage } from "./browser.js";
import { newKey } from "./keys.js";
import { Served } from "./served.js";

let folder: string;
let key: string;
let served: Served;
let pages: { server: Server; origin: string };
let browser: Browser;
let page: Page;
let errors: string[];

beforeAll(async () => {
  pages = await servePackage();
  folder = await mkdtemp(join(tmpdir(), "audit-keys-"));
  key = await newKey(join(folder, "key"));
  served = await Served.create("--allow-origin", pages.origin, "--key", join(folder, "key"));
  browser = await openChromium();
  page = await openPage(browser, pages.origin);
  errors = errorsOf(page);
});
afterAll(async () => {
  await browser.close();
  pages.server.close();
  await served.remove();
  await rm(folder, { recursive: true });
});

/** What runs in a page has the package as it is shipped. */
declare const audit: typeof import("../src/index.js");

test("the verbs work in a page", async () => {
  const found = await page.evaluate(async (url) => {
    const { connect, NotFound } = audit;
    const log = await connect(url);
    const receipts = await log.append([{ topics: [["page"]], action: "opened" }, { topics: [["page", "b"]] }]);
    const listed = [];
    for await (const one of log.list({ topic: ["page"], limit: 1 })) listed.push(...one.events);
    const missing = await log.get("01KDVDNA00DHW93DTR98H6BCP3").catch((error) => error instanceof NotFound);
    const live = log.subscribe({ topic: ["page"], limit: 3 });
    const seen = [];
    for await (const batch of live) {
      seen.push(...batch.events.map((event) => event.index));
      if (batch.caughtUp && seen.length === 2) await log.append({ topics: [["page"]] });
    }
    log.close();
    return { receipts: receipts.length, listed: listed.length, missing, seen };
  }, served.url);
  expect(found).toEqual({ receipts: 2, listed: 2, missing: true, seen: [0, 1, 2] });
});

test("a page's tail goes over restarts of the server, each event once", { timeout: 120_000 }, async () => {
  await page.evaluate(async (url) => {
    const { connect } = audit;
    const log = await connect(url, { backoff: { firstMs: 10, mostMs: 100 } });
    const seen: number[] = [];
    Object.assign(globalThis, { seen, log });
    void (async () => {
      for await (const batch of log.subscribe()) seen.push(...batch.events.map((event) => event.index));
    })();
  }, served.url);
  const log = await connect(served.url, { backoff: { firstMs: 10, mostMs: 100 } });
  let writing = true;
  let size = 0;
  const writer = (async () => {
    while (writing) size = ((await log.append(Array(5).fill({ topics: [["load"]] }))).at(-1)?.index ?? 0) + 1;
  })();
  for (let kill = 0; kill < 4; kill += 1) {
    const before = size;
    while (size < before + 50) await sleep(1);
    await served.stop();
    await served.start();
  }
  writing = false;
  await writer;
  log.close();
  await page.waitForFunction((wanted) => (globalThis as unknown as { seen: number[] }).seen.length >= wanted, size);
  const seen = await page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen);
  expect(seen).toEqual(Array.from({ length: size }, (_, n) => n));
});

test("aborting in a page gives the signal's reason", async () => {
  const names = await page.evaluate(async (url) => {
    const { connect } = audit;
    const control = new AbortController();
    const log = await connect(url, { signal: control.signal });
    const waiting = log.subscribe({ topic: ["nothing"], seek: "now" });
    await waiting.settled();
    await waiting.next();
    const next = waiting.next();
    control.abort();
    const name = (error: Error) => error.name;
    return [await next.then(() => "ended", name), await log.info().then(() => "answered", name)];
  }, served.url);
  expect(names).toEqual(["AbortError", "AbortError"]);
});

test("a page believes a server that keeps to what was signed, and one of another store no more", async () => {
  const seen = await page.evaluate(
    async ([url, key]) => {
      const log = await audit.connect(url, { verify: { key }, backoff: { firstMs: 10, mostMs: 100 } });
      Object.assign(globalThis, { signed: log });
      await log.append(Array.from({ length: 600 }, (_, n) => ({ topics: [["ä"]], data: { word: "good", n } })));
      let events = 0;
      for await (const batch of log.subscribe({ topic: ["ä"] })) {
        events += batch.events.length;
        if (batch.caughtUp) break;
      }
      return [events, (await log.page({ order: "desc" })).events.length];
    },
    [served.url, key] as const,
  );
  expect(seen).toEqual([600, 100]);
  await served.stop();
  await served.tamper('"good"', '"evil"');
  await served.start();
  const found = await page.evaluate(async () => {
    const { signed: log } = globalThis as unknown as { signed: Awaited<ReturnType<typeof audit.connect>> };
    const name = (error: Error) => `${error.name}: ${error.message}`;
    const told = [await log.page({ topic: ["ä"] }).then(() => "", name), await log.trustNewest().then(() => "", name)];
    log.close();
    return told;
  });
  expect(found).toEqual([
    expect.stringMatching(
      /^HashMismatch: event \d+ \(\w{26}\): is not the one that the checkpoint of size \d+ covers$/,
    ),
    expect.stringMatching(
      /^HistoryForked: checkpoint of size \d+: has another root than the trusted one of this size$/,
    ),
  ]);
});

test("a page of an origin that is not allowed does not get in", async () => {
  const stranger = await servePackage();
  const other = await openPage(browser, stranger.origin);
  const name = await other.evaluate(async (url) => {
    const { connect } = audit;
    return connect(url).then(
      () => "connected",
      (error: Error) => error.name,
    );
  }, served.url);
  expect(name).toBe("Unavailable");
  await other.close();
  stranger.server.close();
});

test("nothing of it failed on the page itself", () => {
  expect(errors).toEqual([]);
});
