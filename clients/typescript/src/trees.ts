/**
 * From leaves to roots: what proofs of inclusion, of consistency (RFC 9162, 2.1.3.2 and 2.1.4.2) and of selections lead to.
 *
 * Invariant: how a tree is cut, and how many hashes there must be, is computed from places and sizes alone; nothing that
 * was sent decides it. Sizes go up to 2^53, where `>>` does not.
 */

import { HistoryForked, ProofMalformed } from "./errors.js";
import { type Bytes, HASH_BYTES, hashNode, sameBytes, sha256 } from "./hashing.js";

/** Return the root that an inclusion proof leads to, or throw `ProofMalformed`. */
export async function inclusionRoot(
  leaf: Bytes,
  index: number,
  size: number,
  hashes: readonly Bytes[],
): Promise<Bytes> {
  if (!(index >= 0 && index < size)) {
    throw new ProofMalformed("index", `must be below the tree's size, ${size}, is ${index}`);
  }
  const sides = lefts(index, size - 1);
  count(hashes, sides.length);
  let found = leaf;
  for (const [n, left] of sides.entries()) {
    const beside = hashes[n] as Bytes;
    found = await (left ? hashNode(beside, found) : hashNode(found, beside));
  }
  return found;
}

/**
 * Check that the tree of `size` leaves starts with all leaves of the one of `oldSize`.
 *
 * Throws `HistoryForked` (the two tell different histories) or `ProofMalformed`.
 */
export async function verifyConsistency(
  oldSize: number,
  oldRoot: Bytes,
  size: number,
  root: Bytes,
  hashes: readonly Bytes[],
): Promise<void> {
  if (!(oldSize >= 0 && oldSize <= size)) throw new ProofMalformed("size", `must be at least ${oldSize}, is ${size}`);
  const forked = `does not go on from the trusted one of size ${oldSize}`;
  if (oldSize === 0 || oldSize === size) {
    count(hashes, 0);
    const expected = oldSize === 0 ? await sha256() : root;
    if (!sameBytes(oldRoot, expected)) throw new HistoryForked(`checkpoint of size ${size}`, forked);
    return;
  }
  // The highest node whose subtree the old tree ends with. If it is all of the old tree, its hash is the old root, which
  // the verifier has.
  let width = 1;
  while (oldSize % (2 * width) === 0) width *= 2;
  const whole = oldSize === width;
  const sides = lefts(Math.floor((oldSize - 1) / width), Math.floor((size - 1) / width));
  count(hashes, sides.length + (whole ? 0 : 1));
  const path = whole ? hashes : hashes.slice(1);
  let old = whole ? oldRoot : (hashes[0] as Bytes);
  let found = old;
  for (const [n, left] of sides.entries()) {
    const beside = path[n] as Bytes;
    // What stands on the left is in both trees, what stands on the right in the new one alone.
    if (left) {
      old = await hashNode(beside, old);
      found = await hashNode(beside, found);
    } else found = await hashNode(found, beside);
  }
  if (!sameBytes(old, oldRoot) || !sameBytes(found, root))
    throw new HistoryForked(`checkpoint of size ${size}`, forked);
}

/**
 * Return the root that the proof of a selection leads to: its hashes are those of all subtrees that hold no selected
 * leaf, as large as can be, from left to right. Throws `ProofMalformed`.
 */
export async function selectionRoot(
  indexes: readonly number[],
  leaves: readonly Bytes[],
  size: number,
  hashes: readonly Bytes[],
): Promise<Bytes> {
  const ascending = indexes.every((index, n) => index > (indexes[n - 1] ?? -1)) && (indexes.at(-1) ?? -1) < size;
  if (!ascending || leaves.length !== indexes.length) {
    throw new ProofMalformed("events", `must be in ascending order, and below the tree's size, ${size}`);
  }
  count(hashes, gaps(indexes, 0, size, 0, indexes.length));
  let given = 0;
  // Both sides are called before either is awaited: the hashes are taken from left to right.
  const root = async (start: number, end: number, low: number, high: number): Promise<Bytes> => {
    if (low === high) {
      given += 1;
      return hashes[given - 1] as Bytes;
    }
    if (end - start === 1) return leaves[low] as Bytes;
    const [middle, between] = split(indexes, start, end, low, high);
    const [left, right] = await Promise.all([root(start, middle, low, between), root(middle, end, between, high)]);
    return hashNode(left, right);
  };
  return size === 0 ? sha256() : root(0, size, 0, indexes.length);
}

/** Return how many subtrees without a selected leaf there are, as large as can be. */
function gaps(indexes: readonly number[], start: number, end: number, low: number, high: number): number {
  if (low === high) return end > start ? 1 : 0;
  if (high - low === end - start) return 0;
  const [middle, between] = split(indexes, start, end, low, high);
  return gaps(indexes, start, middle, low, between) + gaps(indexes, middle, end, between, high);
}

/** Return where a tree's left child ends, and how far the selected leaves below it go. */
function split(
  indexes: readonly number[],
  start: number,
  end: number,
  low: number,
  high: number,
): readonly [number, number] {
  let width = 1;
  while (2 * width < end - start) width *= 2;
  const middle = start + width;
  let [from, to] = [low, high];
  while (from < to) {
    const half = Math.floor((from + to) / 2);
    if ((indexes[half] as number) < middle) from = half + 1;
    else to = half;
  }
  return [middle, from];
}

/** Return, from a node of a row that ends with `last` up to the root, whether each hash beside it is on the left. */
function lefts(node: number, last: number): boolean[] {
  const sides: boolean[] = [];
  let [at, end] = [node, last];
  const up = () => {
    at = Math.floor(at / 2);
    end = Math.floor(end / 2);
  };
  while (end > 0) {
    const left = at % 2 === 1 || at === end;
    sides.push(left);
    // The last node of a row, when it is a left one, moves up as it is.
    if (left) while (at % 2 === 0 && at > 0) up();
    up();
  }
  return sides;
}

function count(hashes: readonly Bytes[], expected: number): void {
  if (hashes.length !== expected) throw new ProofMalformed("hashes", `must be ${expected}, are ${hashes.length}`);
  if (hashes.some((hash) => hash.length !== HASH_BYTES))
    throw new ProofMalformed("hashes", `must have ${HASH_BYTES} bytes each`);
}
