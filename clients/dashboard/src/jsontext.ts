/** JSON text as lines of coloured words. The text's own numbers and order stay as they are: it is never parsed. Pure. */

export type Kind = "key" | "string" | "number" | "word" | "mark";
export interface Word {
  readonly kind: Kind;
  readonly text: string;
}
export interface Line {
  readonly indent: number;
  readonly words: readonly Word[];
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[^\s,\]}]*)|(true|false|null)|([[\]{},])/g;

/** Return the lines of one JSON value, indented, `{}` and `[]` on one. */
export function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  let words: Word[] = [];
  let depth = 0;
  let indent = 0;
  const end = () => {
    if (words.length > 0) lines.push({ indent, words });
    words = [];
    indent = depth;
  };
  for (const [, string, colon, number, word, mark] of text.matchAll(TOKEN)) {
    if (string !== undefined) {
      words.push({ kind: colon === undefined ? "string" : "key", text: string });
      if (colon !== undefined) words.push({ kind: "mark", text: ": " });
    } else if (number !== undefined) words.push({ kind: "number", text: number });
    else if (word !== undefined) words.push({ kind: "word", text: word });
    else if (mark === ",") {
      words.push({ kind: "mark", text: "," });
      end();
    } else if (mark === "{" || mark === "[") {
      words.push({ kind: "mark", text: mark });
      depth += 1;
      end();
    } else {
      depth -= 1;
      const last = lines.at(-1);
      const opener = last?.words.at(-1)?.text;
      if (words.length === 0 && last !== undefined && (opener === "{" || opener === "[")) {
        // Nothing in between.
        lines.pop();
        words = [...last.words];
        indent = last.indent;
      } else {
        end();
        indent = depth;
      }
      words.push({ kind: "mark", text: mark ?? "" });
    }
  }
  end();
  return lines;
}

/** Return lines as text. */
export function textOf(lines: readonly Line[]): string {
  return lines.map((line) => "  ".repeat(line.indent) + line.words.map((word) => word.text).join("")).join("\n");
}

export interface Change {
  readonly kind: "same" | "removed" | "added";
  readonly line: Line;
}

/** Return how one text becomes another, by lines: the fewest that are removed and added. */
export function differenceOf(before: readonly Line[], after: readonly Line[]): Change[] {
  // A comma at the end says where a line stands, and not what it says.
  const key = (line: Line | undefined) => (line === undefined ? "" : textOf([line]).replace(/,$/, ""));
  const one = before.map(key);
  const other = after.map(key);
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start += 1;
  let ends = 0;
  while (ends < one.length - start && ends < other.length - start && one.at(-1 - ends) === other.at(-1 - ends))
    ends += 1;
  const rows = one.length - start - ends;
  const columns = other.length - start - ends;
  // Lengths of the longest common subsequences of what remains from each place on.
  const longest = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
  const at = (row: number, column: number) => longest[row]?.[column] ?? 0;
  for (let row = rows - 1; row >= 0; row -= 1) {
    for (let column = columns - 1; column >= 0; column -= 1) {
      const same = one[start + row] === other[start + column];
      const found = same ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
      (longest[row] as Uint16Array)[column] = found;
    }
  }
  const changes: Change[] = after.slice(0, start).map((line) => ({ kind: "same", line }));
  let row = 0;
  let column = 0;
  while (row < rows || column < columns) {
    const old = before[start + row];
    const now = after[start + column];
    if (row < rows && column < columns && one[start + row] === other[start + column] && now) {
      changes.push({ kind: "same", line: now });
      row += 1;
      column += 1;
    } else if (row < rows && (column >= columns || at(row + 1, column) >= at(row, column + 1)) && old) {
      changes.push({ kind: "removed", line: old });
      row += 1;
    } else if (now) {
      changes.push({ kind: "added", line: now });
      column += 1;
    }
  }
  for (const line of after.slice(after.length - ends)) changes.push({ kind: "same", line });
  return changes;
}
