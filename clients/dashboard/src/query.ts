/** What is shown, as the page's address has it: whoever is sent the address sees the same. Pure. */

import type { ListQuery } from "@audit/client";
import { type Board, formatBoard, parseBoard } from "./board.js";

export const FACETS = ["actor", "action", "outcome", "target", "request_id"] as const;
export type Facet = (typeof FACETS)[number];

/** A metric of the events, over time. */
export interface Chart {
  /** A measure, or the name of a registered metric behind `metric:`. */
  readonly measure: string;
  readonly field?: string | undefined;
  readonly group?: string | undefined;
  readonly window: string;
  readonly last: string;
}

export const FIRST_CHART: Chart = { measure: "count", window: "1m", last: "1h" };

export interface Shown {
  /** The topic, and what is nested below it; empty: everything. */
  readonly topic: readonly string[];
  readonly filter: { readonly [facet in Facet]?: string };
  /** Bounds of the time of recording, by RFC 3339; events of `to` itself are left out. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** The id of the event whose details are shown. */
  readonly event?: string | undefined;
  /** The id of the event that it is compared with. */
  readonly base?: string | undefined;
  /** In place of the events themselves. */
  readonly chart?: Chart | undefined;
  /** The status of some components, in place of events. */
  readonly status?: Board | undefined;
  /** Nothing is chosen, not even a view. */
  readonly bare?: true | undefined;
}

export const EVERYTHING: Shown = { topic: [], filter: {} };
const ALL_EVENTS = "?view=events";

/** Return what an address' query string (`?topic=node/connection&actor=u-7`) stands for; what it can't be is left out. */
export function parseShown(search: string): Shown {
  const params = new URLSearchParams(search);
  const view = params.get("view");
  // What has its own parameters: it goes alone.
  if (view === "status" || params.get("embed") === "1") return { ...EVERYTHING, status: parseBoard(params) };
  const filter: { [facet in Facet]?: string } = {};
  for (const facet of FACETS) {
    const value = params.get(facet);
    if (value !== null) filter[facet] = value;
  }
  const time = (name: string) => {
    const ms = Date.parse(params.get(name) ?? "");
    return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
  };
  const id = (name: string) => {
    const value = params.get(name)?.toUpperCase();
    return value !== undefined && /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(value) ? value : undefined;
  };
  const shown: Shown = {
    topic: (params.get("topic") ?? "").split("/").filter((segment) => segment !== ""),
    filter,
    from: time("from"),
    to: time("to"),
    event: id("event"),
    base: id("base"),
    chart: view === "metrics" ? parseChart(params) : undefined,
  };
  return view === null && formatShown(shown) === ALL_EVENTS ? { ...shown, bare: true } : shown;
}

function parseChart(params: URLSearchParams): Chart {
  const length = (name: "window" | "last") => {
    const value = params.get(name) ?? "";
    return /^\d+(ms|s|m|h|d|w)$/.test(value) ? value : FIRST_CHART[name];
  };
  return {
    measure: params.get("measure") || FIRST_CHART.measure,
    field: params.get("field") || undefined,
    group: params.get("group") || undefined,
    window: length("window"),
    last: length("last"),
  };
}

/** Return the query string of an address; without any, it is not said which view. */
export function formatShown(shown: Shown): string {
  const params = new URLSearchParams();
  if (shown.bare) return "";
  if (shown.status !== undefined) {
    formatBoard(shown.status, params);
    return textOf(params);
  }
  if (shown.topic.length > 0) params.set("topic", shown.topic.join("/"));
  for (const facet of FACETS) {
    const value = shown.filter[facet];
    if (value !== undefined) params.set(facet, value);
  }
  for (const name of ["from", "to", "event", "base"] as const) {
    const value = shown[name];
    if (value !== undefined) params.set(name, value);
  }
  if (shown.chart !== undefined) {
    params.set("view", "metrics");
    for (const name of ["measure", "field", "group", "window", "last"] as const) {
      const value = shown.chart[name];
      if (value !== undefined) params.set(name, value);
    }
  }
  return params.size === 0 ? ALL_EVENTS : textOf(params);
}

/** Slashes and colons may stand in a query string as they are, and people read it. */
function textOf(params: URLSearchParams): string {
  return `?${params.toString().replaceAll("%2F", "/").replaceAll("%3A", ":")}`;
}

/** Whether two of them ask for the same events, whatever detail is open. */
export function sameEvents(one: Shown, other: Shown): boolean {
  const bare = (shown: Shown) =>
    formatShown({ ...shown, event: undefined, base: undefined, chart: undefined, bare: undefined });
  return bare(one) === bare(other);
}

/** Return the query that all pages and tails of it have, apart from bounds. */
export function askedOf(shown: Shown): Pick<ListQuery, "topic" | "filter"> {
  const filter = shown.filter as NonNullable<ListQuery["filter"]>;
  return { topic: [...shown.topic], ...(Object.keys(filter).length > 0 ? { filter } : {}) };
}

/** Return the parameters of `GET /v1/events` that ask for the same. */
export function exportParams(shown: Shown): URLSearchParams {
  const params = new URLSearchParams();
  if (shown.topic.length > 0) params.set("topic", shown.topic.join("/"));
  for (const facet of FACETS) {
    const value = shown.filter[facet];
    if (value !== undefined) params.set(facet, value);
  }
  if (shown.from !== undefined) params.set("seek", shown.from);
  if (shown.to !== undefined) params.set("seek_end", shown.to);
  return params;
}
