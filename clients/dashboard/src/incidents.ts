/** What happened to components, out of events: when one went down and came back, and where those events are. Pure. */

import type { Event } from "@audit/client";
import { areTopics, type Board } from "./board.js";
import { recordedMs } from "./format.js";
import { EVERYTHING, type Shown } from "./query.js";
import type { Day } from "./uptime.js";

export const KINDS = ["up", "down", "begin", "end"] as const;
export type Kind = (typeof KINDS)[number];

/** What one event says of a component. */
export interface Change {
  readonly id: string;
  readonly index: number;
  /** When, by the board's time. */
  readonly atMs: number;
  readonly component: string;
  readonly kind: Kind;
  /** What it says for people, in `data.message` or `data.reason`. */
  readonly text: string | undefined;
}

/** Something that went on for a while: a component was down, or in planned maintenance. */
export interface Incident {
  readonly kind: "down" | "planned";
  readonly component: string;
  readonly from: Change;
  /** undefined: it goes on. */
  readonly to: Change | undefined;
}

function valueAt(event: Event, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => {
    if (value === null || typeof value !== "object") return undefined;
    return (value as Record<string, unknown>)[name];
  }, event);
}

/** Return what an event says of a component; undefined: it is of none. */
export function changeOf(event: Event, kind: Kind, board: Board): Change | undefined {
  const component = valueAt(event, board.by);
  if (component === undefined || component === null || typeof component === "object") return undefined;
  const occurred = board.time === "occurred" && event.occurred_at ? Date.parse(event.occurred_at) : Number.NaN;
  const text = [valueAt(event, "data.message"), valueAt(event, "data.reason")].find((one) => typeof one === "string");
  return {
    id: event.id,
    index: event.index,
    atMs: Number.isNaN(occurred) ? recordedMs(event.id) : occurred,
    component: String(component),
    kind,
    text: text as string | undefined,
  };
}

/** Return changes in the order in which they count. */
export function inOrder(changes: readonly Change[]): Change[] {
  return [...changes].sort((one, other) => one.atMs - other.atMs || one.index - other.index);
}

/** Return each component's changes, in the order in which they count. */
export function byComponent(changes: readonly Change[]): Map<string, Change[]> {
  const found = new Map<string, Change[]>();
  for (const change of inOrder(changes)) {
    const own = found.get(change.component);
    if (own === undefined) found.set(change.component, [change]);
    else own.push(change);
  }
  return found;
}

/** What is so with one component, event by event. */
interface Course {
  /** That it is down. */
  down: Change | undefined;
  /** Places of what goes on. */
  readonly open: { down?: number; planned?: number };
}

/**
 * Return what went on, newest first, of changes in any order. A component that is down in its planned maintenance is
 * none but that; one that is still down after it, is from then on.
 */
export function incidentsOf(changes: readonly Change[]): Incident[] {
  const found: Incident[] = [];
  const courses = new Map<string, Course>();
  for (const change of inOrder(changes)) {
    const { component, kind } = change;
    const course = courses.get(component) ?? { down: undefined, open: {} };
    courses.set(component, course);
    const begin = (what: Incident["kind"], from: Change) => {
      if (course.open[what] !== undefined) return;
      course.open[what] = found.length;
      found.push({ kind: what, component, from, to: undefined });
    };
    const end = (what: Incident["kind"]) => {
      const at = course.open[what];
      if (at !== undefined) found[at] = { ...(found[at] as Incident), to: change };
      delete course.open[what];
    };
    if (kind === "begin") begin("planned", change);
    else if (kind === "end") end("planned");
    else if (kind === "up") end("down");
    if (kind === "up") course.down = undefined;
    if (kind === "down") course.down ??= change;
    if (course.down !== undefined && course.open.planned === undefined) {
      begin("down", { ...change, text: course.down.text });
    }
  }
  return found.reverse();
}

function topicOf(board: Board, component: string): readonly string[] {
  return areTopics(board) ? [...board.topic, component] : board.topic;
}

/** Return the events that were recorded from one to another, of a component. */
function between(board: Board, component: string, ids: readonly string[], last: boolean): Shown {
  const times = ids.map(recordedMs);
  return {
    ...EVERYTHING,
    topic: topicOf(board, component),
    from: new Date(Math.min(...times)).toISOString(),
    // The bound itself is left out.
    to: last ? new Date(Math.max(...times) + 1).toISOString() : undefined,
  };
}

/** Return the events behind an incident, with the first of them in full. */
export function incidentShown(board: Board, incident: Incident): Shown {
  const ids = [incident.from.id, ...(incident.to ? [incident.to.id] : [])];
  return { ...between(board, incident.component, ids, incident.to !== undefined), event: incident.from.id };
}

/**
 * Return the events behind a component's day: from the first that changed something to the last, the worst of them in
 * full. Of a day on which nothing changed, the one that had made it so. `changes` are the component's, in order.
 */
export function dayShown(board: Board, component: string, day: Day, changes: readonly Change[]): Shown {
  const own = changes.filter((change) => change.atMs < day.endMs);
  const within = own.filter((change) => change.atMs >= day.startMs);
  if (within.length > 0) {
    const worst = (["down", "begin", "up", "end"] as const).flatMap((kind) =>
      within.filter((one) => one.kind === kind),
    );
    const ids = within.map((change) => change.id);
    return { ...between(board, component, ids, true), event: worst[0]?.id };
  }
  const before = own.at(-1);
  if (before !== undefined) return { ...EVERYTHING, topic: topicOf(board, component), event: before.id };
  return {
    ...EVERYTHING,
    topic: topicOf(board, component),
    from: new Date(day.startMs).toISOString(),
    to: new Date(day.endMs).toISOString(),
  };
}
