/** What the status view follows: which events say that a component is up, and what is asked of them. Pure. */

import type { MetricEntry, WatchQuery } from "@audit/client";

export interface Board {
  /** Components are the topics right below it. */
  readonly topic: readonly string[];
  /** Path of the member that tells components apart. */
  readonly by: string;
  /** Actions: a component is up, and is down. */
  readonly up: string;
  readonly down: string;
  /** Its planned maintenance begins, and ends. */
  readonly begin: string;
  readonly end: string;
  /** A connection is opened, and closed. */
  readonly open: string;
  readonly close: string;
  /** Which time of an event counts. */
  readonly time: "occurred" | "recorded";
  /** Alone, in a page of somebody else's. */
  readonly embed: boolean;
}

/** Members that the address may have others for. */
const NAMED = ["by", "up", "down", "begin", "end", "open", "close"] as const;

/** Return the board of a topic, with the names that events have when nobody says otherwise. */
export function boardOf(topic: readonly string[] = ["nodes"]): Board {
  return {
    topic,
    by: `topics.0.${topic.length}`,
    up: "node.up",
    down: "node.down",
    begin: "node.maintenance.started",
    end: "node.maintenance.ended",
    open: "node.connection.opened",
    close: "node.connection.closed",
    time: "occurred",
    embed: false,
  };
}

/** Return the board that an address' parameters stand for. */
export function parseBoard(params: URLSearchParams): Board {
  const topic = (params.get("topic") ?? "").split("/").filter((segment) => segment !== "");
  const plain = boardOf(topic.length > 0 ? topic : undefined);
  const named = Object.fromEntries(NAMED.map((name) => [name, params.get(name) || plain[name]]));
  return {
    ...plain,
    ...named,
    time: params.get("time") === "recorded" ? "recorded" : "occurred",
    embed: params.get("embed") === "1",
  };
}

/** Put a board into an address' parameters: what it has that others have not. */
export function formatBoard(board: Board, params: URLSearchParams): void {
  const plain = boardOf(board.topic);
  params.set("view", "status");
  if (board.topic.join("/") !== boardOf().topic.join("/")) params.set("topic", board.topic.join("/"));
  for (const name of NAMED) if (board[name] !== plain[name]) params.set(name, board[name]);
  if (board.time !== plain.time) params.set("time", board.time);
  if (board.embed) params.set("embed", "1");
}

/** Whether components are topics, so that one of them can be asked for by its name. */
export function areTopics(board: Board): boolean {
  return board.by === boardOf(board.topic).by;
}

export const DAYS = 90;
/** What the current rate is of. */
export const RATE_MS = 60_000;

export const PARTS = ["days", "whole", "planned", "up", "inPlanned", "rate", "rates", "active"] as const;
/** One of the metrics that it is made of. */
export type Part = (typeof PARTS)[number];

/** Return what is asked for each part, of these topics: the board's, or what somebody may see below it. */
export function queriesOf(board: Board, topics: readonly (readonly string[])[]): Record<Part, WatchQuery> {
  const [only] = topics;
  const of = topics.length === 1 && only ? { topic: [...only] } : { topics: topics.map((topic) => [...topic]) };
  const { by, up, down, begin, end, open, close, time } = board;
  const each = { ...of, time, by, group_by: by };
  // With the day that it reaches into, so many days.
  const days = { window: "1d", last: `${DAYS - 1}d` };
  return {
    days: { ...each, ...days, measure: "uptime", up, down, planned: [begin, end] },
    whole: { ...each, last: `${DAYS}d`, measure: "uptime", up, down, planned: [begin, end] },
    // The fraction of time in which maintenance was "up".
    planned: { ...each, ...days, measure: "uptime", up: begin, down: end },
    up: { ...each, measure: "active", open: up, close: down },
    inPlanned: { ...each, measure: "active", open: begin, close: end },
    // What comes in is counted as it comes, whatever it is about.
    rate: { ...of, measure: "rate", per: "minute", last: "1m" },
    rates: { ...of, measure: "rate", per: "minute", window: "1m", last: "1h" },
    active: { ...of, time, measure: "active", open, close, window: "1m", last: "1h" },
  };
}

/** Members that make a registered metric what it is; the unit of a rate is the question's. */
const OWN = [
  "measure",
  "topic",
  "topics",
  "filter",
  "open",
  "close",
  "up",
  "down",
  "by",
  "planned",
  "group_by",
  "time",
];

/** Return a query by the name of a registered metric that is the same, if there is one: it reads no events again. */
export function byName(query: WatchQuery, registered: readonly MetricEntry[]): WatchQuery {
  const own = (one: object) => {
    const all = one as Record<string, unknown>;
    const said = (name: string) => (Array.isArray(all[name]) && all[name].length === 0 ? null : (all[name] ?? null));
    return JSON.stringify(OWN.map((name) => (name === "time" ? (all[name] ?? "recorded") : said(name))));
  };
  // Of a horizon that moves with every millisecond, panes are no help.
  const found = query.window ? registered.find((metric) => own(metric) === own(query)) : undefined;
  if (found === undefined) return query;
  const { window, last, per } = query;
  return Object.fromEntries(
    Object.entries({ metric: found.name, window, last, per }).filter(([, value]) => value != null),
  );
}
