/** The events view in a real Chromium, on a real server with 10,000 events. */

import { mkdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Event, type RemoteLog } from "@audit/client";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openChromium } from "../../typescript/tests/browser.js";
import { Served } from "../../typescript/tests/served.js";

const EVENTS = 10_000;
const SHOTS = new URL("../shots/", import.meta.url);
const AXE = new URL("../../node_modules/axe-core/axe.min.js", import.meta.url);

let served: Served;
let log: RemoteLog;
let browser: Browser;
let page: Page;
let complaints: string[];

beforeAll(async () => {
  await mkdir(SHOTS, { recursive: true });
  served = await Served.create();
  log = await connect(served.url, { backoff: { firstMs: 10, mostMs: 100 } });
  for (let n = 0; n < EVENTS; n += 1_000) {
    await log.append(
      Array.from({ length: 1_000 }, (_, m) => ({
        topics: [["node", (n + m) % 2 ? "connection" : "session"]],
        action: `${["opened", "closed", "refused"][(n + m) % 3]}`,
        actor: { type: "user", id: `u-${(n + m) % 7}`, name: `User ${(n + m) % 7}` },
        targets: [{ type: "vault", id: `v-${(n + m) % 5}` }],
        outcome: (["success", "failure", "denied", "unknown"] as const)[(n + m) % 4] ?? "unknown",
        data: { n: n + m, text: "<b>not markup</b>" },
      })),
    );
  }
  browser = await openChromium();
});
afterAll(async () => {
  await browser.close();
  log.close();
  await served.remove();
});
beforeEach(() => open());
afterEach(async () => {
  expect(complaints).toEqual([]);
  await page.context().close();
});

async function open(options: BrowserContextOptions = {}): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1400, height: 800 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  page = await context.newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  // A policy that is broken is said here, and so is a script that is not found.
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("WebSocket")) complaints.push(message.text());
  });
}

async function go(query = ""): Promise<void> {
  await page.goto(`http://127.0.0.1:${served.port}/${query}`);
  await page.locator(".row").first().waitFor();
}

/** Return what is in memory, newest first; null stands for a bar. */
function rows(): Promise<(number | null)[]> {
  return page.evaluate(() => {
    const inside = (root: Element | ShadowRoot, name: string) => root.querySelector(name)?.shadowRoot as ShadowRoot;
    const view = inside(inside(document.body, "audit-app"), "audit-events-view");
    const list = view.querySelector("audit-event-list") as unknown as {
      reader: { window: { rows: { event?: Event }[] } };
    };
    return list.reader.window.rows.map((row) => row.event?.index ?? null);
  });
}

const box = () => page.locator(".box");
const state = () => page.locator(".state");
/** Return the row of an event. */
const row = (index: number) => page.locator(`.row[data-index="${index}"]`);

async function size(): Promise<number> {
  return (await log.info()).store.size;
}

async function checkAccess(): Promise<void> {
  // Put in by the test's own means: the page's policy lets no other script in.
  const found = await page.evaluate(`(() => { const module = undefined; ${await readFile(AXE, "utf8")};
    return window.axe.run().then((result) => result.violations.map((one) => [one.id, one.impact, one.nodes.map((node) => node.html)])); })()`);
  expect(found).toEqual([]);
}

test("history scrolls from the newest event to the oldest and back, with none left out and few in the page", {
  timeout: 120_000,
}, async () => {
  await go();
  const last = (await size()) - 1;
  await row(last).waitFor();
  /** Scroll by so many rows beyond a screen's, frame by frame, and return what was in the page. */
  const scroll = (more: number, until: number) =>
    box().evaluate(
      async (one, [more, until]) => {
        const seen = new Set<number>();
        let most = 0;
        for (;;) {
          const found = [...one.querySelectorAll<HTMLElement>(".row[data-index]")];
          most = Math.max(most, found.length);
          for (const row of found) seen.add(Number(row.dataset["index"]));
          if (seen.has(until)) return { seen: [...seen], most };
          one.scrollTop += Math.sign(more) * one.clientHeight + 34 * more;
          await new Promise(requestAnimationFrame);
        }
      },
      [more, until] as const,
    );
  const down = await scroll(4, 0);
  // All of them were in the page once, and few at any time; what is in memory is a run of them.
  expect(new Set(down.seen).size).toBe(last + 1);
  expect(down.most).toBeLessThan(60);
  const memory = await rows();
  expect(memory).toEqual(memory.map((_, n) => (memory[0] ?? 0) - n));
  expect(memory.length).toBeLessThanOrEqual(3_000);
  expect(await state().textContent()).toBe("Newer events above");
  const up = await scroll(-4, last);
  expect(new Set(up.seen).size).toBe(last + 1);
  const back = await rows();
  expect(back).toEqual(back.map((_, n) => last - n));
  await expect.poll(() => state().textContent()).toBe("Live, caught up");
});

test("topics and facets choose events, and the address says which", async () => {
  await go();
  await page.locator("[role=treeitem]", { hasText: "node" }).locator(".fold").click();
  await page.locator("[role=treeitem]", { hasText: "connection" }).click();
  await expect.poll(async () => (await rows()).every((index) => (index ?? 0) % 2 === 1)).toBe(true);
  await page.locator("audit-facets button.value", { hasText: "u-3" }).click();
  await expect.poll(() => page.url()).toContain("?topic=node/connection&actor=u-3");
  await page.locator("select[name=outcome]").selectOption("unknown");
  await expect.poll(() => page.url()).toContain("outcome=unknown");
  await expect.poll(async () => (await rows()).every((n) => (n ?? 0) % 7 === 3 && (n ?? 0) % 4 === 3)).toBe(true);
  await page.screenshot({ path: new URL("facets.png", SHOTS).pathname });
  await page.goBack();
  await expect.poll(() => page.locator("select[name=outcome]").inputValue()).toBe("");
  await page.getByRole("button", { name: "Clear" }).click();
  await expect.poll(async () => (await rows())[0]).toBe((await size()) - 1);
  await page.locator("input[name=request_id]").fill("nobody");
  await page.keyboard.press("Enter");
  await page.getByText("No event matches.").waitFor();
});

test("a link to an event opens in its middle, with newer events above and older below", async () => {
  const [event] = (await log.page({ filter: { actor: "u-2" }, topic: ["node"], limit: 500 })).events.slice(400);
  await go(`?actor=u-2&event=${event?.id}`);
  await row(event?.index ?? -1).waitFor();
  await page.locator("audit-event-detail pre", { hasText: `"index": ${event?.index},` }).waitFor();
  const [memory, at] = [await rows(), (await rows()).indexOf(event?.index ?? -1)];
  expect(at).toBeGreaterThan(20);
  expect(memory.length - at).toBeGreaterThan(20);
  expect(memory).toEqual(memory.map((_, n) => (memory[0] ?? 0) - 7 * n));
  await page.locator("audit-event-detail").getByRole("button", { name: "Copy link" }).click();
  await page.getByText("Link copied").waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());
});

test("a range of time is fixed, and holds what was recorded in it", async () => {
  await go("?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z".replace("2020-01-02", "2120-01-02"));
  expect(await state().textContent()).toBe("Fixed range");
  expect((await rows())[0]).toBe((await size()) - 1);
  await page.locator("input[name=to]").fill("2020-01-02T00:00:00");
  await page.keyboard.press("Tab");
  await page.getByText("No event matches.").waitFor();
});

test("the live tail goes over a restart of the server without a gap or a duplicate, and says so", {
  timeout: 120_000,
}, async () => {
  await go();
  await expect.poll(() => state().textContent()).toBe("Live, caught up");
  let writing = true;
  const writer = (async () => {
    while (writing) {
      await log.append(Array.from({ length: 5 }, () => ({ topics: [["live"]], action: "tick" })));
      // The page may take ten seconds to come back: what is written meanwhile must leave the first bar in its memory.
      await sleep(50);
    }
  })();
  try {
    for (let n = 0; n < 2; n += 1) {
      const before = await size();
      await expect.poll(size).toBeGreaterThan(before + 20);
      await served.stop();
      await expect.poll(() => state().textContent()).toBe("Reconnecting…");
      await served.start();
      await expect.poll(() => state().textContent()).toBe("Live, caught up");
    }
  } finally {
    writing = false;
    await writer;
  }
  const last = (await size()) - 1;
  await expect.poll(async () => (await rows()).find((index) => index !== null)).toBe(last);
  const found = await rows();
  const indexes = found.filter((index) => index !== null);
  expect(indexes).toEqual(indexes.map((_, n) => last - n));
  expect(indexes.length).toBeGreaterThan(40);
  expect(found.filter((index) => index === null).length).toBe(2);
  const bar = found.indexOf(null);
  await box().evaluate(
    (one, top) => {
      one.scrollTop = top;
    },
    (bar - 8) * 34,
  );
  await page.locator(".row.bar", { hasText: "Nothing is missing" }).first().waitFor();
  await page.screenshot({ path: new URL("resumed.png", SHOTS).pathname });
});

test("what comes fast is shown together, ten times a second at most", async () => {
  await go();
  await expect.poll(() => state().textContent()).toBe("Live, caught up");
  const seconds = 2;
  const shown = box().evaluate(
    (one, ms) =>
      new Promise<number>((resolve) => {
        let times = 0;
        const observer = new MutationObserver(() => {
          times += 1;
        });
        observer.observe(one, { subtree: true, childList: true, characterData: true, attributes: true });
        setTimeout(() => resolve(times), ms);
      }),
    seconds * 1_000,
  );
  const ends = Date.now() + seconds * 1_000;
  let last = -1;
  while (Date.now() < ends) {
    last = (await log.append(Array.from({ length: 10 }, () => ({ topics: [["fast"]] })))).at(-1)?.index ?? -1;
    await sleep(5);
  }
  const times = await shown;
  expect(times).toBeGreaterThan(0);
  expect(times).toBeLessThan(15 * seconds);
  await expect.poll(async () => (await rows())[0]).toBe(last);
});

test("what is paused stays as it is, and goes on where it was", async () => {
  await go();
  await expect.poll(() => state().textContent()).toBe("Live, caught up");
  await page.getByRole("button", { name: "Pause" }).click();
  const before = await rows();
  const receipts = await log.append(Array.from({ length: 30 }, () => ({ topics: [["paused"]] })));
  // Whatever was to come has come by the time that another tail has it.
  const other = log.subscribe({ topic: ["paused"], limit: 30 });
  for await (const _ of other);
  expect(await rows()).toEqual(before);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect.poll(async () => (await rows())[0]).toBe(receipts.at(-1)?.index);
  const after = await rows();
  expect(after).toEqual(after.map((_, n) => (after[0] ?? 0) - n));
});

test("who reads further down is not moved by what comes", async () => {
  await go();
  await box().evaluate((one) => {
    one.scrollTop = 1_000;
  });
  await sleep(50);
  const top = () =>
    page.locator(".row[data-index]").evaluateAll((all) => {
      const from = all[0]?.parentElement?.parentElement?.getBoundingClientRect().top ?? 0;
      const inSight = all.filter((one) => one.getBoundingClientRect().top >= from);
      return inSight.map((one) => [(one as HTMLElement).dataset["index"], one.getBoundingClientRect().top])[0];
    });
  const before = await top();
  const newest = (await rows())[0] ?? 0;
  await log.append(Array.from({ length: 25 }, () => ({ topics: [["above"]] })));
  await expect.poll(async () => (await rows())[0]).toBe(newest + 25);
  await expect.poll(top).toEqual(before);
});

test("an event is shown as it is stored, copied, and compared with another", async () => {
  const data = '{"exact":12345678901234567890,"one":1.0,"text":"<b>not markup</b>"}';
  const body = (more: string) => `{"topics":[["exact"]],"action":"made","data":${data}${more}}`;
  for (const more of ["", ',"outcome":"denied"']) {
    const headers = { "content-type": "application/json" };
    await fetch(`http://127.0.0.1:${served.port}/v1/events`, { method: "POST", headers, body: body(more) });
  }
  await go("?topic=exact");
  const [second, first] = (await rows()) as [number, number];
  await row(first).click();
  const pre = page.locator("audit-event-detail pre");
  await pre.locator(".number", { hasText: "1.0" }).waitFor();
  await page.getByRole("button", { name: "Copy JSON" }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toContain('"exact": 1234567890123456789');
  expect(copied).toContain('"one": 1.0,');
  expect(await page.locator("audit-event-detail b").count()).toBe(0);
  await page.getByRole("button", { name: "Compare with…" }).click();
  await row(second).click();
  await pre.locator(".added", { hasText: '+   "outcome": "denied"' }).waitFor();
  expect(await pre.locator(".removed", { hasText: "text" }).count()).toBe(0);
  await page.screenshot({ path: new URL("difference.png", SHOTS).pathname });
  await page.keyboard.press("Escape");
  await expect.poll(() => page.locator("audit-event-detail").count()).toBe(0);
});

test("an event is verified by its stored bytes, and one that was tampered with is found out", async () => {
  await go("?actor=u-3");
  await page.locator(".row[data-index]").nth(3).click();
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByText("In the log, unchanged.").waitFor();
  expect(await page.locator(".proved li").count()).toBe(4);
  await page.getByText("Nobody signed it").waitFor();
  await checkAccess();
  await page.screenshot({ path: new URL("verified.png", SHOTS).pathname });
  // Somebody between the disk and the page changes one letter.
  await page.route("**/v1/events/*", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: (await answer.text()).replace("not markup", "now markup") });
  });
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByText("This is not what the log committed.").waitFor();
  expect(await page.locator(".proved").count()).toBe(0);
  await page.screenshot({ path: new URL("tampered.png", SHOTS).pathname });
});

test.each(["JSON", "CSV", "NDJSON"])("the query is saved as %s, all pages of it", async (format) => {
  await go("?actor=u-1");
  const wanted = [];
  for await (const one of log.list({ filter: { actor: "u-1" }, limit: 1_000 })) wanted.push(...one.events);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: format, exact: true }).click();
  const file = await readFile((await (await download).path()) ?? "", "utf8");
  await page.getByText(`${wanted.length.toLocaleString("en-US")} events saved`).waitFor();
  const lines = file.split("\n").filter((line) => line !== "");
  if (format === "JSON") expect(JSON.parse(file)).toEqual(wanted);
  else if (format === "NDJSON") expect(lines.map((line) => JSON.parse(line))).toEqual(wanted);
  else expect(lines.map((line) => line.split(",")[0])).toEqual(["index", ...wanted.map((event) => `${event.index}`)]);
});

test("everything is done by keyboard", async () => {
  await go();
  await page.locator("[role=treeitem][tabindex='0']").focus();
  await page.keyboard.press("ArrowDown");
  const nodes = async () => page.locator("[role=treeitem]").count();
  const closed = await nodes();
  for (let n = 0; n < 10 && !(await page.locator("[role=treeitem]:focus", { hasText: "node" }).count()); n += 1) {
    await page.keyboard.press("ArrowDown");
  }
  await page.keyboard.press("ArrowRight");
  await expect.poll(nodes).toBe(closed + 2);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect.poll(() => page.url()).toContain("?topic=node/connection");
  await box().focus();
  for (const key of ["ArrowDown", "ArrowDown", "PageDown", "ArrowUp"]) await page.keyboard.press(key);
  await page.keyboard.press("Enter");
  await page.locator("audit-event-detail pre .key").first().waitFor();
  expect(
    await page.evaluate(() => {
      let focused = document.activeElement;
      while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
      return focused?.tagName;
    }),
  ).toBe("H2");
  await page.keyboard.press("Escape");
  await expect.poll(() => page.url()).not.toContain("event=");
});

const WAYS: [string, BrowserContextOptions][] = [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["phone", { viewport: { width: 390, height: 780 }, hasTouch: true }],
];

test.each(WAYS)("axe finds nothing wrong: %s", async (name, options) => {
  await page.context().close();
  await open(options);
  await go("?topic=node");
  await expect.poll(() => state().textContent()).toBe("Live, caught up");
  await checkAccess();
  await page.screenshot({ path: new URL(`events-${name}.png`, SHOTS).pathname });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(wide).toBe(0);
  await page.locator(".row[data-index]").nth(2).click();
  await page.locator("audit-event-detail pre .key").first().waitFor();
  await checkAccess();
  await page.screenshot({ path: new URL(`event-${name}.png`, SHOTS).pathname });
  if (name !== "phone") return;
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Filter" }).click();
  await checkAccess();
  await page.screenshot({ path: new URL("filter-phone.png", SHOTS).pathname });
  await page.getByRole("button", { name: "Show events" }).click();
  await page.locator(".row[data-index]").first().waitFor();
});
