/** What is generated, and what is written out by hand, is what proto/ says. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FILE, wireTypes } from "../scripts/wire.js";
import { AuditError, fromWire, WIRE_CODES } from "../src/errors.js";

const PAGE = readFileSync(new URL("../../../proto/README.md", import.meta.url), "utf8");

test("the types are those of the schemas", async () => {
  expect(readFileSync(FILE, "utf8"), "out of date: make client-wire").toBe(await wireTypes());
});

test("every error of the wire has its class, and says as the wire does whether a retry may help", () => {
  const rows = [...PAGE.matchAll(/^\| −(\d+) \| `(\w+)` \| (yes|no) \|/gm)];
  expect(WIRE_CODES.map(([number, word]) => [number, word])).toEqual(
    rows.map(([, number, word]) => [-Number(number), word]),
  );
  for (const [, number, word, retryable] of rows) {
    const error = fromWire({
      code: -Number(number) as never,
      message: "m",
      data: { code: word as never, retryable: false },
    });
    expect([error.retryable, error.message]).toEqual([retryable === "yes", "m"]);
    if (word !== "parse_error") expect(error.code).toBe(word);
  }
});

test("an unknown code goes by its number, and an unknown number is a plain error", () => {
  expect(fromWire({ code: -32003, message: "m", data: { code: "new" as never, retryable: false } }).code).toBe(
    "not_found",
  );
  const error = fromWire({ code: -1 as never, message: "m", data: { code: "new" as never, retryable: true } });
  expect([error.constructor, error.code]).toEqual([AuditError, "internal"]);
});
