/** What a chart asks the server for, and what its answer looks like as lines. Pure. */

import type { MetricQuery, MetricResult, Window } from "@audit/client";
import { askedOf, type Chart, type Shown } from "./query.js";

export const MEASURES = ["count", "rate", "sum", "avg", "min", "max", "quantiles", "distinct"] as const;
/** Those that are of the numbers, or values, at a field. */
const OF_A_FIELD = ["sum", "avg", "min", "max", "quantiles", "distinct"];
/** Those that are 0 where nothing happened; the others then have no value. */
const ZERO = ["count", "rate", "sum"];
const REGISTERED = "metric:";
/** Lines that can still be told apart. */
export const MOST_LINES = 8;

export function needsField(chart: Chart): boolean {
  return OF_A_FIELD.includes(chart.measure);
}

export function isRegistered(chart: Chart): boolean {
  return chart.measure.startsWith(REGISTERED);
}

export function registered(name: string): string {
  return REGISTERED + name;
}

/** Return the query of a chart; undefined: it lacks its field. */
export function queryOf(shown: Shown, chart: Chart): MetricQuery | undefined {
  const { window, last } = chart;
  if (isRegistered(chart)) return { metric: chart.measure.slice(REGISTERED.length), window, last };
  if (needsField(chart) && chart.field === undefined) return undefined;
  const { topic, filter } = askedOf(shown);
  return {
    measure: chart.measure as NonNullable<MetricQuery["measure"]>,
    ...(chart.measure === "rate" ? { per: "minute" as const } : {}),
    ...(needsField(chart) ? { field: chart.field ?? null } : {}),
    ...(shown.topic.length > 0 ? { topic } : {}),
    ...(filter === undefined ? {} : { filter }),
    window,
    last,
    ...(chart.group === undefined ? {} : { group_by: chart.group }),
  } as MetricQuery;
}

/** Return the command that asks for the same. */
export function curlOf(query: MetricQuery, origin: string): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (name === "filter") for (const [facet, one] of Object.entries(value as object)) params.set(facet, String(one));
    else params.set(name, Array.isArray(value) ? value.join("/") : String(value));
  }
  // In the shell's quotes, the only letter that means something is written as a code.
  return `curl '${origin}/v1/metrics?${params.toString().replaceAll("%2F", "/").replaceAll("'", "%27")}'`;
}

export interface Lines {
  /** Starts of the windows, in seconds, ascending. */
  readonly at: number[];
  readonly lines: { readonly name: string; readonly values: (number | null)[] }[];
  /** Groups that are left out, having the fewest events. */
  readonly leftOut: number;
}

const UNITS_S: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** Return a duration such as `1h` in seconds. */
export function seconds(duration: string): number {
  return Number.parseInt(duration, 10) * (UNITS_S[duration.replace(/^\d+/, "")] ?? 1);
}

/** Return windows as lines: one, or one for each group, or one for each quantile (of the whole). */
export function linesOf(result: Pick<MetricResult, "windows">, measure: string, windowS: number): Lines {
  const starts = result.windows.map((window) => Date.parse(window.start) / 1_000);
  const from = starts.reduce((least, start) => Math.min(least, start), Number.POSITIVE_INFINITY);
  const to = starts.reduce((most, start) => Math.max(most, start), Number.NEGATIVE_INFINITY);
  // Of groups, windows without events are not told; they have their place all the same.
  const at =
    starts.length === 0
      ? []
      : Array.from({ length: Math.round((to - from) / windowS) + 1 }, (_, n) => from + n * windowS);
  const nothing = ZERO.includes(measure) ? 0 : null;
  const found = new Map<string, { values: (number | null)[]; count: number }>();
  const put = (name: string, window: Window, value: number | null) => {
    const line = found.get(name) ?? { values: Array<number | null>(at.length).fill(nothing), count: 0 };
    line.values[Math.round((Date.parse(window.start) / 1_000 - from) / windowS)] = value;
    line.count += window.count;
    found.set(name, line);
  };
  for (const window of result.windows) {
    const group = window.group === undefined ? "" : window.group === null ? "none" : String(window.group);
    if (window.value !== null && typeof window.value === "object") {
      for (const [quantile, value] of Object.entries(window.value))
        put([group, quantile].join(" ").trim(), window, value);
    } else put(group, window, window.value);
  }
  const all = [...found].map(([name, line]) => ({ name: name || measure, ...line }));
  const kept = all.sort((one, other) => other.count - one.count).slice(0, MOST_LINES);
  return { at, lines: kept.map(({ name, values }) => ({ name, values })), leftOut: all.length - kept.length };
}

/** Return a value as people read it. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return value.toLocaleString("en-US", { maximumFractionDigits: 3 });
  return Object.entries(value as object)
    .map(([name, one]) => `${name}: ${valueText(one)}`)
    .join(", ");
}
