/** Checkpoints of C2SP: origin, size and root of a log, signed by it. What is kept and sent is their note. */

import { CheckpointBehind, HistoryForked, ProofMalformed, WrongKey, WrongOrigin } from "./errors.js";
import { type Bytes, decodeBase64, HASH_BYTES } from "./hashing.js";
import { checkNote, parseNote, type VerifierKey } from "./notes.js";
import { verifyConsistency } from "./trees.js";

const SIZE = /^(0|[1-9]\d{0,15})$/;

/** Root of the tree without leaves: the SHA-256 of nothing. */
const EMPTY_ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

/** What a checkpoint says; who signed it is in its text. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  /** In base64. */
  readonly root: string;
  /** Names of those who signed it; none: the log has no key. Signatures are not checked here. */
  readonly signers: readonly string[];
}

/** Return what a checkpoint's text says, signed or not, or throw `ProofMalformed`. Nothing to trust. */
export function parseCheckpoint(text: string): Checkpoint {
  if (!text.includes("\n\n")) return parseBody(text, []);
  const note = parseNote(text);
  return parseBody(
    note.text,
    note.signatures.map((signature) => signature.name),
  );
}

/**
 * Return the checkpoint of a note once one of these keys is found to have signed it.
 *
 * Throws `ProofMalformed`, `WrongKey` (it is signed by others, or by nobody), `SignatureInvalid` or `WrongOrigin`.
 */
export async function openCheckpoint(note: string, keys: readonly VerifierKey[], origin: string): Promise<Checkpoint> {
  if (!note.includes("\n\n")) {
    parseBody(note, []);
    throw new WrongKey("checkpoint", "is not signed: the log runs without a key");
  }
  await checkNote(parseNote(note), keys);
  const checkpoint = parseCheckpoint(note);
  if (checkpoint.origin !== origin)
    throw new WrongOrigin("checkpoint", `is of the log '${checkpoint.origin}', not of '${origin}'`);
  return checkpoint;
}

/**
 * Check that one checkpoint goes on from another that was trusted before, given the consistency proof.
 *
 * Throws `WrongOrigin`, `CheckpointBehind` (it covers fewer events), `HistoryForked` or `ProofMalformed`.
 */
export async function verifyNewer(trusted: Checkpoint, newer: Checkpoint, hashes: readonly Bytes[]): Promise<void> {
  if (newer.origin !== trusted.origin)
    throw new WrongOrigin("checkpoint", `is of the log '${newer.origin}', not of '${trusted.origin}'`);
  if (newer.size < trusted.size)
    throw new CheckpointBehind("checkpoint", `covers ${newer.size} events; ${trusted.size} were there before`);
  if (newer.size === trusted.size && newer.root !== trusted.root) {
    throw new HistoryForked(`checkpoint of size ${newer.size}`, "has another root than the trusted one of this size");
  }
  await verifyConsistency(trusted.size, rootOf(trusted), newer.size, rootOf(newer), hashes);
}

/** Return a checkpoint's root. */
export function rootOf(checkpoint: Checkpoint): Bytes {
  return decodeBase64(checkpoint.root, "checkpoint: root");
}

function parseBody(body: string, signers: readonly string[]): Checkpoint {
  const lines = body.split("\n");
  const [origin = "", size = "", root = ""] = lines;
  if (lines.pop() !== "" || lines.length < 3 || lines.includes(""))
    throw new ProofMalformed("checkpoint", "must be lines of origin, size and root");
  if (!SIZE.test(size) || Number(size) > Number.MAX_SAFE_INTEGER)
    throw new ProofMalformed("checkpoint", `must have a size of 0 to ${Number.MAX_SAFE_INTEGER} in its second line`);
  if (decodeBase64(root, "checkpoint: root").length !== HASH_BYTES)
    throw new ProofMalformed("checkpoint", `must have a root of ${HASH_BYTES} bytes`);
  if (size === "0" && root !== EMPTY_ROOT)
    throw new ProofMalformed("checkpoint", "has no event, but not the root of the empty tree");
  return { origin, size: Number(size), root, signers };
}
