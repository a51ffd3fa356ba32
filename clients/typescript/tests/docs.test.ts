/** The examples of docs/typescript.md run as they are written. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Served } from "./served.js";

const PAGE = readFileSync(new URL("../../../docs/typescript.md", import.meta.url), "utf8");
const BLOCKS = [...PAGE.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? "");
const run = promisify(execFile);

let served: Served;
beforeAll(async () => {
  served = await Served.create();
});
afterAll(() => served.remove());

test.each(BLOCKS.map((text, n) => [n, text] as const))("example %i runs", async (_, text) => {
  const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "--eval", text], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { ...process.env, AUDIT_URL: served.url },
    timeout: 30_000,
  });
  expect(stderr).toBe("");
  expect(stdout).not.toBe("");
});

test("there are examples", () => expect(BLOCKS.length).toBe(4));
