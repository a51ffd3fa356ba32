/**
 * The parts of a JSON text as they stand in it, to the byte: what was parsed and written again has another hash.
 *
 * For texts that `JSON.parse` takes; of members with one name the last counts, as it does there.
 */

/** Return the members of the object that a text is, each as its text. */
export function members(text: string): Map<string, string> {
  const found = new Map<string, string>();
  each(text, (at) => {
    const end = skip(text, at);
    const from = spaces(text, spaces(text, end) + 1);
    const to = skip(text, from);
    found.set(JSON.parse(text.slice(at, end)) as string, text.slice(from, to));
    return to;
  });
  return found;
}

/** Return the elements of the array that a text is, each as its text. */
export function elements(text: string): string[] {
  const found: string[] = [];
  each(text, (at) => {
    const to = skip(text, at);
    found.push(text.slice(at, to));
    return to;
  });
  return found;
}

/** Return the stored texts of the events in a frame's `result` or `params`; undefined: it has none. */
export function storedEvents(frame: string, part: "result" | "params"): string[] | undefined {
  const events = members(members(frame).get(part) ?? "{}").get("events");
  return events === undefined ? undefined : elements(events);
}

/** Call with the place of each thing between a text's brackets; it returns where that ends. */
function each(text: string, take: (at: number) => number): void {
  let at = spaces(text, spaces(text, 0) + 1);
  while (at < text.length && !"]}".includes(text[at] ?? "]")) {
    at = spaces(text, take(at));
    if (text[at] === ",") at = spaces(text, at + 1);
  }
}

function spaces(text: string, at: number): number {
  let next = at;
  while (" \n\r\t".includes(text[next] ?? "-")) next += 1;
  return next;
}

/** Return where the value that starts here ends. */
function skip(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return skipString(text, start);
  const marks = first === "{" || first === "[" ? /["{}[\]]/g : /[,\]}\s]|$/g;
  marks.lastIndex = start;
  for (let depth = 0; ; ) {
    const mark = marks.exec(text);
    if (mark === null) return text.length;
    if (first !== "{" && first !== "[") return mark.index;
    if (mark[0] === '"') marks.lastIndex = skipString(text, mark.index);
    else depth += mark[0] === "{" || mark[0] === "[" ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
}

function skipString(text: string, start: number): number {
  for (let at = start; ; ) {
    at = text.indexOf('"', at + 1);
    if (at < 0) return text.length;
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return at + 1;
  }
}
