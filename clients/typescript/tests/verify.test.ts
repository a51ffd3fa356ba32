/** A client that believes nothing, against real servers of honest and of other stores, and against lies on the way. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import {
  type Batch,
  CheckpointAhead,
  CheckpointBehind,
  connect,
  HashMismatch,
  HistoryForked,
  InvalidParameter,
  ProofInvalid,
  ProofMalformed,
  parseCheckpoint,
  type Receipt,
  SignatureInvalid,
  type Tail,
  TamperDetected,
  WrongKey,
} from "../src/index.js";
import { newKey, WITNESS } from "./keys.js";
import { audit, Served } from "./served.js";

let folder: string;
let served: Served;
let key: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "audit-keys-"));
  key = await newKey(join(folder, "own"));
  served = await Served.create("--key", join(folder, "own"));
});
afterAll(async () => {
  await served.remove();
  await rm(folder, { recursive: true });
});

const events = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ topics: [["a", `${n % 3}`]], data: { who: "bob", n: n / 2 } }));

const backoff = { firstMs: 10, mostMs: 50 };

async function read(tail: Tail, count: number): Promise<number[]> {
  const indexes: number[] = [];
  while (indexes.length < count) {
    const { value } = await tail.next();
    indexes.push(...(value as Batch).events.map((event) => event.index));
  }
  return indexes;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

test("pages, events and tails of an honest log are handed on, and the next client goes on from there", async () => {
  const plain = await connect(served.url);
  const log = await connect(served.url, { verify: { key } });
  expect([plain.trusted, log.trusted]).toEqual([undefined, undefined]);
  const { size: before } = (await log.info()).store;
  const receipts = await log.append(events(600));
  const first = (receipts[0] as Receipt).index;
  const [from, eighth] = [receipts[0], receipts[7]].map((receipt) => (receipt as Receipt).id) as [string, string];
  const page = await log.page({ seek: from, limit: 1000 });
  expect(page.events).toEqual((await plain.page({ seek: from, limit: 1000 })).events);
  expect((await log.page({ topic: ["a", "1"], order: "desc", limit: 50 })).events.length).toBe(50);
  expect((await log.get(eighth.toLowerCase())).index).toBe(first + 7);
  const tail = log.subscribe();
  const some = log.subscribe({ topic: ["a", "1"], seek: from });
  expect(await read(tail, before + 600)).toEqual(numbers(0, before + 600));
  expect((await read(some, 200))[199]).toBe(first + 598);
  await plain.append(events(20));
  expect(await read(tail, 20)).toEqual(numbers(before + 600, before + 620));
  expect(parseCheckpoint(await log.trustNewest())).toMatchObject({
    size: before + 620,
    signers: ["example.com/audit"],
  });
  expect(log.trusted).toBe(await plain.checkpoint());
  const again = await connect(served.url, { verify: { key, trusted: log.trusted } });
  await plain.append(events(1));
  expect((await again.page({ order: "desc", limit: 1 })).events[0]?.index).toBe(before + 620);
  expect(await audit("erase", "--url", served.url, eighth, "--reason", "asked for", "--yes")).toContain("1");
  expect((await again.get(eighth)).payload_hash).toHaveLength(43);
  for (const one of [plain, log, again]) one.close();
});

test("a rewritten history is not gone on with: not by who trusted a checkpoint, and not by who has a checkpoint of it", async () => {
  const own = await Served.create("--key", join(folder, "own"));
  const log = await connect(own.url, { verify: { key }, backoff });
  await log.append(events(300));
  const tail = log.subscribe();
  await read(tail, 300);
  while (!tail.caughtUp) await tail.next();
  const { trusted, cursor } = { trusted: log.trusted as string, cursor: tail.cursor };
  await own.stop();
  await own.tamper('"bob"', '"eve"');
  await own.start();
  await log.append(events(5));
  for (let n = 0; n < 2; n += 1) {
    await expect(tail.next()).rejects.toThrow(HistoryForked);
    await expect(tail.next()).rejects.toThrow("does not go on from the trusted one of size 300");
  }
  expect(tail.cursor).toBe(cursor);
  const page = await log.page({ limit: 7 }).catch((error) => error);
  expect(page).toBeInstanceOf(HashMismatch);
  expect(page.message).toMatch(/^event 0 \([0-9A-Z]{26}\): is not the one that the checkpoint of size 300 covers$/);
  await expect(log.trustNewest()).rejects.toThrow(TamperDetected);
  expect(log.trusted).toBe(trusted);
  // Closing frees who reads.
  tail.close();
  expect(await tail.next()).toEqual({ done: true, value: undefined });
  // Who never saw the other one can't know.
  const stranger = await connect(own.url, { verify: { key } });
  expect((await stranger.page()).events[0]?.data).toMatchObject({ who: "eve" });
  stranger.close();
  log.close();
  // Who trusts a longer log of this key takes this one for one that was cut, or rolled back.
  const longer = await connect(served.url, { verify: { key } });
  await longer.append(events(306));
  const follower = await connect(own.url, { verify: { key, trusted: await longer.trustNewest() } });
  await expect(follower.trustNewest()).rejects.toThrow(CheckpointBehind);
  await expect(follower.page()).rejects.toThrow(CheckpointAhead);
  longer.close();
  follower.close();
  await own.remove();
});

/** A server in front of the real one that rewrites what it sends, or keeps it to itself. */
async function liar(rewrite: (frame: string) => string | undefined): Promise<{ url: string; close: () => void }> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "audit.v1.json" });
  server.on("connection", (socket) => {
    const real = new WebSocket(`${served.url}/rpc`, ["audit.v1.json"]);
    const asked: string[] = [];
    real.on("open", () => asked.splice(0).map((frame) => real.send(frame)));
    real.on("message", (frame) => {
      const told = rewrite(String(frame));
      if (told !== undefined) socket.send(told);
    });
    socket.on("message", (frame) =>
      real.readyState === WebSocket.OPEN ? real.send(String(frame)) : asked.push(String(frame)),
    );
    socket.on("close", () => real.close());
  });
  await new Promise<void>((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  return { url: `ws://127.0.0.1:${port}`, close: () => server.close() };
}

const LIES: readonly (readonly [string, (frame: string) => string, typeof ProofInvalid, string | RegExp])[] = [
  ["a word", (frame) => frame.replace(/"n":13.5/, '"n":13.0'), HashMismatch, /^event \d+ \(/],
  ["a number's spelling", (frame) => frame.replace(/"n":14([,}])/, '"n":14.0$1'), HashMismatch, /^event \d+ \(/],
  ["one event less", (frame) => frame.replace(/\{"id":"[^}]*"n":13\.5[^}]*\}\},/, ""), TamperDetected, "is missing"],
  ["one event twice", (frame) => frame.replace(/(\{"id":"[^}]*"n":13\.5[^}]*\}\},)/, "$1$1"), ProofMalformed, "twice"],
  ["no index", (frame) => frame.replaceAll(/"index":(\d+),"topics"/g, '"at":$1,"topics"'), ProofMalformed, "index"],
  ["a hash less", (frame) => frame.replace(/"hashes":\["[^"]*",?/, '"hashes":['), ProofMalformed, "hashes: must be"],
  ["another hash", (frame) => frame.replace(/"hashes":\["..../, '"hashes":["AAAA'), HashMismatch, "is not the one"],
  [
    "another root",
    (frame) => frame.replace(/\\n[\w+/]{4}(?=[\w+/]{39}=\\n\\n)/, "\\nAAAA"),
    SignatureInvalid,
    "of this",
  ],
];

test.each(LIES)("%s changed on the way is noticed, on a page and on a tail", async (_, rewrite, kind, said) => {
  const plain = await connect(served.url);
  const [first] = await plain.append(events(64));
  const seek = (first as { id: string }).id;
  plain.close();
  const between = await liar(rewrite);
  const log = await connect(between.url, { verify: { key } });
  for (const answer of [log.page({ seek, limit: 50 }), log.subscribe({ seek }).next()]) {
    const error = await answer.catch((thrown) => thrown);
    expect(error).toBeInstanceOf(kind);
    expect(error.message).toMatch(said);
  }
  log.close();
  between.close();
});

test("another event than was asked for is refused", async () => {
  const plain = await connect(served.url);
  const receipts = await plain.append(events(2));
  const [wanted, sent] = receipts.map((receipt) => receipt.id) as [string, string];
  const other = JSON.stringify(await plain.get(sent));
  const between = await liar((frame) =>
    frame.includes(`{"id":"${wanted}`) ? frame.replace(/\{"id":.*(?=\})/, other) : frame,
  );
  const log = await connect(between.url, { verify: { key } });
  await expect(log.get(wanted)).rejects.toThrow(`another one was sent: ${sent}`);
  for (const one of [plain, log]) one.close();
  between.close();
});

test("an unsigned log, another key and missing options are refused", async () => {
  const other = await newKey(join(folder, "other"));
  const log = await connect(served.url, { verify: { key: other } });
  await log.append(events(1));
  await expect(log.page()).rejects.toThrow(WrongKey);
  log.close();
  const unsigned = await Served.create();
  const bare = await connect(unsigned.url, { verify: { key } });
  await bare.append(events(1));
  await expect(bare.page()).rejects.toThrow("is not signed");
  const plain = await connect(unsigned.url);
  await expect(plain.trustNewest()).rejects.toThrow(InvalidParameter);
  plain.close();
  bare.close();
  await unsigned.remove();
  const changed = key.replace(/\+[0-9a-f]{8}\+/, "+00000000+");
  for (const bad of ["", "x", changed, `${key}A`, await newKey(join(folder, "witness"), WITNESS)]) {
    const error = await connect(served.url, { verify: { key: bad } }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(InvalidParameter);
    expect(error.parameter).toBe("verify.key");
  }
  await expect(connect(served.url, { verify: { key, trusted: "x" } })).rejects.toThrow(ProofInvalid);
  await expect(connect(served.url, { verify: { key, rotations: ["x"] } })).rejects.toThrow(ProofMalformed);
});

test("a key that took the place of the trusted one is trusted", async () => {
  const old = await newKey(join(folder, "old"));
  const store = join(folder, "store");
  await audit("init", "--data", store);
  await audit("key", "rotate", join(folder, "old"), "--to", join(folder, "new"), "--data", store);
  const rotation = await readFile(join(folder, "new.rotation"), "utf8");
  const later = await Served.create("--key", join(folder, "new"));
  const log = await connect(later.url, { verify: { key: ` ${old}\n`, rotations: [rotation] } });
  await log.append(events(3));
  expect((await log.page()).events.length).toBe(3);
  log.close();
  const without = await connect(later.url, { verify: { key: old } });
  await expect(without.page()).rejects.toThrow(WrongKey);
  without.close();
  const forged = rotation.replace(/(?<=\n\n.* )..../, "AAAA");
  await expect(connect(later.url, { verify: { key: old, rotations: [rotation, rotation] } })).rejects.toThrow(WrongKey);
  await expect(connect(later.url, { verify: { key: old, rotations: [forged] } })).rejects.toThrow(WrongKey);
  await later.remove();
});

test("aborting while it checks frees who reads, with the signal's reason", async () => {
  const plain = await connect(served.url);
  await plain.append(events(3));
  plain.close();
  let silent = true;
  const between = await liar((frame) => (silent && /"result":\{"(checkpoint|hashes)"/.test(frame) ? undefined : frame));
  const log = await connect(between.url, { verify: { key } });
  const control = new AbortController();
  const tail = log.subscribe({}, { signal: control.signal });
  const next = tail.next();
  const closed = log.subscribe();
  const other = closed.next();
  setTimeout(() => {
    control.abort(new Error("enough"));
    closed.close();
  }, 50);
  await expect(next).rejects.toThrow("enough");
  expect(await other).toEqual({ done: true, value: undefined });
  silent = false;
  expect((await log.page({ limit: 1 })).events.length).toBe(1);
  log.close();
  between.close();
});
