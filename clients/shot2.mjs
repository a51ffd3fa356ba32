import { chromium } from "playwright-core";
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu","--disable-quic","--no-first-run","--disable-background-networking","--disable-component-update","--disable-sync"] });
const run = async (name, query, opts, act) => {
  const c = await b.newContext({ viewport: { width: 1280, height: 720 }, ...opts }); const p = await c.newPage();
  await p.goto("http://127.0.0.1:8499/" + query); await p.waitForTimeout(1500); await act?.(p); await p.waitForTimeout(800);
  await p.screenshot({ path: `/tmp/t1/docs/images/${name}.png` }); await c.close();
};
await run("events-light", "?topic=aws/s3&outcome=failure", { colorScheme: "light" }, (p) => p.locator(".row").nth(2).click());
await run("events-dark", "", { colorScheme: "dark" }, async (p) => { await p.locator(".fold").nth(1).click(); });
await run("events-phone", "?topic=aws/iam", { viewport: { width: 390, height: 720 }, colorScheme: "light" });
await b.close();
