/** Proofs that one event is in the log: its stored bytes lead to the root that a checkpoint names (RFC 6962). */

import { type Checkpoint, parseCheckpoint } from "./checkpoints.js";
import { HashMismatch } from "./errors.js";
import { decodeHash, encodeBase64 } from "./hashing.js";
import { leafHash, placeOf } from "./leaves.js";
import { inclusionRoot } from "./trees.js";
import type { InclusionResult } from "./wire.js";

/** What was found true on the way from an event to a checkpoint; hashes are in base64. */
export interface Verified {
  readonly leaf: string;
  readonly path: number;
  readonly root: string;
  readonly checkpoint: Checkpoint;
}

/**
 * Return how an event's stored text leads to the root of a checkpoint, whose signature is not checked here.
 *
 * `text` is what `GET /v1/events/ID` answers, to the byte: what was parsed and written again has other hashes. Throws
 * `HashMismatch` when it does not lead there, `ProofMalformed` when something has not the form that it should, and an
 * `AuditError` when this platform can't hash.
 */
export async function verifyInclusion(text: string, proof: InclusionResult): Promise<Verified> {
  const checkpoint = parseCheckpoint(proof.checkpoint);
  const { index } = placeOf(text);
  if (index !== proof.index) throw new HashMismatch(`event ${index}`, `its proof is that of event ${proof.index}`);
  const leaf = await leafHash(text);
  if (encodeBase64(leaf) !== proof.leaf_hash)
    throw new HashMismatch(`event ${index}`, "its bytes are not those that the log has");
  const root = encodeBase64(await inclusionRoot(leaf, index, checkpoint.size, proof.hashes.map(decodeHash)));
  if (root !== checkpoint.root)
    throw new HashMismatch(`event ${index}`, `is not the one that the checkpoint of size ${checkpoint.size} covers`);
  return { leaf: encodeBase64(leaf), path: proof.hashes.length, root, checkpoint };
}
