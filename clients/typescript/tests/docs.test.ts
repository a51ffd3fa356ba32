/** The examples of docs/typescript.md run as they are written. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newKey } from "./keys.js";
import { Served } from "./served.js";

const PAGE = readFileSync(new URL("../../../docs/typescript.md", import.meta.url), "utf8");
const BLOCKS = [...PAGE.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? "");
const run = promisify(execFile);

let served: Served;
let folder: string;
let key: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "audit-docs-"));
  key = await newKey(join(folder, "key"));
  served = await Served.create("--key", join(folder, "key"));
});
afterAll(async () => {
  await served.remove();
  await rm(folder, { recursive: true });
});

test.each(BLOCKS.map((text, n) => [n, text] as const))("example %i runs", async (_, text) => {
  const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "--eval", text], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { ...process.env, AUDIT_URL: served.url, AUDIT_KEY: key },
    timeout: 30_000,
  });
  expect(stderr).toBe("");
  expect(stdout).not.toBe("");
});

test("there are examples", () => expect(BLOCKS.length).toBe(5));
