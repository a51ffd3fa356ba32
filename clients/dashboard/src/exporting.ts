/** The events of a query as one file, page after page over plain HTTP: each event as it is stored, to the byte. */

import { exportParams, type Shown } from "./query.js";

export type Format = "json" | "csv" | "ndjson";

const TYPES: Record<Format, string> = { json: "application/json", csv: "text/csv", ndjson: "application/x-ndjson" };
/** A page in memory is no place for more. `audit list --url … --all` has no such end. */
export const MOST_EVENTS = 200_000;

export interface Exported {
  readonly blob: Blob;
  readonly events: number;
  /** Whether it ends at `MOST_EVENTS`, and not where the query does. */
  readonly cut: boolean;
}

/** Fetch all events of a query; `onProgress` is called with how many there are so far. */
export async function exportEvents(
  shown: Shown,
  format: Format,
  onProgress: (events: number) => void,
  signal: AbortSignal,
): Promise<Exported> {
  const params = exportParams(shown);
  params.set("limit", "1000");
  const parts: string[] = [];
  let events = 0;
  for (;;) {
    const answer = await fetch(`./v1/events?${params}`, { headers: { accept: TYPES[format] }, signal });
    const text = await answer.text();
    if (!answer.ok) throw new Error((JSON.parse(text) as { detail: string }).detail);
    const [part, count] = partOf(text, format, parts.length === 0);
    if (part !== "") parts.push(part);
    events += count;
    onProgress(events);
    const more = answer.headers.has("link");
    if (!more || events >= MOST_EVENTS) {
      const all = format === "json" ? `[${parts.join(",\n")}]\n` : parts.join("");
      return { blob: new Blob([all], { type: TYPES[format] }), events, cut: more };
    }
    params.set("cursor", answer.headers.get("audit-cursor") ?? "");
  }
}

/** Return what one page adds to the file, and how many events that is. */
export function partOf(text: string, format: Format, first: boolean): [string, number] {
  if (format === "ndjson") return [text, text.split("\n").length - 1];
  if (format === "csv") {
    const rows = text.indexOf("\r\n") + 2;
    return [first ? text : text.slice(rows), countRows(text) - 1];
  }
  // The events are the last member, and are joined as they are stored.
  const start = text.indexOf('"events":[') + '"events":['.length;
  const part = text.slice(start, text.lastIndexOf("]"));
  return [part, (JSON.parse(`[${part}]`) as unknown[]).length];
}

/** Count the rows of CSV: line ends within quotes belong to a value. */
function countRows(text: string): number {
  let rows = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === '"') quoted = !quoted;
    else if (letter === "\n" && !quoted) rows += 1;
  }
  return rows;
}
