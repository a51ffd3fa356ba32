/**
 * How smooth the events view is while much comes: `node bench/frames.mjs [STORE] [SECONDS]`, after `make dashboard`.
 *
 * A store of a million events, made if it is not there; 1,000 events a second; a page in Chromium. Printed: the times
 * between frames, and the longest tasks of the page's main thread with what they spent their time on, which says whether a
 * long frame was the page's or the machine's.
 */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connect } from "@audit/client";
import { chromium } from "playwright-core";

const EVENTS = 1_000_000;
const A_SECOND = 1_000;
const LONG_MS = 50;
const AUDIT = process.env.AUDIT_COMMAND ?? fileURLToPath(new URL("../../../.venv/bin/audit", import.meta.url));
const [store = join(tmpdir(), "audit-frames"), seconds = "20"] = process.argv.slice(2);

const event = (n) => ({
  topics: [["node", n % 2 ? "connection" : "session", `n-${n % 97}`]],
  action: ["opened", "closed", "refused"][n % 3],
  actor: { type: "user", id: `u-${n % 1013}`, name: `User ${n % 1013}` },
  targets: [{ type: "vault", id: `v-${n % 211}` }],
  outcome: ["success", "failure", "denied", "unknown"][n % 4],
  data: { n, text: "some words of it" },
});
const some = (from, count) => Array.from({ length: count }, (_, n) => event(from + n));

const create = existsSync(store) ? [] : ["--create"];
const server = spawn(AUDIT, ["serve", "--data", store, ...create, "--listen", "127.0.0.1:0"], {
  stdio: ["ignore", "pipe", "inherit"],
});
const url = await new Promise((resolve) => createInterface(server.stdout).once("line", resolve));
const log = await connect(url);
let { size } = (await log.info()).store;
while (size < EVENTS) {
  await Promise.all(Array.from({ length: 10 }, (_, n) => log.append(some(size + n * 1_000, 1_000))));
  size += 10_000;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: { width: 1400, height: 800 } });
await page.goto(url);
await page.locator(".row").first().waitFor();
await page.getByText("Live, caught up").waitFor();
await sleep(2_000);
const session = await page.context().newCDPSession(page);
const trace = [];
session.on("Tracing.dataCollected", ({ value }) => trace.push(...value));
await session.send("Tracing.start", { transferMode: "ReportEvents", categories: "toplevel,devtools.timeline,v8" });

const ends = Date.now() + Number(seconds) * 1_000;
let sent = 0;
const appending = (async () => {
  const began = Date.now();
  while (Date.now() < ends) {
    const due = Math.floor(((Date.now() - began) * A_SECOND) / 1_000) - sent;
    if (due > 0) await log.append(some(size + sent, Math.min(due, 1_000)));
    sent += Math.min(due, 1_000);
    await sleep(10);
  }
})();
const frames = await page.evaluate(
  (until) =>
    new Promise((resolve) => {
      const times = [];
      const frame = (now) => {
        times.push(now);
        if (Date.now() < until) requestAnimationFrame(frame);
        else resolve(times);
      };
      requestAnimationFrame(frame);
    }),
  ends,
);
await appending;
await page.getByText("Live, caught up").waitFor();
const traced = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
await session.send("Tracing.end");
await traced;

const gaps = frames.slice(1).map((at, n) => at - frames[n]);
const sorted = gaps.toSorted((one, other) => one - other);
const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))].toFixed(1);
const long = gaps.filter((gap) => gap > LONG_MS).length;
console.log(`${size + sent} events, ${sent} of them in ${seconds} s; load ${loadavg()[0].toFixed(1)}`);
console.log(`frames: ${gaps.length}, p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)} ms; ${long} over ${LONG_MS} ms`);

const main = trace.find((one) => one.name === "thread_name" && one.args.name === "CrRendererMain");
const own = trace.filter((one) => one.ph === "X" && one.pid === main?.pid && one.tid === main?.tid);
const tasks = own.filter((one) => one.name === "RunTask" || one.name === "ThreadControllerImpl::RunTask");
tasks.sort((one, other) => other.dur - one.dur);
for (const task of tasks.slice(0, 8)) {
  const inside = new Map();
  for (const one of own) {
    if (one === task || one.ts < task.ts || one.ts + one.dur > task.ts + task.dur) continue;
    inside.set(one.name, (inside.get(one.name) ?? 0) + one.dur);
  }
  const spent = [...inside].sort((one, other) => other[1] - one[1]).slice(0, 6);
  const text = spent.map(([name, us]) => `${name} ${(us / 1_000).toFixed(1)}`).join(", ");
  console.log(
    `task ${(task.dur / 1_000).toFixed(1)} ms, ${((task.tdur ?? 0) / 1_000).toFixed(1)} of them on a processor: ${text}`,
  );
}
for (const name of ["TimerFire", "Layout", "Paint", "PrePaint", "Layerize"]) {
  const times = own.filter((one) => one.name === name).map((one) => (one.tdur ?? 0) / 1_000);
  const sum = times.reduce((total, ms) => total + ms, 0);
  console.log(
    `${name}: ${times.length} times, ${sum.toFixed(0)} ms of processor, at most ${Math.max(0, ...times).toFixed(1)}`,
  );
}
await browser.close();
log.close();
server.kill("SIGTERM");
