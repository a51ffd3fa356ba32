/** Chromium, as Debian has it, and a page of an origin of its own that imports the built package. */

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { type Browser, chromium, type Page } from "playwright-core";

const DIST = new URL("../dist/", import.meta.url);
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** With the package as `audit`: what a test has run in the page can import nothing itself. */
const PAGE = '<!doctype html><script type="module">globalThis.audit = await import("/index.js")</script>';

export function openChromium(): Promise<Browser> {
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

/** Serve the built package and an empty page. */
export async function servePackage(): Promise<{ server: Server; origin: string }> {
  const server = createServer(async (request, response) => {
    const path = request.url ?? "/";
    const script = path.endsWith(".js");
    const body = script ? await readFile(new URL(`.${path}`, DIST)).catch(() => undefined) : PAGE;
    response.writeHead(body === undefined ? 404 : 200, { "content-type": script ? "text/javascript" : "text/html" });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as { port: number }).port}` };
}

/** Open a page that has the package. */
export async function openPage(browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.waitForFunction("globalThis.audit");
  return page;
}

/** Return a page's errors, collected from now on. */
export function errorsOf(page: Page): string[] {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  return errors;
}
