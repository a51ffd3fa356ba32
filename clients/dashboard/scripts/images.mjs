/**
 * The images of docs/dashboard.md: `node scripts/images.mjs`, after `make dashboard`; `make images` does both.
 *
 * Of what `make live` serves, in Chromium. Takes a minute: the chart wants some seconds behind it.
 */

import { spawn } from "node:child_process";
import { delimiter } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = new URL("../../../", import.meta.url);
const at = (path) => fileURLToPath(new URL(path, ROOT));
const DENIED = "?topic=aws/s3&outcome=failure";
const WIDE = { width: 1280, height: 720 };
const HIGH = { width: 1280, height: 1_000 };
const PHONE = { width: 390, height: 800 };

const firstRow = (page) => page.locator(".row[data-index]").first();
const statusDrawn = async (page) => {
  await page.locator("audit-uptime-bars").nth(3).waitFor();
  await page.locator("li[data-kind]").first().waitFor();
};
const detailOf = async (page, n) => {
  await firstRow(page).waitFor();
  await page.locator(".row[data-index]").nth(n).click();
  await page.locator("audit-event-detail pre .key").first().waitFor();
};

/** Name, address, what it is drawn in, and what to wait for or do. */
const IMAGES = [
  ["status", "", { viewport: HIGH }, statusDrawn],
  ["status-dark", "", { viewport: HIGH, colorScheme: "dark" }, statusDrawn],
  ["status-phone", "", { viewport: PHONE, hasTouch: true }, statusDrawn],
  ["events-light", DENIED, { viewport: WIDE }, (page) => detailOf(page, 2)],
  ["events-dark", "?view=events", { viewport: WIDE, colorScheme: "dark" }, (page) => firstRow(page).waitFor()],
  ["events-phone", "?topic=aws", { viewport: PHONE, hasTouch: true }, (page) => firstRow(page).waitFor()],
  [
    "verified",
    "?topic=aws/iam",
    { viewport: WIDE },
    async (page) => {
      await detailOf(page, 2);
      await page.getByRole("button", { name: "Verify" }).click();
      await page.locator(".proved li").nth(3).waitFor();
    },
  ],
  [
    "metrics",
    "?view=metrics&topic=nodes&group=topics.0.1&window=5s&last=1m",
    { viewport: WIDE },
    async (page) => {
      await page.locator(".plot canvas").waitFor();
      await page.getByText("charlie").first().waitFor();
    },
  ],
];

const env = { ...process.env, PATH: `${at(".venv/bin")}${delimiter}${process.env.PATH}`, AUDIT_LISTEN: "127.0.0.1:0" };
const live = spawn("sh", [at("docs/live.sh")], { env, stdio: ["ignore", "pipe", "inherit"] });
const ended = new Promise((resolve) => live.once("exit", resolve));
const url = await new Promise((resolve, reject) => {
  live.once("exit", () => reject(new Error("docs/live.sh ended")));
  createInterface(live.stdout).on("line", (line) => /^ +http/.test(line) && resolve(line.trim()));
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
try {
  // The history came in within one minute, beside which nothing else would show in the charts.
  await sleep(65_000);
  for (const [name, query, options, drawn] of IMAGES) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    await page.goto(`${url}/${query}`);
    await drawn(page);
    // Two updates of everything that is followed.
    await sleep(2_000);
    await page.screenshot({ path: at(`docs/images/${name}.png`) });
    await context.close();
  }
} finally {
  await browser.close();
  live.kill("SIGTERM");
  await ended;
}
