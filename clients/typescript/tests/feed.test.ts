/** A feed against a model of its server: whatever is lost and whenever it is read, each event comes once. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { Feed } from "../src/feed.js";
import type { Note } from "../src/link.js";

/** A server of the events 0, 1, 2 …; a cursor is the number of those that it covers. */
class Server {
  position = 0;
  credit = 0;
  left = Number.POSITIVE_INFINITY;

  constructor(private readonly feed: Feed<{ cursor?: string; limit?: number }, number>) {
    this.subscribe();
  }

  subscribe(): void {
    const request = this.feed.request(1_000);
    if (request === undefined) return;
    this.position = Number(request.cursor ?? 0);
    this.credit = request.credit;
    this.left = request.limit ?? Number.POSITIVE_INFINITY;
  }

  send(wanted: number): void {
    const count = Math.min(wanted, this.credit, this.left);
    if (count === 0) return;
    const events = Array.from({ length: count }, (_, n) => this.position + n);
    this.position += count;
    this.credit -= count;
    this.left -= count;
    this.feed.receive(this.note("events.batch", { events }));
  }

  note(method: string, more: object = {}): Note {
    return { method, params: { subscription: "1", cursor: String(this.position), ...more }, text: "" };
  }
}

const step = fc.oneof(
  fc.record({ do: fc.constant("send" as const), events: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ do: fc.constantFrom("read", "reconnect", "caught_up", "fell_behind", "progress") }),
);

test("each event comes once and in order, and no more wait than the window has", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 12 }),
      fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
      (steps, window, limit) => {
        const feed = new Feed<{ cursor?: string; limit?: number }, number>(
          limit === undefined ? {} : { limit },
          window,
        );
        const server = new Server(feed);
        const read: number[] = [];
        const marks: boolean[] = [];
        const take = () => {
          server.credit += feed.consumed();
          const batch = feed.take();
          if (batch === undefined) return;
          read.push(...batch.events);
          marks.push(batch.caughtUp);
          expect(batch.caughtUp && batch.fellBehind).toBe(false);
          // Events that were put together came with the cursor of the last of them.
          expect(batch.cursor).toBe(feed.cursor);
          expect(Number(batch.cursor)).toBe(read.length);
        };
        for (const one of steps) {
          if (one.do === "send" && "events" in one) server.send(one.events);
          else if (one.do === "read") take();
          else if (one.do === "reconnect") server.subscribe();
          else feed.receive(server.note(`events.${one.do}`));
          expect(server.position - read.length).toBeLessThanOrEqual(window);
        }
        // Read to the end, the server stalls only at the limit.
        for (let n = 0; n < 100; n += 1) {
          server.send(5);
          while (feed.ready && !feed.isOver) take();
          take();
        }
        expect(read).toEqual(read.map((_, n) => n));
        expect(read.length).toBe(limit ?? server.position);
        if (limit === undefined) expect(read.length).toBeGreaterThan(50);
      },
    ),
    { numRuns: 300 },
  );
});

test("what the marks say is told once, and again after it has changed", () => {
  const feed = new Feed<{ cursor?: string }, number>({}, 10);
  const server = new Server(feed);
  const told = () => {
    const batch = feed.take();
    return batch && [batch.events.length, batch.caughtUp, batch.fellBehind];
  };
  feed.receive(server.note("events.caught_up"));
  feed.receive(server.note("events.caught_up"));
  server.send(2);
  feed.receive(server.note("events.fell_behind"));
  server.send(1);
  expect([told(), told(), told()]).toEqual([[2, true, false], [1, false, true], undefined]);
});

test("what it failed with is thrown once all that came before is read", () => {
  const feed = new Feed<{ cursor?: string }, number>({}, 10);
  new Server(feed).send(3);
  feed.finish(new RangeError("no"));
  expect(feed.take()?.events).toEqual([0, 1, 2]);
  expect(() => feed.take()).toThrow(RangeError);
  feed.finish();
  expect(() => feed.take()).toThrow(RangeError);
});

test("one that is closed drops what it holds", () => {
  const feed = new Feed<{ cursor?: string }, number>({}, 10);
  new Server(feed).send(3);
  feed.close();
  expect([feed.take(), feed.cursor]).toEqual([undefined, undefined]);
});
