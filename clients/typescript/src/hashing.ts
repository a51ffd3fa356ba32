/**
 * SHA-256 as trees of events use it (RFC 6962), and base64 in its one spelling.
 *
 * Hashing is the platform's (WebCrypto), which pages have over TLS and from the machine itself.
 */

import { AuditError, ProofMalformed } from "./errors.js";

export type Bytes = Uint8Array<ArrayBuffer>;

export const HASH_BYTES = 32;

/** Return the platform's cryptography, or throw an `AuditError`: it is kept from pages without TLS. */
export function subtle(): SubtleCrypto {
  if (globalThis.crypto?.subtle === undefined)
    throw new AuditError("a page can check hashes only over TLS, or on the server's own machine");
  return crypto.subtle;
}

export async function sha256(...parts: Bytes[]): Promise<Bytes> {
  return new Uint8Array(await subtle().digest("SHA-256", join(parts)));
}

/** Return the hash of a node above two hashes. */
export function hashNode(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(Uint8Array.of(1), left, right);
}

export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

export function sameBytes(one: Bytes, other: Bytes): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

export function encodeBase64(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes));
}

/** Return the bytes of standard base64, padded; one value has one spelling. Throws `ProofMalformed`. */
export function decodeBase64(text: string, subject: string): Bytes {
  let bytes: Bytes;
  try {
    bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch (cause) {
    throw new ProofMalformed(subject, "is not base64", { cause });
  }
  if (encodeBase64(bytes) !== text) throw new ProofMalformed(subject, "is not base64 in its one spelling");
  return bytes;
}

/** Return the hash of its base64, or throw `ProofMalformed`. */
export function decodeHash(text: string): Bytes {
  const bytes = decodeBase64(text, "proof: hash");
  if (bytes.length !== HASH_BYTES) throw new ProofMalformed("hashes", `must have ${HASH_BYTES} bytes each`);
  return bytes;
}

export function join(parts: readonly Bytes[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
