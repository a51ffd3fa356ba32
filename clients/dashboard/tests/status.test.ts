/** The status view in a real Chromium, on a real server whose nodes have 90 days behind them. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NewEvent, type RemoteLog } from "@audit/client";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openChromium } from "../../typescript/tests/browser.js";
import { Served } from "../../typescript/tests/served.js";

const SHOTS = new URL("../shots/", import.meta.url);
const AXE = new URL("../../node_modules/axe-core/axe.min.js", import.meta.url);
const DAY = 86_400_000;
const HOUR = 3_600_000;
/** Start of the day on which this runs; bars are found by their dates, so that another day may begin meanwhile. */
const TODAY = Math.floor(Date.now() / DAY) * DAY;

let site: Site;
let folder: string;
let served: Served;
let log: RemoteLog;
let browser: Browser;
let page: Page;
let complaints: string[];

function said(node: string, what: string, ms = Date.now(), more: Partial<NewEvent> = {}): NewEvent {
  const about = what.startsWith("connection") ? ["connection"] : [];
  const occurred_at = new Date(ms).toISOString();
  return { topics: [["nodes", node, ...about]], action: `node.${what}`, occurred_at, ...more };
}

beforeAll(async () => {
  await mkdir(SHOTS, { recursive: true });
  site = await Site.open();
  folder = await mkdtemp(join(tmpdir(), "audit-status-"));
  // One of its metrics is registered, under a name of its own.
  const config = join(folder, "audit.toml");
  const connections = { open: "node.connection.opened", close: "node.connection.closed", time: "occurred" };
  const words = Object.entries({ measure: "active", topic: "nodes", ...connections });
  await writeFile(config, `[metrics.peers]\n${words.map(([name, value]) => `${name} = "${value}"\n`).join("")}`);
  served = await Served.create("--allow-origin", site.origin, "--config", config);
  log = await connect(served.url, { backoff: { firstMs: 10, mostMs: 100 } });
  const at = (day: number, hour: number) => TODAY - day * DAY + hour * HOUR;
  await append(said("alpha", "up", at(85, 0)), said("beta", "up", at(20, 12)), said("gamma", "connection.opened"));
  // A quarter of a day down.
  await append(said("alpha", "down", at(3, 6), { data: { reason: "disk full" } }));
  await append(said("alpha", "up", at(3, 12)));
  // An hour of maintenance, then a night of it, down in that.
  await append(said("beta", "maintenance.started", at(19, 3)), said("beta", "maintenance.ended", at(19, 4)));
  await append(said("beta", "maintenance.started", at(5, 18)), said("beta", "down", at(5, 18)));
  await append(said("beta", "up", at(4, 6)), said("beta", "maintenance.ended", at(4, 6)));
  // Most of a day, and a minute.
  await append(said("beta", "down", at(10, 1)), said("beta", "up", at(10, 23)));
  await append(said("alpha", "down", at(40, 1)), said("alpha", "up", at(40, 1) + 60_000));
  await append(
    said("alpha", "connection.opened"),
    said("beta", "connection.opened"),
    said("beta", "connection.closed"),
  );
  browser = await openChromium();
});
afterAll(async () => {
  await browser.close();
  log.close();
  site.server.close();
  await served.remove();
  await rm(folder, { recursive: true });
});
beforeEach(() => open());
afterEach(async () => {
  expect(complaints).toEqual([]);
  await page.context().close();
});

/** Append in a millisecond of its own. */
async function append(...events: NewEvent[]): Promise<void> {
  await log.append(events);
  await sleep(2);
}

async function open(options: BrowserContextOptions = {}): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1_000 }, ...options });
  page = await context.newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("WebSocket")) complaints.push(message.text());
  });
}

async function go(query = "", wanted = "All is well"): Promise<void> {
  await page.goto(`http://127.0.0.1:${served.port}/${query}`);
  await expect.poll(() => overall().textContent()).toBe(wanted);
}

const overall = () => page.locator("h2.overall");
const mark = () => page.locator(".mark");
const component = (name: string) => page.locator(`article[data-name="${name}"]`);
const dateOf = (day: number) => new Date(TODAY - day * DAY).toISOString().slice(0, 10);
/** Return the bar of a component, so many days ago. */
const bar = (name: string, day: number) => component(name).locator(`.bar[aria-label^="${dateOf(day)}"]`);
const number = (part: string) => page.locator(`[data-part=${part}] .number`);
const rows = () => page.locator(".row[data-index]");

async function checkAccess(): Promise<void> {
  const found = await page.evaluate(`(() => { const module = undefined; ${await readFile(AXE, "utf8")};
    return window.axe.run().then((result) => result.violations.map((one) => [one.id, one.impact, one.nodes.map((node) => node.html)])); })()`);
  expect(found).toEqual([]);
}

test("bars, shares, numbers and incidents are what the events say", async () => {
  await go();
  expect(await page.locator("[aria-current=page]").textContent()).toBe("Status");
  await component("alpha").locator(".bar").first().waitFor();
  const label = async (name: string, day: number) =>
    (await bar(name, day).getAttribute("aria-label"))?.slice(dateOf(day).length + 2);
  expect(await label("alpha", 90 - 4)).toBe("no data");
  expect(await label("alpha", 85)).toBe("100 % up");
  expect(await label("alpha", 40)).toBe("99.93 % up, 1 min down");
  expect(await label("alpha", 3)).toBe("75.00 % up, 6 h down");
  expect(await label("alpha", 2)).toBe("100 % up");
  await expect.poll(() => label("beta", 5)).toBe("100 % up, 6 h of planned maintenance");
  expect(await label("beta", 4)).toBe("100 % up, 6 h of planned maintenance");
  expect(await label("beta", 10)).toBe("8.33 % up, 22 h down");
  const kinds = ["alpha 40 brief", "alpha 3 some", "beta 10 down", "beta 5 up part", "beta 30 none"];
  for (const one of kinds) {
    const [name = "", day = "", ...kind] = one.split(" ");
    expect(await bar(name, Number(day)).getAttribute("class")).toBe(`bar ${kind.join(" ")}`);
  }
  await component("gamma").getByText("No data: nothing has said whether it is up.").waitFor();
  expect(await component("gamma").locator(".state").textContent()).toBe("No data");
  // Of 85 days, 6 hours and a minute.
  expect(await component("alpha").locator(".share").textContent()).toMatch(/^99\.7\d %$/);
  await expect.poll(() => number("active").textContent()).toBe("2");
  await expect.poll(() => page.locator("li[data-kind]").count()).toBe(5);
  const incidents = await page
    .locator("li[data-kind]")
    .evaluateAll((all) =>
      all.map((one) => [
        one.querySelector("a")?.textContent,
        /for \d.*/.exec(one.querySelector("span")?.textContent ?? "")?.[0],
      ]),
    );
  expect(incidents).toEqual([
    ["alpha down", "for 6 h"],
    ["beta planned maintenance", "for 12 h"],
    ["beta down", "for 22 h"],
    ["beta planned maintenance", "for 1 h"],
    ["alpha down", "for 1 min"],
  ]);
  await page.getByText("disk full").waitFor();
});

test("what happens is shown as it happens", async () => {
  const asked: string[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => asked.push(String(payload))));
  await go();
  expect(asked.filter((text) => text.includes('"metric":"peers"')).length).toBe(1);
  const before = Number(await number("active").textContent());
  await append(
    said("beta", "down", Date.now(), { data: { message: "out of memory" } }),
    said("alpha", "connection.opened"),
  );
  await expect.poll(() => overall().textContent()).toBe("beta is down");
  await expect.poll(() => component("beta").locator(".state").textContent()).toBe("Down");
  await expect.poll(() => number("active").textContent()).toBe(String(before + 1));
  await page.locator("li[data-open=true]", { hasText: "out of memory" }).getByText("goes on").waitFor();
  await append(said("beta", "up"), said("alpha", "maintenance.started"));
  await expect.poll(() => overall().textContent()).toBe("Planned maintenance: alpha");
  await append(said("alpha", "maintenance.ended"), said("delta", "up"));
  await expect.poll(() => overall().textContent()).toBe("All is well");
  // One of which nothing had been heard before.
  await expect.poll(() => component("delta").locator(".state").textContent()).toBe("Up");
  await expect.poll(() => page.locator("li[data-open=true]").count()).toBe(0);
});

test("what is stale says so, and since when, until the server is back and has told what is so", async () => {
  await go();
  await expect.poll(() => number("active").textContent()).toMatch(/\d/);
  expect(await mark().isVisible()).toBe(false);
  await served.stop();
  await expect.poll(() => mark().isVisible()).toBe(true);
  expect(await mark().textContent()).toContain("The connection is lost since");
  const since = Date.parse((await mark().locator("time").getAttribute("datetime")) ?? "");
  expect(Math.abs(Date.now() - since)).toBeLessThan(120_000);
  await page.screenshot({ path: new URL("status-stale.png", SHOTS).pathname });
  // What was known stays.
  expect(await overall().textContent()).toBe("Last known: All is well");
  await served.start();
  await append(said("alpha", "down"));
  await expect.poll(() => mark().isVisible()).toBe(false);
  await expect.poll(() => overall().textContent()).toBe("alpha is down");
  await append(said("alpha", "up"));
  await expect.poll(() => overall().textContent()).toBe("All is well");
});

test("a server that is silent makes what is shown stale, though the connection is there", async () => {
  let mute = false;
  await page.routeWebSocket(/\/rpc$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => server.send(message));
    server.onMessage((message) => {
      if (!mute) socket.send(message);
    });
  });
  await page.clock.install();
  await go();
  mute = true;
  await page.clock.fastForward(31_000);
  await expect.poll(() => mark().isVisible()).toBe(true);
  expect(await mark().textContent()).toContain("The server has said nothing since");
});

test("a bar, an incident and a number lead to the events behind them", async () => {
  await go();
  await expect.poll(() => page.locator("li[data-kind]").count()).toBeGreaterThan(3);
  await bar("alpha", 3).click();
  await page.locator("audit-event-detail pre", { hasText: '"disk full"' }).waitFor();
  expect(page.url()).toMatch(/\?topic=nodes\/alpha&from=.*&to=.*&event=/);
  await expect.poll(() => rows().count()).toBe(2);
  await page.goBack();
  // Nothing happened on that day: what had made it so.
  await bar("alpha", 50).click();
  await page.locator("audit-event-detail pre", { hasText: `"occurred_at": "${dateOf(85)}` }).waitFor();
  await page.goBack();
  await page.getByRole("link", { name: "beta planned maintenance" }).first().click();
  await page.locator("audit-event-detail pre", { hasText: "node.maintenance.started" }).waitFor();
  await page.goBack();
  await expect.poll(() => number("active").textContent()).toMatch(/\d/);
  await number("active").click();
  await expect.poll(() => page.url()).toContain("?topic=nodes&action=node.connection.opened");
  await page.goBack();
  await append(said("alpha", "connection.opened"), said("alpha", "connection.closed"));
  await expect.poll(() => number("rate").textContent()).toMatch(/^[1-9]\d*$/);
  // It goes on while one looks: both at once.
  const [count, href] = await number("rate").evaluate((one) => [one.textContent, one.getAttribute("href")]);
  await page.goto(`http://127.0.0.1:${served.port}/${href?.slice(2)}`);
  await rows().first().waitFor();
  const params = new URL(page.url()).searchParams;
  const [seek, seek_end] = [params.get("from") ?? "", params.get("to") ?? ""];
  const { events } = await log.page({ topic: ["nodes"], seek, seek_end, limit: 1_000 });
  expect(events.length).toBe(Number(count));
});

test("bars are one stop of the keyboard, with arrows within it", async () => {
  await go();
  await bar("alpha", 3).waitFor();
  await component("alpha").locator(".bar[tabindex='0']").focus();
  expect(await component("alpha").locator(".bar[tabindex='0']").count()).toBe(1);
  for (
    let n = 0;
    n < 90 &&
    !(await component("alpha")
      .locator(`.bar:focus[aria-label^="${dateOf(3)}"]`)
      .count());
    n += 1
  ) {
    await page.keyboard.press("ArrowLeft");
  }
  await component("alpha").locator("audit-uptime-bars p b", { hasText: "75.00 % up, 6 h down" }).waitFor();
  await page.keyboard.press("Home");
  expect(await component("alpha").locator(".bar:focus").getAttribute("aria-label")).toContain("no data");
  await page.keyboard.press("End");
  await page.keyboard.press("Tab");
  expect(await component("alpha").locator(".bar:focus").count()).toBe(0);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.locator("audit-event-detail pre .key").first().waitFor();
});

test("other logs have other names: the address says which", async () => {
  await append(
    { topics: [["shop", "cart"]], action: "began", data: { who: "web" } },
    { topics: [["shop", "cart"]], action: "ended", data: { who: "mail" } },
  );
  await go("?view=status&topic=shop&up=began&down=ended&by=data.who&time=recorded", "mail is down");
  expect(await page.locator("article h3 > span:first-child").allTextContents()).toEqual(["mail", "web"]);
  await go("?view=status&topic=nobody", "No components yet");
  await page.getByText("Nothing has said yet that it is up.").waitFor();
});

test("of more components than an answer holds days of, the states are shown without them", async () => {
  const ago = Date.now() - 88 * DAY;
  const up = (name: string) => ({ ...said(name, "up", ago), topics: [["many", name]] });
  await append(...Array.from({ length: 90 }, (_, n) => up(`a-component-of-many-with-a-name-${n}`)));
  await go("?view=status&topic=many");
  await page.getByText("This can't be told: ").waitFor();
  expect(await page.locator("article .state", { hasText: "Up" }).count()).toBe(90);
});

test("allowed pages may have it in a frame, without anything around it; others, and other views, may not", async () => {
  const at = (origin: string, query: string) => {
    site.html = `<!doctype html><title>x</title><iframe width="800" height="700" src="http://127.0.0.1:${served.port}/${query}"></iframe>`;
    return page.goto(origin);
  };
  await at(site.origin, "?embed=1");
  const frame = page.frameLocator("iframe");
  await expect.poll(() => frame.locator("h2.overall").textContent()).toBe("All is well");
  await frame.locator(".bar").first().waitFor();
  expect(await frame.locator("header, nav, button, input").count()).toBe(0);
  const targets = await frame.locator("a").evaluateAll((all) => all.map((one) => (one as HTMLAnchorElement).target));
  expect([targets.length > 90, new Set(targets)]).toEqual([true, new Set(["_blank"])]);
  await page.screenshot({ path: new URL("status-embedded.png", SHOTS).pathname });
  const tab = page.context().waitForEvent("page");
  await frame.locator("[data-part=active] a").click();
  await (await tab).locator(".row[data-index]").first().waitFor();
  expect(complaints).toEqual([]);
  for (const [origin, query] of [
    [site.origin.replace("127.0.0.1", "localhost"), "?embed=1"],
    [site.origin, "?view=status"],
    [site.origin, "?view=events"],
  ] as const) {
    complaints = [];
    await at(origin, query);
    await expect.poll(() => complaints.join()).toContain("frame-ancestors");
    complaints = [];
  }
});

const WAYS: [string, BrowserContextOptions][] = [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["phone", { viewport: { width: 390, height: 780 }, hasTouch: true }],
];

test.each(WAYS)("axe finds nothing wrong: %s", async (name, options) => {
  await page.context().close();
  await open(options);
  await go();
  await page.locator("li[data-kind]").first().waitFor();
  await bar("alpha", 3).waitFor();
  await checkAccess();
  await page.screenshot({ path: new URL(`status-${name}.png`, SHOTS).pathname });
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
  expect(await bar("alpha", 60).isVisible()).toBe(name !== "phone");
  if (name !== "phone") return;
  await page.goto(`http://127.0.0.1:${served.port}/?embed=1`);
  await bar("alpha", 3).waitFor();
  await checkAccess();
});

/** A site of somebody else's, with one page. */
class Site {
  html = "";

  private constructor(
    readonly server: Server,
    readonly origin: string,
  ) {}

  static async open(): Promise<Site> {
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end(made.html);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const made = new Site(server, `http://127.0.0.1:${(server.address() as { port: number }).port}`);
    return made;
  }
}
