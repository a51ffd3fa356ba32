/** What is computed without a page. */

import type { Event } from "@audit/client";
import fc from "fast-check";
import { expect, test } from "vitest";
import { partOf } from "../src/exporting.js";
import { recordedMs } from "../src/format.js";
import { differenceOf, linesOf, textOf } from "../src/jsontext.js";
import { FACETS, formatShown, parseShown, type Shown, sameEvents } from "../src/query.js";
import { EventWindow } from "../src/window.js";

const segment = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((text) => !text.includes("/"));
const time = fc.option(
  fc.integer({ min: 0, max: 4e12 }).map((ms) => new Date(ms).toISOString()),
  { nil: undefined },
);
const id = fc.option(fc.stringMatching(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/), { nil: undefined });
const filter = fc.record(Object.fromEntries(FACETS.map((facet) => [facet, fc.string({ unit: "grapheme" })])), {
  requiredKeys: [],
});
const shown: fc.Arbitrary<Shown> = fc.record({
  topic: fc.array(segment, { maxLength: 4 }),
  filter,
  from: time,
  to: time,
  event: id,
  base: id,
  chart: fc.option(
    fc.record({
      measure: fc.constantFrom("count", "sum", "metric:audit.events"),
      field: fc.constantFrom("data.ms", undefined),
      group: fc.constantFrom("actor.id", undefined),
      window: fc.constantFrom("1m", "10s"),
      last: fc.constantFrom("1h", "30d"),
    }),
    { nil: undefined },
  ),
});

test("an address brings back what it was made of", () => {
  fc.assert(
    fc.property(shown, (one) => {
      expect(parseShown(formatShown(one))).toEqual(one);
    }),
  );
  expect(formatShown(parseShown("?topic=node/connection&actor=u-7&junk=1&event=x&from=never"))).toBe(
    "?topic=node/connection&actor=u-7",
  );
});

test("a detail that is opened asks for no other events", () => {
  fc.assert(
    fc.property(shown, (one) => {
      expect(sameEvents(one, { ...one, event: undefined, base: undefined })).toBe(true);
    }),
  );
  expect(sameEvents(parseShown("?topic=a"), parseShown("?topic=b"))).toBe(false);
});

test("JSON that is laid out says the same, with the very numbers it was stored with", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const laid = textOf(linesOf(text));
      expect(JSON.parse(laid)).toEqual(JSON.parse(text));
    }),
  );
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(textOf(linesOf(JSON.stringify(value)))).toBe(JSON.stringify(value, null, 2));
    }),
  );
  expect(textOf(linesOf('{"a":1.0,"b":[12345678901234567890],"c":[],"d":{}}'))).toBe(
    '{\n  "a": 1.0,\n  "b": [\n    12345678901234567890\n  ],\n  "c": [],\n  "d": {}\n}',
  );
});

test("a difference turns one text into the other, and equal texts differ in nothing", () => {
  const value = fc.dictionary(
    fc.constantFrom("a", "b", "c", "d"),
    fc.oneof(fc.integer({ max: 3, min: 0 }), fc.array(fc.nat(2))),
  );
  fc.assert(
    fc.property(value, value, (one, other) => {
      const [before, after] = [linesOf(JSON.stringify(one)), linesOf(JSON.stringify(other))];
      const changes = differenceOf(before, after);
      const bare = (text: string) => text.replaceAll(/,$/gm, "");
      const side = (kind: string) => textOf(changes.filter((one) => one.kind !== kind).map((one) => one.line));
      expect(side("removed")).toBe(textOf(after));
      expect(bare(side("added"))).toBe(bare(textOf(before)));
      expect(changes.every((one) => one.kind === "same")).toBe(bare(textOf(before)) === bare(textOf(after)));
    }),
  );
});

function event(index: number): Event {
  return { id: String(index).padStart(26, "0"), index, topics: [["a"]], salt: "" };
}

test("a window stays a run of consecutive events, whatever is added on either side", () => {
  const step = fc.record({ side: fc.constantFrom("newer", "older", "bar"), count: fc.integer({ min: 0, max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 20 }), (steps, most) => {
      const window = new EventWindow();
      let [high, low] = [500, 500];
      for (const { side, count } of steps) {
        if (side === "bar") window.addBar({ kind: "gap", text: "" });
        else if (side === "newer") {
          const from = (window.newest?.index ?? high - 1) + 1;
          window.addNewer(
            Array.from({ length: count }, (_, n) => event(from + n)),
            most,
          );
        } else {
          const from = (window.oldest?.index ?? low) - 1;
          window.addOlder(
            Array.from({ length: count }, (_, n) => event(from - n)),
            most,
          );
        }
        const found = window.rows.flatMap((row) => ("event" in row ? [row.event.index] : []));
        expect(found.length).toBe(window.events);
        expect(found.length).toBeLessThanOrEqual(most);
        expect(found).toEqual(found.map((_, n) => (found[0] ?? 0) - n));
        high = window.newest === undefined ? high : window.newest.index + 1;
        low = window.oldest?.index ?? low;
      }
    }),
  );
});

test("pages make up one file", () => {
  expect(partOf('{"cursor":"c","has_more":true,"events":[{"id":"a]"},{"id":"b"}]}', "json", true)).toEqual([
    '{"id":"a]"},{"id":"b"}',
    2,
  ]);
  expect(partOf('{"cursor":"c","has_more":false,"events":[]}', "json", false)).toEqual(["", 0]);
  const page = 'id,data\r\n1,"two\r\nlines ""quoted"""\r\n2,x\r\n';
  expect(partOf(page, "csv", true)).toEqual([page, 2]);
  expect(partOf(page, "csv", false)).toEqual([page.slice("id,data\r\n".length), 2]);
  expect(partOf("{}\n{}\n", "ndjson", false)).toEqual(["{}\n{}\n", 2]);
});

test("the time of recording is the id's", () => {
  expect(recordedMs("01KDVDNA00DHW93DTR98H6BCP3")).toBe(Date.UTC(2026, 0, 1));
});
