/** Keys as `audit key new` makes them, without starting it. */

import { createHash, generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";

const LOG = 1;
export const WITNESS = 4;
const ORIGIN = "example.com/audit";

/** Return the public half of a new key; the other half is in a file of this name. */
export async function newKey(file: string, type = LOG): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const [secret, open] = [
    privateKey.export({ format: "der", type: "pkcs8" }),
    publicKey.export({ format: "der", type: "spki" }),
  ].map((der) => Buffer.concat([Uint8Array.of(type), der.subarray(-32)])) as [Buffer, Buffer];
  const id = createHash("sha256").update(`${ORIGIN}\n`).update(open).digest("hex").slice(0, 8);
  await writeFile(file, `PRIVATE+KEY+${ORIGIN}+${id}+${secret.toString("base64")}\n`, { mode: 0o600 });
  return `${ORIGIN}+${id}+${open.toString("base64")}`;
}
