/**
 * Proofs that an event is in the log: its stored bytes lead to the root that a checkpoint names (RFC 6962).
 *
 * Hashing is the platform's (WebCrypto), which pages have over TLS and from the machine itself.
 */

import { AuditError, TamperDetected } from "./errors.js";
import type { InclusionResult } from "./wire.js";

type Bytes = Uint8Array<ArrayBuffer>;

const SALT = ',"salt":"';
const ERASED = /^([\s\S]*),"payload_hash":"([A-Za-z0-9_-]{43})"\}$/;
const HASH_BYTES = 32;

/** What a checkpoint says; who signed it is in its text. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  /** In base64. */
  readonly root: string;
  /** Names of those who signed it; none: the log has no key. Signatures are not checked here. */
  readonly signers: readonly string[];
}

/** What was found true on the way from an event to a checkpoint; hashes are in base64. */
export interface Verified {
  readonly leaf: string;
  readonly path: number;
  readonly root: string;
  readonly checkpoint: Checkpoint;
}

/**
 * Return how an event's stored text leads to the root of a checkpoint.
 *
 * `text` is what `GET /v1/events/ID` answers, to the byte: what was parsed and written again has other hashes. Throws
 * `TamperDetected` when it does not lead there, and an `AuditError` when this platform can't hash.
 */
export async function verifyInclusion(text: string, proof: InclusionResult): Promise<Verified> {
  const checkpoint = parseCheckpoint(proof.checkpoint);
  const told = (JSON.parse(text) as { index?: unknown }).index;
  if (told !== proof.index) throw new TamperDetected(`the event says index ${told}, its proof ${proof.index}`);
  const leaf = await leafHash(text);
  if (encode(leaf) !== proof.leaf_hash)
    throw new TamperDetected(`event ${told}: its bytes are not those that the log has`);
  const root = encode(await rootOf(proof.index, checkpoint.size, leaf, proof.hashes.map(decode)));
  if (root !== checkpoint.root)
    throw new TamperDetected(`event ${told}: the path does not lead to the checkpoint's root`);
  return { leaf: encode(leaf), path: proof.hashes.length, root, checkpoint };
}

/** Return what a checkpoint's text says, or throw `TamperDetected`. */
export function parseCheckpoint(note: string): Checkpoint {
  const [body = "", signatures = ""] = note.split("\n\n", 2);
  const [origin, size, root] = body.split("\n");
  if (!origin || !/^(0|[1-9]\d*)$/.test(size ?? "") || decode(root ?? "").length !== HASH_BYTES) {
    throw new TamperDetected("what should be a checkpoint is none");
  }
  const signers = [...signatures.matchAll(/^— (\S+) \S+$/gm)].map(([, name]) => name ?? "");
  return { origin, size: Number(size), root: root ?? "", signers };
}

/** Return the hash of an event's leaf: of its header, and of its payload's hash, which an erased event still has. */
export async function leafHash(text: string): Promise<Bytes> {
  const erased = ERASED.exec(text);
  const cut = text.indexOf(SALT);
  if (erased !== null && cut < 0) {
    const kept = decode((erased[2] ?? "").replaceAll("-", "+").replaceAll("_", "/"));
    return sha256(Uint8Array.of(0), utf8(erased[1] ?? ""), kept);
  }
  if (cut < 0) throw new TamperDetected("an event without its salt");
  return sha256(Uint8Array.of(0), utf8(text.slice(0, cut)), await sha256(utf8(text.slice(cut))));
}

/** Return the root that a leaf and its path lead to in a tree of so many leaves; RFC 9162, 2.1.3.2. */
async function rootOf(index: number, size: number, leaf: Bytes, path: readonly Bytes[]): Promise<Bytes> {
  if (!(index < size)) throw new TamperDetected(`the checkpoint's ${size} events do not have one with index ${index}`);
  let [at, last, root] = [index, size - 1, leaf];
  const up = () => {
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  };
  for (const hash of path) {
    if (last === 0) throw new TamperDetected("the path is too long");
    if (at % 2 === 1 || at === last) {
      root = await node(hash, root);
      while (at % 2 === 0 && at !== 0) up();
    } else root = await node(root, hash);
    up();
  }
  if (last !== 0) throw new TamperDetected("the path is too short");
  return root;
}

function node(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(Uint8Array.of(1), left, right);
}

async function sha256(...parts: Bytes[]): Promise<Bytes> {
  if (globalThis.crypto?.subtle === undefined)
    throw new AuditError("a page can check hashes only over TLS, or on the server's own machine");
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all));
}

function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

function encode(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes));
}

function decode(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch (cause) {
    throw new TamperDetected("a hash that is no base64", { cause });
  }
}
