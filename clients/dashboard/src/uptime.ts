/** Components and their days, as metrics tell of them. Pure. */

import type { MetricState, Window } from "@audit/client";
import { DAYS, type Part } from "./board.js";
import { spanText } from "./format.js";

const DAY_MS = 86_400_000;
/** From it on, what was down was not so for long; below the other, for most of the day. */
const BRIEF = 0.99;
const BAD = 0.5;

/** Of a day: nothing is known, all of it up, down in brief, in part, or for most of it, nothing but planned maintenance. */
export type Level = "none" | "up" | "brief" | "some" | "down" | "planned";

export interface Day {
  readonly startMs: number;
  readonly endMs: number;
  readonly level: Level;
  /** Fraction of the time known; null: there is none. */
  readonly uptime: number | null;
  readonly downS: number;
  readonly planned: boolean;
  /** Seconds of planned maintenance; undefined: that was all there was. */
  readonly plannedS: number | undefined;
}

export interface Component {
  readonly name: string;
  readonly state: "up" | "down" | "planned" | "unknown";
  /** Of all days together; null: nothing is known. */
  readonly uptime: number | null;
  readonly days: readonly Day[];
}

/** What is told of each part, as far as it is. */
export type Told = ReadonlyMap<Part, Pick<MetricState, "windows" | "as_of">>;

/** Return all components, by name: those that are named, and those that metrics tell of. */
export function componentsOf(names: Iterable<string>, told: Told): Component[] {
  const parts = new Map<Part, Map<string, Window[]>>();
  const found = new Set(names);
  for (const [part, state] of told) {
    const groups = new Map<string, Window[]>();
    for (const window of state.windows) {
      // Events without that member are of no component.
      if (window.group === undefined || window.group === null) continue;
      const name = String(window.group);
      found.add(name);
      groups.set(name, [...(groups.get(name) ?? []), window]);
    }
    parts.set(part, groups);
  }
  const asOf = Date.parse(told.get("days")?.as_of.time ?? told.get("up")?.as_of.time ?? "");
  const of = (part: Part, name: string) => parts.get(part)?.get(name) ?? [];
  const level = (part: Part, name: string) => of(part, name).at(-1)?.value;
  return [...found].sort().map((name) => ({
    name,
    state: level("inPlanned", name) ? "planned" : stateOf(level("up", name)),
    uptime: numberOf(of("whole", name).at(-1)?.value),
    days: Number.isNaN(asOf) ? [] : daysOf(asOf, of("days", name), of("planned", name)),
  }));
}

function stateOf(active: Window["value"] | undefined): Component["state"] {
  return active === undefined || active === null ? "unknown" : active ? "up" : "down";
}

function numberOf(value: Window["value"] | undefined): number | null {
  return typeof value === "number" ? value : null;
}

/** Return the days up to a time, oldest first, whether something is known of them or not. */
export function daysOf(asOfMs: number, uptimes: readonly Window[], planned: readonly Window[]): Day[] {
  const byStart = (windows: readonly Window[]) => new Map(windows.map((one) => [Date.parse(one.start), one]));
  const [ups, plans] = [byStart(uptimes), byStart(planned)];
  const today = Math.floor(asOfMs / DAY_MS) * DAY_MS;
  return Array.from({ length: DAYS }, (_, n) => {
    const startMs = today - (DAYS - 1 - n) * DAY_MS;
    const [up, plan] = [ups.get(startMs), plans.get(startMs)];
    const uptime = numberOf(up?.value);
    const part = numberOf(plan?.value) ?? 0;
    return {
      startMs,
      endMs: startMs + DAY_MS,
      level: uptime === null ? (part > 0 ? "planned" : "none") : levelOf(uptime),
      uptime,
      downS: up?.down_s ?? 0,
      planned: part > 0,
      // `down_s` is here what was no maintenance, of the time known.
      plannedS: part < 1 ? Math.round((part / (1 - part)) * (plan?.down_s ?? 0)) : undefined,
    };
  });
}

function levelOf(uptime: number): Level {
  if (uptime >= 1) return "up";
  return uptime >= BRIEF ? "brief" : uptime >= BAD ? "some" : "down";
}

/** Return a fraction, never rounded up to all of it. */
export function percentText(fraction: number): string {
  return fraction >= 1 ? "100 %" : `${(Math.floor(fraction * 10_000) / 100).toFixed(2)} %`;
}

/** Return what there is to say of a day, in words. */
export function dayText(day: Day): string {
  const said = [new Date(day.startMs).toISOString().slice(0, 10)];
  if (day.uptime !== null) said.push(`${percentText(day.uptime)} up`);
  if (day.downS > 0) said.push(`${spanText(day.downS)} down`);
  if (day.planned) {
    said.push(day.plannedS === undefined ? "planned maintenance" : `${spanText(day.plannedS)} of planned maintenance`);
  }
  if (day.level === "none") said.push("no data");
  return said.join(", ");
}

export interface Overall {
  readonly state: "up" | "some" | "down" | "planned" | "unknown";
  readonly text: string;
}

/** Return the state of all of them in one. */
export function overallOf(components: readonly Component[]): Overall {
  const names = (state: Component["state"]) =>
    components.filter((one) => one.state === state).map((component) => component.name);
  const [up, down, planned] = [names("up"), names("down"), names("planned")];
  if (down.length > 0) {
    if (down.length === 1) return { state: up.length > 0 ? "some" : "down", text: `${down[0]} is down` };
    if (up.length === 0) return { state: "down", text: `All ${down.length} components are down` };
    return { state: "some", text: `${down.length} of ${down.length + up.length + planned.length} components are down` };
  }
  if (planned.length > 0) return { state: "planned", text: `Planned maintenance: ${planned.slice(0, 3).join(", ")}` };
  if (up.length > 0) return { state: "up", text: "All is well" };
  return { state: "unknown", text: components.length > 0 ? "Nothing is known" : "No components yet" };
}

/** Return since when what is shown is no longer what is so; undefined: it is. */
export function staleSince(
  nowMs: number,
  freshMs: number | undefined,
  lost: boolean,
  patienceMs: number,
): number | undefined {
  return freshMs !== undefined && (lost || nowMs - freshMs > patienceMs) ? freshMs : undefined;
}

/** Return the line through some values as an SVG path of a box, 0 at its bottom; null leaves a gap. */
export function pathOf(values: readonly (number | null)[], width: number, height: number): string {
  const most = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const round = (value: number) => Math.round(value * 100) / 100;
  let pen = "M";
  const found: string[] = [];
  for (const [n, value] of values.entries()) {
    if (value === null) {
      pen = "M";
      continue;
    }
    found.push(`${pen}${round(n * step)} ${round(height - (Math.max(0, value) / most) * height)}`);
    pen = "L";
  }
  return found.join("");
}
