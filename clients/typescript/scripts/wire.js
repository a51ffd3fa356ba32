// The types of all messages, from the schemas in proto/: `npm run wire` writes them, a test compares.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const SCHEMAS = new URL("../../../proto/schemas/", import.meta.url);
export const FILE = new URL("../src/wire.ts", import.meta.url);

/** Return the module's text. */
export async function wireTypes() {
  const names = readdirSync(SCHEMAS)
    .map((file) => file.replace(/\.json$/, ""))
    // Whole frames: the client writes and reads their envelopes itself.
    .filter((name) => !name.endsWith("Frame"))
    .sort();
  const $defs = {};
  for (const name of names) {
    const { $schema: _, ...schema } = JSON.parse(readFileSync(new URL(`${name}.json`, SCHEMAS), "utf8"));
    $defs[name] = linked(schema);
  }
  const all = { title: "Wire", type: "object", $defs, properties: {}, additionalProperties: false };
  const text = await compile(all, "Wire", {
    additionalProperties: false,
    bannerComment: "// What goes over the wire, from proto/schemas by `npm run wire`. Not to be edited.",
    ignoreMinAndMaxItems: true,
    unreachableDefinitions: true,
    format: true,
    style: { printWidth: 120 },
  });
  return text
    .replace("export interface Wire {}\n", "")
    .replace(
      /( \*\n)? \* This interface was referenced by `Wire`'s JSON-Schema\n \* via the `definition` ".*"\.\n/g,
      "",
    );
}

const SAYING = ["$ref", "type", "anyOf", "enum", "const", "properties"];

/** Return a schema with its references into this one; a member of which nothing is said may be anything. */
function linked(value) {
  if (Array.isArray(value)) return value.map(linked);
  if (value === null || typeof value !== "object") return value;
  // Of so many members and no more, which the compiler knows by an older name.
  if (value.prefixItems !== undefined && value.items === false) {
    const { prefixItems, items: _, ...rest } = value;
    return { ...rest, items: linked(prefixItems), additionalItems: false };
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key,
      key === "$ref" ? `#/$defs/${one.replace(/\.json$/, "")}` : key === "properties" ? members(one) : linked(one),
    ]),
  );
}

function members(properties) {
  return Object.fromEntries(
    Object.entries(properties).map(([name, one]) => [
      name,
      SAYING.some((key) => key in one) ? linked(one) : { ...one, tsType: "unknown" },
    ]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(FILE, await wireTypes());
}
