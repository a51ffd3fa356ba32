/**
 * Signed notes of C2SP and the keys that sign them, Ed25519 only: text, a blank line, signature lines. Nothing of the text
 * is to be trusted before `checkNote`.
 */

import { AuditError, ProofMalformed, SignatureInvalid, WrongKey, WrongOrigin } from "./errors.js";
import { type Bytes, decodeBase64, sameBytes, sha256, subtle, utf8 } from "./hashing.js";

const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;
const KEY_ID_BYTES = 4;
const PUBLIC_BYTES = 32;
/** Signs a note's text: a log's key. A witness' (4) signs a time, too, and is none to check a log with. */
const ED25519 = 1;
const WITNESS = 4;
const DASH = "\u2014 ";
const NAME = /^[^\s+\p{C}\p{Z}]+$/u;
const PUBLIC = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/;
const ROTATION_HEAD = "audit key rotation v1";

/** Whose signature to trust. */
export interface VerifierKey {
  readonly name: string;
  /** The four bytes by which a signature names its key. */
  readonly id: Bytes;
  /** Its public form, one line. */
  readonly text: string;
  readonly imported: CryptoKey;
}

/** A text and its signatures, none of them checked. */
export interface Note {
  /** With the end of its last line. */
  readonly text: string;
  readonly signatures: readonly { readonly name: string; readonly id: Bytes; readonly signature: Bytes }[];
}

/** Return the log's key of its public form, `NAME+ID+BASE64`, or throw `ProofMalformed`. */
export async function parseKey(text: string): Promise<VerifierKey> {
  const [, name = "", id = "", encoded = ""] = PUBLIC.exec(text) ?? [];
  if (!NAME.test(name)) throw new ProofMalformed("public key", "must have the form NAME+ID+BASE64");
  const raw = decodeBase64(encoded, "public key");
  if ((raw[0] !== ED25519 && raw[0] !== WITNESS) || raw.length !== 1 + PUBLIC_BYTES)
    throw new ProofMalformed("public key", "must be an Ed25519 key, of type 1 (logs) or 4 (witnesses)");
  const own = (await sha256(utf8(`${name}\n`), raw)).slice(0, KEY_ID_BYTES);
  if (hex(own) !== id) throw new ProofMalformed("public key", `has the id ${id}, should have ${hex(own)}`);
  if (raw[0] !== ED25519) throw new ProofMalformed("public key", "must be a log's, is a witness'");
  const imported = await subtle()
    .importKey("raw", raw.slice(1), "Ed25519", false, ["verify"])
    .catch((cause) => {
      throw new AuditError("this platform can't check Ed25519 signatures", { cause });
    });
  return { name, id: own, text, imported };
}

/** Return a note, its signatures unchecked, or throw `ProofMalformed`. */
export function parseNote(encoded: string): Note {
  if (/\p{Cs}/u.test(encoded)) throw new ProofMalformed("note", "must be text that UTF-8 can hold");
  if (encoded.length > MAX_NOTE_BYTES || utf8(encoded).length > MAX_NOTE_BYTES)
    throw new ProofMalformed("note", `must have at most ${MAX_NOTE_BYTES} bytes`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is they that are refused
  if (/[\0-\x09\x0b-\x1f]/.test(encoded)) throw new ProofMalformed("note", "must not have control characters");
  const blank = encoded.lastIndexOf("\n\n");
  if (blank < 0 || !encoded.endsWith("\n") || blank + 2 === encoded.length)
    throw new ProofMalformed(
      "note",
      "must be lines of text, a blank line and signature lines: is it signed, and whole?",
    );
  const lines = encoded.slice(blank + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES)
    throw new ProofMalformed("note", `must have at most ${MAX_SIGNATURES} signatures, has ${lines.length}`);
  return { text: encoded.slice(0, blank + 1), signatures: lines.map(parseLine) };
}

function parseLine(line: string): Note["signatures"][number] {
  const space = line.indexOf(" ", DASH.length);
  const name = line.slice(DASH.length, space);
  if (!line.startsWith(DASH) || space < 0 || !NAME.test(name))
    throw new ProofMalformed("signature", "must be a dash, a key's name and base64, with a space between");
  const raw = decodeBase64(line.slice(space + 1), "signature");
  if (raw.length <= KEY_ID_BYTES) throw new ProofMalformed("signature", "is too short");
  return { name, id: raw.slice(0, KEY_ID_BYTES), signature: raw.slice(KEY_ID_BYTES) };
}

/**
 * Check that one at least of these keys signed a note. Signatures of others are ignored: a note may bear some by keys that
 * its reader never heard of.
 *
 * Throws `SignatureInvalid` (a line has the name and the id of one of the keys, which did not sign this) or `WrongKey`.
 */
export async function checkNote(note: Note, keys: readonly VerifierKey[]): Promise<void> {
  const message = utf8(note.text);
  let signed = false;
  for (const { name, id, signature } of note.signatures) {
    for (const key of keys) {
      if (name !== key.name || !sameBytes(id, key.id)) continue;
      if (!(await subtle().verify("Ed25519", key.imported, signature, message)))
        throw new SignatureInvalid("signature", `is not one by ${key.name} of this text`);
      signed = true;
    }
  }
  if (signed) return;
  const [borne, asked] = [note.signatures, keys].map((some) =>
    some.map((one) => `${one.name}+${hex(one.id)}`).join(", "),
  );
  throw new WrongKey("signature", `is by ${borne}; trusted is ${asked}`);
}

/**
 * Return the keys to trust, given one that is trusted and the statements by which others took its place, in their order.
 *
 * Throws `ProofMalformed`, `WrongOrigin`, `WrongKey` or `SignatureInvalid`: one is no such statement, of another log, or
 * not signed by both keys.
 */
export async function followRotations(key: VerifierKey, statements: readonly string[]): Promise<VerifierKey[]> {
  const trusted = [key];
  let newest = key;
  for (const statement of statements) {
    const note = parseNote(statement);
    const lines = note.text.split("\n");
    const [head, origin, from, to = ""] = lines;
    if (lines.length !== 5 || head !== ROTATION_HEAD)
      throw new ProofMalformed("rotation", `must have 4 lines, the first \`${ROTATION_HEAD}\``);
    if (origin !== key.name) throw new WrongOrigin("rotation", `is of the log '${origin}', not of '${key.name}'`);
    if (from !== newest.text) throw new WrongKey("rotation", `is from the key ${from}; trusted is ${newest.text}`);
    const next = await parseKey(to);
    // Each must have signed: the old one hands over, the new one shows that somebody holds it.
    for (const one of [newest, next]) await checkNote(note, [one]);
    trusted.push(next);
    newest = next;
  }
  return trusted;
}

/** Return the text with which a message says what bytes it means. */
function hex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
