/** Who is let in, and what they see of what they may not. */

import { connect } from "@audit/client";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium } from "../../typescript/tests/browser.js";
import { Served } from "../../typescript/tests/served.js";

const SHOTS = new URL("../shots/", import.meta.url);

let served: Served;
let browser: Browser;
let page: Page;
let token: string;

beforeAll(async () => {
  served = await Served.create();
  token = await served.token("reader", "node");
  const admin = await served.token("admin", "/");
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
