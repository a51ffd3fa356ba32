/** The examples run as they are written: a page of another site, and a service. */

import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect, type NewEvent, type RemoteLog } from "@audit/client";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium } from "../../typescript/tests/browser.js";
import { Served } from "../../typescript/tests/served.js";

const EXAMPLES = new URL("../../../examples/", import.meta.url);
const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const SHOTS = new URL("../shots/", import.meta.url);
const ADDRESS = "http://127.0.0.1:8440";

let site: Server;
let html = "";
let origin: string;
let served: Served;
let log: RemoteLog;
let browser: Browser;
beforeAll(async () => {
  site = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(html));
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(site.address() as { port: number }).port}`;
  served = await Served.create("--allow-origin", origin);
  log = await connect(served.url, { backoff: { firstMs: 10, mostMs: 50 } });
  browser = await openChromium();
});
afterAll(async () => {
  await browser.close();
  log.close();
  site.close();
  await served.remove();
});

function said(node: string, action: string, about?: string): NewEvent {
  return {
    topics: [["nodes", node, ...(about ? [about] : [])]],
    action: `node.${action}`,
    occurred_at: new Date().toISOString(),
  };
}

test("a status page of 40 lines, on another site, with the client from the server itself", async () => {
  const text = await readFile(new URL("status.html", EXAMPLES), "utf8");
  expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(40);
  expect(text).toContain(`"${ADDRESS}"`);
  html = text.replace(ADDRESS, served.url.replace("ws", "http"));
  await log.append([said("alpha", "up"), said("beta", "up"), said("beta", "connection.opened", "connection")]);
  const page = await browser.newPage({ viewport: { width: 500, height: 500 } });
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(origin);
  const textOf = (selector: string) => expect.poll(() => page.locator(selector).textContent());
  await textOf("#state").toBe("All is well");
  await textOf("#nodes").toBe("alphaupbetaup");
  await textOf("#open").toBe("1");
  await log.append([said("alpha", "connection.opened", "connection"), said("beta", "down")]);
  await textOf("#open").toBe("2");
  await textOf("#state").toBe("Some nodes are down");
  await textOf("#nodes").toBe("alphaupbetadown");
  await textOf("#incidents").toMatch(/^20\S+Z beta went down$/);
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: fileURLToPath(new URL("example-status.png", SHOTS)) });
  await served.stop();
  await expect.poll(() => page.locator("body").getAttribute("class")).toBe("stale");
  await served.start();
  await expect.poll(() => page.locator("body").getAttribute("class")).toBe("");
  await log.append(said("beta", "up"));
  await textOf("#state").toBe("All is well");
  expect(await page.locator("#incidents li").count()).toBe(1);
  // As it is served, it has the names that are documented.
  const client = JSON.stringify(`${served.url.replace("ws", "http")}/client.js`);
  const name = await page.evaluate(
    `import(${client}).then(({ HashMismatch }) => new HashMismatch("event 1", "no").name)`,
  );
  expect(name).toBe("HashMismatch");
  expect(complaints).toEqual([]);
  await page.close();
});

test("a service that records each request before it answers", async () => {
  const folder = await mkdtemp(join(tmpdir(), "audit-example-"));
  await copyFile(new URL("service.mjs", EXAMPLES), join(folder, "service.mjs"));
  await symlink(MODULES, join(folder, "node_modules"));
  const env = { ...process.env, AUDIT_URL: served.url, PORT: "0" };
  const service = spawn(process.execPath, ["service.mjs"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  const url = await firstLine(service);
  const answer = await fetch(`${url}/secret?q=1`, { headers: { "x-request-id": "r-1" } });
  const [, index] = /^recorded as event (\d+)\n$/.exec(await answer.text()) ?? [];
  expect((await fetch(url, { method: "DELETE" })).status).toBe(405);
  const { events } = await log.page({ topic: ["service"] });
  expect(events).toMatchObject([
    {
      index: Number(index),
      action: "http.get",
      actor: { type: "address", id: "127.0.0.1" },
      targets: [{ type: "path", id: "/secret" }],
      outcome: "success",
      context: { request_id: "r-1" },
    },
    { action: "http.delete", outcome: "denied" },
  ]);
  const ended = new Promise((resolve) => service.once("exit", (code) => resolve(code)));
  service.kill("SIGTERM");
  expect(await ended).toBe(0);
  await rm(folder, { recursive: true });
});

function firstLine(process: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    process.once("exit", (code) => reject(new Error(`it ended with ${code}`)));
    if (process.stdout) createInterface(process.stdout).once("line", resolve);
  });
}
