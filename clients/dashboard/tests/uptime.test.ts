/** What the status view computes: bars out of metrics, incidents out of events, and where a click leads. */

import type { Event, MetricEntry, Window } from "@audit/client";
import fc from "fast-check";
import { expect, test } from "vitest";
import { boardOf, byName, DAYS, type Part, queriesOf } from "../src/board.js";
import { momentText, recordedMs, spanText } from "../src/format.js";
import { byComponent, type Change, changeOf, dayShown, incidentShown, incidentsOf, KINDS } from "../src/incidents.js";
import { formatShown, parseShown } from "../src/query.js";
import {
  type Component,
  componentsOf,
  daysOf,
  dayText,
  overallOf,
  pathOf,
  percentText,
  staleSince,
} from "../src/uptime.js";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 22, 18);
const TODAY = Date.UTC(2026, 10, 22);

/** Return the id that an event of this time has. */
function idAt(ms: number, rest = 0): string {
  let [left, text] = [ms, ""];
  for (let n = 0; n < 10; n += 1) {
    text = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[left % 32] + text;
    left = Math.floor(left / 32);
  }
  return text + String(rest).padStart(16, "0");
}

function window(startMs: number, value: number | null, more: Partial<Window> = {}): Window {
  const [start, end] = [startMs, startMs + DAY].map((ms) => new Date(ms).toISOString()) as [string, string];
  return { start, end, value, count: 1, final: true, ...more };
}

function told(parts: Partial<Record<Part, Window[]>>) {
  const state = (windows: Window[]) => ({ windows, as_of: { cursor: "", time: new Date(NOW).toISOString() } });
  return new Map(Object.entries(parts).map(([part, windows]) => [part as Part, state(windows)]));
}

test("a day is what its windows say, maintenance apart, and one without windows has no data", () => {
  const ups = [
    window(TODAY, 0.25, { down_s: 3_600 }),
    window(TODAY - DAY, 1),
    window(TODAY - 2 * DAY, null),
    window(TODAY - 3 * DAY, 0.98, { down_s: 60 }),
    window(TODAY - 4 * DAY, 0.99, { down_s: 60 }),
  ];
  const planned = [
    window(TODAY - 3 * DAY, 0.25, { down_s: 64_800 }),
    window(TODAY - 2 * DAY, 1),
    window(TODAY - DAY, 0),
  ];
  const days = daysOf(NOW, ups, planned);
  expect(days.length).toBe(DAYS);
  expect(days.map((day) => day.startMs)).toEqual(days.map((_, n) => TODAY - (DAYS - 1 - n) * DAY));
  expect(days.slice(-6).map((day) => [day.level, day.planned])).toEqual([
    ["none", false],
    ["brief", false],
    ["some", true],
    ["planned", true],
    ["up", false],
    ["down", false],
  ]);
  expect(days.slice(-6).map(dayText)).toEqual([
    "2026-11-17, no data",
    "2026-11-18, 99.00 % up, 1 min down",
    "2026-11-19, 98.00 % up, 1 min down, 6 h of planned maintenance",
    "2026-11-20, planned maintenance",
    "2026-11-21, 100 % up",
    "2026-11-22, 25.00 % up, 1 h down",
  ]);
});

test("components are those with events and those with metrics, each in its state", () => {
  const found = componentsOf(
    ["silent", "b"],
    told({
      days: [window(TODAY, 0.5, { group: "b", down_s: 1 }), window(TODAY, 1, { group: null })],
      whole: [window(TODAY, 0.9, { group: "b" })],
      up: [window(TODAY, 1, { group: "a" }), window(TODAY, 0, { group: "b" }), window(TODAY, 1, { group: 3 })],
      inPlanned: [window(TODAY, 1, { group: "a" }), window(TODAY, 0, { group: "b" })],
    }),
  );
  expect(found.map((one) => [one.name, one.state, one.uptime])).toEqual([
    ["3", "up", null],
    ["a", "planned", null],
    ["b", "down", 0.9],
    ["silent", "unknown", null],
  ]);
  expect(found[2]?.days.at(-1)?.uptime).toBe(0.5);
  expect(componentsOf(["a"], told({}))).toEqual([{ name: "a", state: "unknown", uptime: null, days: [] }]);
});

test("all states in one: what is down comes first, what is planned is said to be so", () => {
  const of = (...states: Component["state"][]) =>
    overallOf(states.map((state, n) => ({ name: `n${n}`, state, uptime: null, days: [] })));
  expect(of("up", "unknown")).toEqual({ state: "up", text: "All is well" });
  expect(of("up", "planned", "down")).toEqual({ state: "some", text: "n2 is down" });
  expect(of("up", "down", "down", "planned")).toEqual({ state: "some", text: "2 of 4 components are down" });
  expect(of("down", "down")).toEqual({ state: "down", text: "All 2 components are down" });
  expect(of("down")).toEqual({ state: "down", text: "n0 is down" });
  expect(of("up", "planned")).toEqual({ state: "planned", text: "Planned maintenance: n1" });
  expect(of("unknown")).toEqual({ state: "unknown", text: "Nothing is known" });
  expect(of()).toEqual({ state: "unknown", text: "No components yet" });
});

test("what is shown is stale without a connection at once, and without a word after a while", () => {
  expect(staleSince(5_000, 1_000, false, 30_000)).toBeUndefined();
  expect(staleSince(5_000, 1_000, true, 30_000)).toBe(1_000);
  expect(staleSince(31_000, 1_000, false, 30_000)).toBeUndefined();
  expect(staleSince(31_001, 1_000, false, 30_000)).toBe(1_000);
  expect(staleSince(31_001, undefined, true, 30_000)).toBeUndefined();
});

test("numbers are written so that they never say more than is so", () => {
  expect([1, 0.999999, 0.5, 0].map(percentText)).toEqual(["100 %", "99.99 %", "50.00 %", "0.00 %"]);
  expect([0, 0.4, 59, 60, 61, 3_600, 3_659, 7_260, 90_000, 86_460].map(spanText)).toEqual([
    "0 s",
    "0 s",
    "59 s",
    "1 min",
    "1 min 1 s",
    "1 h",
    "1 h",
    "2 h 1 min",
    "1 d 1 h",
    "1 d",
  ]);
  expect(momentText(NOW)).toMatch(/^2026-11-2\d \d\d:\d\d:\d\d$/);
});

test("a line has a point for each value, in its box, and a gap where there is none", () => {
  expect(pathOf([0, 5, 10], 100, 10)).toBe("M0 10L50 5L100 0");
  expect(pathOf([1, null, 1], 100, 10)).toBe("M0 0M100 0");
  expect(pathOf([0, 0], 100, 10)).toBe("M0 10L100 10");
  expect(pathOf([], 100, 10)).toBe("");
});

let next = 0;
function change(kind: Change["kind"], atMs: number, component = "a", recorded = atMs): Change {
  next += 1;
  return { id: idAt(recorded, next), index: next, atMs, component, kind, text: kind === "down" ? "why" : undefined };
}

test("incidents are what went down and came back; planned maintenance is none, what outlasts it is", () => {
  const said = (changes: Change[]) =>
    incidentsOf(changes).map((one) => [one.component, one.kind, one.from.atMs, one.to?.atMs, one.from.text]);
  expect(said([change("up", 1), change("down", 5), change("down", 6), change("up", 9), change("down", 12)])).toEqual([
    ["a", "down", 12, undefined, "why"],
    ["a", "down", 5, 9, "why"],
  ]);
  // In whatever order they come, by component.
  expect(said([change("up", 9), change("down", 6, "b"), change("down", 5), change("up", 7, "b")])).toEqual([
    ["b", "down", 6, 7, "why"],
    ["a", "down", 5, 9, "why"],
  ]);
  expect(said([change("begin", 2), change("down", 3), change("up", 4), change("end", 5)])).toEqual([
    ["a", "planned", 2, 5, undefined],
  ]);
  expect(said([change("begin", 2), change("down", 3), change("end", 5), change("up", 8)])).toEqual([
    ["a", "down", 5, 8, "why"],
    ["a", "planned", 2, 5, undefined],
  ]);
});

test("at most one incident of a kind goes on for a component, and none of those that is up at the end", () => {
  const some = fc.record({ kind: fc.constantFrom(...KINDS), component: fc.constantFrom("a", "b") });
  fc.assert(
    fc.property(fc.array(some, { maxLength: 30 }), (steps) => {
      const incidents = incidentsOf(steps.map(({ kind, component }, n) => change(kind, n, component)));
      for (const component of ["a", "b"]) {
        const own = incidents.filter((one) => one.component === component);
        const of = (...kinds: Change["kind"][]) =>
          steps.filter((one) => one.component === component && kinds.includes(one.kind)).at(-1)?.kind;
        const open = (kind: string) => own.filter((one) => one.kind === kind && one.to === undefined).length;
        expect(open("planned")).toBe(of("begin", "end") === "begin" ? 1 : 0);
        if (of("up", "down") !== "down") expect(open("down")).toBe(0);
        else if (of("begin", "end") !== "begin") expect(open("down")).toBe(1);
        expect(own.every((one) => one.to === undefined || one.to.atMs >= one.from.atMs)).toBe(true);
      }
    }),
  );
});

test("an event is of the component at the board's path, at the board's time", () => {
  const event: Event = {
    id: idAt(NOW),
    index: 1,
    salt: "",
    topics: [["nodes", "a", "sub"]],
    occurred_at: "2026-01-01T00:00:00Z",
    data: { node: 7, message: "late", reason: "other" },
  };
  expect(changeOf(event, "down", boardOf())).toMatchObject({
    component: "a",
    atMs: Date.UTC(2026, 0, 1),
    text: "late",
  });
  expect(changeOf(event, "up", { ...boardOf(), by: "data.node", time: "recorded" })).toMatchObject({
    component: "7",
    atMs: NOW,
  });
  for (const by of ["data.none", "data", "topics.5.1"]) {
    expect(changeOf(event, "up", { ...boardOf(), by })).toBeUndefined();
  }
});

test("a click leads to the events behind: those of the day, of the incident, or what had made the day so", () => {
  const board = boardOf();
  const start = TODAY - 10 * DAY;
  // Recorded some days after they happened.
  const changes = [
    change("up", start - 5 * DAY, "a", NOW - 9_000),
    change("down", start + 1_000, "a", NOW - 8_000),
    change("up", start + 2_000, "a", NOW - 7_000),
    change("down", start + 1_000, "b", NOW - 6_000),
  ];
  const own = byComponent(changes);
  const of = (name: string) => own.get(name) ?? [];
  const days = daysOf(NOW, [], []);
  const on = (startMs: number) => days.find((day) => day.startMs === startMs) as (typeof days)[number];
  const shown = dayShown(board, "a", on(start), of("a"));
  expect(shown).toMatchObject({ topic: ["nodes", "a"], event: changes[1]?.id });
  expect([shown.from, shown.to].map((iso) => Date.parse(iso ?? ""))).toEqual([NOW - 8_000, NOW - 7_000 + 1]);
  expect(dayShown(board, "a", on(start - DAY), of("a"))).toMatchObject({
    topic: ["nodes", "a"],
    event: changes[0]?.id,
  });
  const unknown = dayShown(board, "c", on(start), of("c"));
  expect([unknown.from, unknown.to].map((iso) => Date.parse(iso ?? ""))).toEqual([start, start + DAY]);
  const [open, over] = incidentsOf(changes);
  expect(incidentShown(board, open as NonNullable<typeof open>)).toMatchObject({
    topic: ["nodes", "b"],
    to: undefined,
  });
  const behind = incidentShown(board, over as NonNullable<typeof over>);
  expect(recordedMs(behind.event ?? "")).toBe(NOW - 8_000);
  expect(Date.parse(behind.to ?? "")).toBe(NOW - 7_000 + 1);
  expect(dayShown({ ...board, by: "data.x" }, "a", on(start), of("a")).topic).toEqual(["nodes"]);
});

test("an address brings back the board that it was made of", () => {
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
  const board = fc.record({
    topic: fc.array(
      name.filter((text) => !text.includes("/")),
      { minLength: 1, maxLength: 3 },
    ),
    ...Object.fromEntries(["by", "up", "down", "begin", "end", "open", "close"].map((key) => [key, name])),
    time: fc.constantFrom("occurred", "recorded"),
    embed: fc.boolean(),
  });
  fc.assert(
    fc.property(board, (one) => {
      const shown = { topic: [], filter: {}, status: one as never };
      expect(parseShown(formatShown(shown))).toEqual(shown);
    }),
  );
  expect(formatShown(parseShown("?view=status&up=node.up&junk=1"))).toBe("?view=status");
  expect(parseShown("?embed=1").status?.embed).toBe(true);
  expect(parseShown("")).toMatchObject({ bare: true });
  expect(formatShown(parseShown(""))).toBe("");
  expect(parseShown("?view=events").bare).toBeUndefined();
  expect(parseShown("?topic=a").bare).toBeUndefined();
});

test("several topics are asked for as a union", () => {
  const queries = queriesOf(boardOf(), [
    ["nodes", "a"],
    ["nodes", "b"],
  ]);
  expect(queries.up).toMatchObject({
    topics: [
      ["nodes", "a"],
      ["nodes", "b"],
    ],
  });
  expect(queriesOf(boardOf(), [["nodes"]]).rate).toMatchObject({ topic: ["nodes"] });
});

test("a metric that is registered is asked for by its name, if it is the very same", () => {
  const { active, rates, whole } = queriesOf(boardOf(), [["nodes"]]);
  const same: MetricEntry = {
    name: "connections",
    size: 0,
    measure: "active",
    topic: ["nodes"],
    open: "node.connection.opened",
    close: "node.connection.closed",
    time: "occurred",
  };
  expect(byName(active, [{ ...same, name: "other", time: "recorded" }, same])).toEqual({
    metric: "connections",
    window: "1m",
    last: "1h",
  });
  const others: Partial<MetricEntry>[] = [
    { topic: ["node"] },
    { by: "data.x" },
    { close: "x" },
    { filter: { actor: "a" } },
  ];
  for (const other of others) {
    expect(byName(active, [{ ...same, ...other }])).toBe(active);
  }
  // By the time of recording, whether that is said or not; in the unit that is asked for.
  const rate: MetricEntry = { name: "r", measure: "rate", topic: ["nodes"], per: "hour", size: 0 };
  expect(byName(rates, [rate])).toEqual({ metric: "r", per: "minute", window: "1m", last: "1h" });
  expect(byName(whole, [{ ...whole, name: "w", size: 0 } as never])).toBe(whole);
});
