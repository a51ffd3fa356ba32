/** Who is let in, and what they see of what they may not. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@audit/client";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium } from "../../typescript/tests/browser.js";
import { audit, Served } from "../../typescript/tests/served.js";

const SHOTS = new URL("../shots/", import.meta.url);

let served: Served;
let browser: Browser;
let page: Page;
let token: string;
let admin: string;
let twoNodes: string;
let counter: string;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "audit-access-"));
  const config = join(folder, "audit.toml");
  await writeFile(config, '[roles.counter]\nverbs = ["metrics"]\n');
  served = await Served.create("--config", config);
  token = await served.token("reader", "node");
  admin = await served.token("admin", "/");
  twoNodes = await served.token("reader", "nodes/alpha", "nodes/beta");
  // A role of the server's own, which may know the numbers and no event.
  const words = ["--data", served.data, "--config", config, "--role", "counter", "--topic", "nodes"];
  counter = (await audit("token", "new", ...words)).trim();
  await served.stop();
  await served.start();
  const log = await connect(served.url, { token: admin });
  await log.append(
    Array.from({ length: 20 }, (_, n) => ({ topics: [[n % 2 ? "node" : "vault", "sub"]], action: `a-${n}` })),
  );
  log.close();
  browser = await openChromium();
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${served.port}/`);
});
afterAll(async () => {
  await browser.close();
  await served.remove();
  await rm(folder, { recursive: true });
});

test("a stranger is asked for a token, and told when it is none", async () => {
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("The server does not know this token.").waitFor();
  expect(await page.locator("audit-events-view").count()).toBe(0);
  await page.screenshot({ path: new URL("sign-in.png", SHOTS).pathname });
});

test("who is known sees what they may, and is told calmly what they may not", async () => {
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByText("You may not read all of this.").waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
  expect(await page.locator("[role=treeitem]").allTextContents()).toHaveLength(2);
  await page.locator("[role=treeitem]", { hasText: "node" }).click();
  await expect.poll(() => page.locator(".row[data-index]").count()).toBe(10);
  await page.locator(".row[data-index]").first().click();
  await page.locator("audit-event-detail pre .key").first().waitFor();
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByText("Proofs are for who may see all of the log.").waitFor();
  expect(page.url()).not.toContain(token);
  expect(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }))).toBe(
    "{}",
  );
});

test("a session outlives a reload, and ends by signing out", async () => {
  await page.reload();
  await page.locator(".row[data-index]").first().waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").waitFor();
  await page.reload();
  await page.getByLabel("Token").waitFor();
});

/** Open the status as somebody new, who signs in with a token, if any. */
async function status(query: string, as?: string): Promise<Page> {
  const visitor = await (await browser.newContext()).newPage();
  await visitor.goto(`http://127.0.0.1:${served.port}/${query}`);
  if (as === undefined) return visitor;
  await visitor.getByLabel("Token").fill(as);
  await visitor.keyboard.press("Enter");
  return visitor;
}

test("the status shows what a role may see, and says calmly what it may not", async () => {
  const log = await connect(served.url, { token: admin });
  await log.append(
    ["alpha", "beta", "gamma"].map((name) => ({
      topics: [["nodes", name]],
      action: `node.${name === "alpha" ? "up" : "down"}`,
    })),
  );
  log.close();
  const some = await status("", twoNodes);
  await expect.poll(() => some.locator("h2.overall").textContent()).toBe("beta is down");
  expect(await some.locator("article h3 > span:first-child").allTextContents()).toEqual(["alpha", "beta"]);
  await some.locator("li[data-kind]", { hasText: "beta down" }).waitFor();
  // Of several topics together there is no page of events.
  expect(await some.locator("[data-part=rate] a").count()).toBe(0);
  expect(await some.getByRole("alert").count()).toBe(0);
  await some.locator("article[data-name=beta] .bar").last().click();
  await some.locator(".row[data-index]").first().waitFor();
  const none = await status("?view=status", token);
  await none.getByText("This status is not for you to see").waitFor();
  expect(await none.getByRole("alert").count()).toBe(0);
  const numbers = await status("", counter);
  await expect.poll(() => numbers.locator("h2.overall").textContent()).toBe("2 of 3 components are down");
  await numbers.locator("article[data-name=beta] .bar").last().waitFor();
  await expect.poll(() => numbers.locator("article a, .figure a, #incidents").count()).toBe(0);
  expect(await numbers.getByRole("alert").count()).toBe(0);
});

test("in a frame, a stranger is not asked for a token, and is told where to sign in", async () => {
  const stranger = await status("?embed=1");
  const link = stranger.getByRole("link", { name: "sign in there" });
  await link.waitFor();
  expect([await link.getAttribute("href"), await link.getAttribute("target")]).toEqual(["./?view=status", "_blank"]);
  expect(await stranger.locator("input, button, header").count()).toBe(0);
});
