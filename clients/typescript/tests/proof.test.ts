/** Proofs: good ones of a real server pass, and whatever is changed in them, or in the event, does not. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  connect,
  type InclusionResult,
  leafHash,
  NotFound,
  ProofInvalid,
  type RemoteLog,
  TamperDetected,
  verifyInclusion,
} from "../src/index.js";
import { Served } from "./served.js";

let served: Served;
let log: RemoteLog;
beforeAll(async () => {
  served = await Served.create();
  log = await connect(served.url);
});
afterAll(async () => {
  log.close();
  await served.remove();
});

const sha = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();

/** The tree as RFC 6962 defines it, by recursion: root, and the path of a leaf. */
function tree(leaves: Buffer[], index: number): { root: Buffer; path: Buffer[] } {
  if (leaves.length === 1) return { root: leaves[0] as Buffer, path: [] };
  const cut = 2 ** Math.floor(Math.log2(leaves.length - 1));
  const left = tree(leaves.slice(0, cut), Math.min(index, cut - 1));
  const right = tree(leaves.slice(cut), Math.max(0, index - cut));
  const path = index < cut ? [...left.path, right.root] : [...right.path, left.root];
  return { root: sha(Uint8Array.of(1), left.root, right.root), path };
}

function text(index: number): string {
  return `{"id":"01KDVDNA00DHW93DTR98H6BC${String(index).padStart(2, "0")}","index":${index},"topics":[["ä"]],"salt":"GP5wyvCYa0Tw-h0UFaIWjA","data":"${index}"}`;
}

function proofOf(size: number, index: number): InclusionResult {
  const leaves = Array.from({ length: size }, (_, n) => {
    const [header, payload] = [text(n).split(',"salt"')[0] as string, text(n).slice(text(n).indexOf(',"salt"'))];
    return sha(Uint8Array.of(0), Buffer.from(header), sha(Buffer.from(payload)));
  });
  const { root, path } = tree(leaves, index);
  return {
    index,
    leaf_hash: (leaves[index] as Buffer).toString("base64"),
    hashes: path.map((hash) => hash.toString("base64")),
    checkpoint: `o/log\n${size}\n${root.toString("base64")}\n`,
  };
}

const place = fc.integer({ min: 1, max: 40 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));

test("every leaf of every small tree is proved, and none with another index, size, path or byte", async () => {
  await fc.assert(
    fc.asyncProperty(place, fc.nat(), async ([size, index], chosen) => {
      const proof = proofOf(size, index);
      expect((await verifyInclusion(text(index), proof)).checkpoint).toMatchObject({ size, signers: [] });
      const flipped = (hash: string) => (hash[0] === "A" ? "B" : "A") + hash.slice(1);
      const at = chosen % Math.max(1, proof.hashes.length);
      const worse: [string, InclusionResult][] = [
        [text(index).replace(/.(?="}$)/, "x"), proof],
        [text(index).replace("ä", "a"), proof],
        [text(index + 1), proof],
        [
          text(index),
          { ...proof, checkpoint: proof.checkpoint.replace(/.(?=.*\n$)/, (letter) => (letter === "A" ? "B" : "A")) },
        ],
        [text(index), { ...proof, hashes: [...proof.hashes, proof.leaf_hash] }],
        [text(index), { ...proof, checkpoint: proof.checkpoint.replace(`\n${size}\n`, `\n${index}\n`) }],
      ];
      if (proof.hashes.length > 0) {
        worse.push([text(index), { ...proof, hashes: proof.hashes.slice(1) }]);
        worse.push([
          text(index),
          { ...proof, hashes: proof.hashes.map((hash, n) => (n === at ? flipped(hash) : hash)) },
        ]);
      }
      for (const [event, bad] of worse) await expect(verifyInclusion(event, bad)).rejects.toThrow(ProofInvalid);
    }),
    { numRuns: 60 },
  );
});

test("an erased event has the leaf that it had", async () => {
  const whole = text(3);
  const cut = whole.indexOf(',"salt"');
  const hash = sha(Buffer.from(whole.slice(cut))).toString("base64url");
  expect(await leafHash(`${whole.slice(0, cut)},"payload_hash":"${hash}"}`)).toEqual(await leafHash(whole));
});

test("a real server's proofs are good, for its stored text alone", async () => {
  const receipts = await log.append(
    Array.from({ length: 300 }, (_, n) => ({ topics: [["ä", `${n % 3}`]], data: { n } })),
  );
  for (const { id, index } of [receipts[0], receipts[77], receipts[299]] as typeof receipts) {
    const proof = await log.proof(id);
    const stored = await (await fetch(`http://127.0.0.1:${served.port}/v1/events/${id}`)).text();
    expect(await verifyInclusion(stored, proof)).toMatchObject({ checkpoint: { size: expect.any(Number) } });
    expect(proof.index).toBe(index);
    await expect(verifyInclusion(stored.replace(`"n":${index}`, '"n":-1'), proof)).rejects.toThrow(TamperDetected);
  }
  await expect(log.proof("01KDVDNA00DHW93DTR98H6BCP3")).rejects.toThrow(NotFound);
});
