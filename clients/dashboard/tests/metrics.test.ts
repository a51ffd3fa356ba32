/** The metrics view in a real Chromium, on a real server. */

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { connect, type RemoteLog } from "@audit/client";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium } from "../../typescript/tests/browser.js";
import { Served } from "../../typescript/tests/served.js";
import { linesOf, MOST_LINES } from "../src/charting.js";

const SHOTS = new URL("../shots/", import.meta.url);
const AXE = new URL("../../node_modules/axe-core/axe.min.js", import.meta.url);
const run = promisify(execFile);

let served: Served;
let log: RemoteLog;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  served = await Served.create();
  log = await connect(served.url);
  await append(40);
  browser = await openChromium();
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
});
afterAll(async () => {
  await browser.close();
  log.close();
  await served.remove();
});

async function append(count: number): Promise<void> {
  await log.append(
    Array.from({ length: count }, (_, n) => ({
      topics: [["node", n % 2 ? "a" : "b"]],
      actor: { type: "user", id: `it's u-${n % 4}` },
      data: { ms: n % 10 },
    })),
  );
}

const total = () => page.locator(".total b");

async function open(query: string): Promise<void> {
  await page.goto(`http://127.0.0.1:${served.port}/?view=metrics${query}`);
}

test("a measure is shown, and kept up with", async () => {
  await open("&topic=node/a");
  await expect.poll(() => total().textContent()).toBe("20");
  await page.locator(".plot canvas").waitFor();
  await append(10);
  await expect.poll(() => total().textContent()).toBe("25");
  await page.locator("select[name=measure]").selectOption("sum");
  await page.getByText("name one.").waitFor();
  await page.locator("input[name=field]").fill("data.ms");
  await page.keyboard.press("Enter");
  await expect.poll(() => total().textContent()).toBe("125");
  expect(page.url()).toContain("measure=sum&field=data.ms");
});

test("groups are lines of their own, and the command that is shown answers the same", async () => {
  await open("&actor=it%27s%20u-1&group=actor.id&window=1h&last=6h");
  await expect.poll(() => total().textContent()).toBe("13");
  await page.locator(".u-legend", { hasText: "it's u-1" }).waitFor();
  const said = await page.locator("pre").textContent();
  const command = said?.slice(said.indexOf("curl")) ?? "";
  const { stdout } = await run("sh", ["-c", `${command} --silent --fail`]);
  expect(JSON.parse(stdout).total).toBe(13);
});

test("a window leads to its events", async () => {
  await open("&topic=node&window=1d&last=1d");
  await expect.poll(() => total().textContent()).toBe("50");
  await page.getByText("Newest windows as a table").click();
  await page.locator("td button").first().click();
  await page.locator(".row[data-index]").first().waitFor();
  expect(page.url()).toMatch(/\?topic=node&from=.*T00:00:00.000Z&to=.*T00:00:00.000Z$/);
  expect(await page.locator("[aria-current=page]").textContent()).toBe("Events");
  await page.goBack();
  await expect.poll(() => total().textContent()).toBe("50");
});

test.each(["light", "dark"] as const)("axe finds nothing wrong: %s", async (colorScheme) => {
  await page.emulateMedia({ colorScheme });
  await open("&group=actor.id&window=10s&last=10m");
  await expect.poll(() => total().textContent()).toBe("50");
  await page.getByText("Newest windows as a table").click();
  const found = await page.evaluate(`(() => { const module = undefined; ${await readFile(AXE, "utf8")};
    return window.axe.run().then((result) => result.violations.map((one) => [one.id, one.nodes.map((node) => node.html)])); })()`);
  expect(found).toEqual([]);
  await page.screenshot({ path: new URL(`metrics-${colorScheme}.png`, SHOTS).pathname });
  await page.setViewportSize({ width: 390, height: 780 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
  await page.screenshot({ path: new URL(`metrics-phone-${colorScheme}.png`, SHOTS).pathname });
  await page.setViewportSize({ width: 1280, height: 800 });
});

test("nothing of it failed, or broke the policy of the page", () => {
  expect(complaints).toEqual([]);
});

test("windows become lines: of few groups, each in its place, with 0, or no value, where there is nothing", () => {
  const window = (start: number, group: string | null, value: number) => ({
    start: new Date(start * 1_000).toISOString(),
    end: new Date(start * 1_000 + 1).toISOString(),
    group,
    value,
    count: value,
    final: true,
  });
  const few = linesOf({ windows: [window(1, "a", 5), window(2, "b", 1), window(4, null, 2)] }, "count", 1);
  expect(few).toEqual({
    at: [1, 2, 3, 4],
    lines: [
      { name: "a", values: [5, 0, 0, 0] },
      { name: "none", values: [0, 0, 0, 2] },
      { name: "b", values: [0, 1, 0, 0] },
    ],
    leftOut: 0,
  });
  const many = linesOf({ windows: Array.from({ length: 20 }, (_, n) => window(1, `g${n}`, n)) }, "count", 1);
  expect([many.lines.length, many.leftOut, many.lines[0]?.name]).toEqual([MOST_LINES, 12, "g19"]);
  const quantiles = { ...window(1, null, 3), group: undefined, value: { "0.5": 1, "0.9": null } };
  expect(linesOf({ windows: [quantiles as never] }, "quantiles", 1).lines.map((line) => line.name)).toEqual([
    "0.5",
    "0.9",
  ]);
});
