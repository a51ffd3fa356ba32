/** An event's stored text: where it stands in the log, and its leaf in the log's tree, the same before and after it is erased. */

import { ProofMalformed } from "./errors.js";
import { type Bytes, decodeBase64, HASH_BYTES, sha256, utf8 } from "./hashing.js";

const SALT = ',"salt":"';
const ERASED = /^([\s\S]+),"payload_hash":"([A-Za-z0-9_-]{43})"\}$/;
const START = /^\{"id":"([0-9A-Z]{26})","index":(0|[1-9]\d{0,15}),/;

/** Return id and index of an event by its stored text, which starts with them; or throw `ProofMalformed`. */
export function placeOf(text: string): { readonly id: string; readonly index: number } {
  const [, id, index] = START.exec(text) ?? [];
  if (id === undefined || index === undefined) throw new ProofMalformed("event", "does not say its index");
  return { id, index: Number(index) };
}

/** Return the hash of an event's leaf: of its header, and of its payload's hash, which an erased event still has. */
export async function leafHash(text: string): Promise<Bytes> {
  const cut = text.indexOf(SALT);
  if (cut >= 0) return sha256(Uint8Array.of(0), utf8(text.slice(0, cut)), await sha256(utf8(text.slice(cut))));
  const [, header, kept] = ERASED.exec(text) ?? [];
  if (header === undefined || kept === undefined)
    throw new ProofMalformed("event", "has neither a payload nor a payload's hash");
  const digest = decodeBase64(`${kept.replaceAll("-", "+").replaceAll("_", "/")}=`, "event: payload's hash");
  if (digest.length !== HASH_BYTES) throw new ProofMalformed("event", "its payload's hash is not of 32 bytes");
  return sha256(Uint8Array.of(0), utf8(header), digest);
}
