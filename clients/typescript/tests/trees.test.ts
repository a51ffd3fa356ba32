/** Trees against the definition of RFC 6962, by recursion; stored text against `JSON.parse`. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ProofInvalid, TamperDetected } from "../src/errors.js";
import type { Bytes } from "../src/hashing.js";
import { elements, members, storedEvents } from "../src/storedtext.js";
import { selectionRoot, verifyConsistency } from "../src/trees.js";

const sha = (...parts: Uint8Array[]): Bytes =>
  new Uint8Array(createHash("sha256").update(Buffer.concat(parts)).digest());
const leaf = (n: number, word = "x") => sha(Uint8Array.of(0), Buffer.from(`${word}${n}`));
const forest = (size: number) => Array.from({ length: size }, (_, n) => leaf(n));
const cutOf = (size: number) => 2 ** Math.floor(Math.log2(size - 1));

function root(leaves: readonly Bytes[]): Bytes {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return leaves[0] as Bytes;
  const cut = cutOf(leaves.length);
  return sha(Uint8Array.of(1), root(leaves.slice(0, cut)), root(leaves.slice(cut)));
}

/** RFC 6962, 2.1.2. */
function consistency(old: number, leaves: readonly Bytes[], whole = true): Bytes[] {
  if (old === leaves.length) return whole ? [] : [root(leaves)];
  const cut = cutOf(leaves.length);
  const [left, right] = [leaves.slice(0, cut), leaves.slice(cut)];
  return old <= cut
    ? [...consistency(old, left, whole), root(right)]
    : [...consistency(old - cut, right, false), root(left)];
}

/** The roots of all subtrees without a selected leaf, from left to right. */
function selection(chosen: ReadonlySet<number>, leaves: readonly Bytes[], from = 0): Bytes[] {
  const within = leaves.filter((_, n) => chosen.has(from + n)).length;
  if (leaves.length === 0 || within === leaves.length) return [];
  if (within === 0) return [root(leaves)];
  const cut = cutOf(leaves.length);
  return [...selection(chosen, leaves.slice(0, cut), from), ...selection(chosen, leaves.slice(cut), from + cut)];
}

const flipped = (hash: Bytes) => hash.map((byte, at) => (at === 7 ? byte ^ 1 : byte));
const sizes = fc.tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 0, max: 70 }));

test("a tree that goes on from another is found to, and no other is", async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), async ([old, more], chosen) => {
      const leaves = forest(old + more);
      const [before, now] = [root(leaves.slice(0, old)), root(leaves)];
      const hashes = consistency(old, leaves);
      await verifyConsistency(old, before, leaves.length, now, hashes);
      const others = leaves.map((hash, n) => (n === chosen % old ? leaf(n, "y") : hash));
      const check = (oldRoot: Bytes, newRoot: Bytes, proof: Bytes[]) =>
        expect(verifyConsistency(old, oldRoot, leaves.length, newRoot, proof)).rejects.toThrow(ProofInvalid);
      await check(root(others.slice(0, old)), now, hashes);
      await check(before, root(others), consistency(old, others));
      await check(before, now, [...hashes, before]);
      if (hashes.length > 0) {
        await check(before, now, hashes.slice(1));
        await check(
          before,
          now,
          hashes.map((hash, n) => (n === chosen % hashes.length ? flipped(hash) : hash)),
        );
      }
    }),
    { numRuns: 100 },
  );
});

test("a selection leads to the root with its own leaves alone, and with all its hashes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 70 }), fc.array(fc.nat(69)), fc.nat(), async (size, wanted, chosen) => {
      const indexes = [...new Set(wanted.map((index) => index % size))].sort((one, other) => one - other);
      const leaves = forest(size);
      const own = indexes.map((index) => leaves[index] as Bytes);
      const hashes = selection(new Set(indexes), leaves);
      expect(await selectionRoot(indexes, own, size, hashes)).toEqual(root(leaves));
      const broken = (proof: Bytes[]) => expect(selectionRoot(indexes, own, size, proof)).rejects.toThrow(ProofInvalid);
      await broken([...hashes, sha()]);
      if (hashes.length > 0) await broken(hashes.slice(1));
      if (indexes.length === 0) return;
      const at = chosen % indexes.length;
      const others = own.map((hash, n) => (n === at ? flipped(hash) : hash));
      expect(await selectionRoot(indexes, others, size, hashes)).not.toEqual(root(leaves));
      await expect(selectionRoot([...indexes.slice(0, -1), size], own, size, hashes)).rejects.toThrow(ProofInvalid);
      await expect(selectionRoot([...indexes, indexes[0] as number], own, size, hashes)).rejects.toThrow(ProofInvalid);
    }),
    { numRuns: 100 },
  );
});

test("sizes go beyond 32 bits", async () => {
  const [size, index] = [2 ** 40 + 3, 2 ** 33 + 1];
  const hashes = (n: number) => Array.from({ length: n }, (_, at) => leaf(at));
  // Of a perfect tree of 2^40 leaves, one beside each node on the way; then what is on the right of it.
  await expect(selectionRoot([index], [leaf(0)], size, hashes(40))).rejects.toThrow("must be 41, are 40");
  expect((await selectionRoot([index], [leaf(0)], size, hashes(41))).length).toBe(32);
  await expect(verifyConsistency(2 ** 33, sha(), size, sha(), hashes(8))).rejects.toThrow(TamperDetected);
});

const spaced = fc.constantFrom(undefined, 1, "\t\r\n");

test("members and elements are found as they stand, whatever is in them", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), spaced, (value, space) => {
      const text = JSON.stringify(value, undefined, space);
      const found = members(text);
      const whole = JSON.parse(text) as Record<string, unknown>;
      expect([...found.keys()].sort()).toEqual(Object.keys(whole).sort());
      for (const [name, part] of found) {
        expect(text).toContain(part);
        expect(JSON.parse(part)).toEqual(whole[name]);
      }
    }),
    { numRuns: 50 },
  );
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), spaced, (value, space) => {
      const text = JSON.stringify(value, undefined, space);
      expect(elements(text).map((part) => JSON.parse(part))).toEqual(JSON.parse(text));
    }),
    { numRuns: 50 },
  );
});

test("events keep their digits; of members with one name the last counts", () => {
  const frame = '{"jsonrpc":"2.0","result":{"events":[]},"result":{"cursor":"]","events":[{"n":1.0,"s":"\\"}"},2] }}';
  expect(storedEvents(frame, "result")).toEqual(['{"n":1.0,"s":"\\"}"}', "2"]);
  expect(JSON.parse(frame).result.events.length).toBe(2);
  expect(storedEvents('{"params":{"cursor":"x"}}', "params")).toBeUndefined();
});
