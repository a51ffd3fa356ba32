/** What is built: small, and by no other address than its own. */

import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const PAGES = new URL("../../../src/audit/server/pages/", import.meta.url);
const names = readdirSync(PAGES, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => `${entry.parentPath}/${entry.name}`);

test("all of it has less than 150 kB, gzipped", () => {
  const bytes = names.map((name) => gzipSync(readFileSync(name)).length).reduce((sum, one) => sum + one);
  expect(names.length).toBeGreaterThan(3);
  expect(bytes).toBeLessThan(150_000);
});

test("the page holds no script or style of its own, and asks for nothing from elsewhere", () => {
  const html = readFileSync(new URL("index.html", PAGES), "utf8");
  expect(html).not.toMatch(/<style|<script(?![^>]*src=)|style=|\son\w+=/);
  expect([...html.matchAll(/(?:src|href)="([^"]*)"/g)].every(([, link]) => link?.startsWith("./"))).toBe(true);
});
