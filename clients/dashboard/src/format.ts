/** How values are written for people. Pure. */

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Return the milliseconds that an event's id begins with: when it was recorded. */
export function recordedMs(id: string): number {
  let value = 0;
  for (const letter of id.slice(0, 10)) value = value * 32 + ALPHABET.indexOf(letter);
  return value;
}

const pad = (value: number, digits = 2) => String(value).padStart(digits, "0");

/** Return a time of the reader's own zone. */
export function timeText(ms: number): string {
  const at = new Date(ms);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

/** The same to the second. */
export function momentText(ms: number): string {
  return timeText(ms).slice(0, -4);
}

/** Return a time as an input of the kind `datetime-local` has it, or "". */
export function inputTime(iso: string | undefined): string {
  return iso === undefined ? "" : timeText(Date.parse(iso)).replace(" ", "T").slice(0, 19);
}

export function countText(count: number): string {
  return count.toLocaleString("en-US");
}

export function topicText(topic: readonly string[]): string {
  return topic.join("/");
}

export function someText(who: { type: string; id: string; name?: string | null } | undefined): string {
  return who === undefined ? "" : (who.name ?? who.id);
}

/** Return a length of time by its two greatest units. */
export function spanText(seconds: number): string {
  const units: [string, number][] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  let left = Math.round(seconds);
  const found: string[] = [];
  for (const [n, [name, length]] of units.entries()) {
    // Whole units; of the second one, what comes after it is left out.
    const count = Math.floor(left / length);
    left -= count * length;
    if (count > 0) found.push(`${count} ${name}`);
    if (found.length > 0 && (found.length === 2 || (count === 0 && n > 0))) break;
  }
  return found.join(" ") || "0 s";
}
