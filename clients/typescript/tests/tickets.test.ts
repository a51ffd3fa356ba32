/** Who is asking: by a ticket in the second subprotocol, one for each connection, and never in the URL. */

import { createServer, type IncomingMessage, type Server } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { connect, Forbidden, Unauthorized } from "../src/index.js";
import { Served } from "./served.js";

const INFO = { name: "audit", version: "0", protocol: "audit.v1.json", store: { id: "S", size: 0 }, limits: {} };

/** A door that knows one token, and lets each ticket in once; behind it, something that knows `server.info`. */
class Door {
  readonly given: string[] = [];
  readonly asked: { url: string | undefined; protocols: string | undefined }[] = [];
  readonly #valid = new Set<string>();
  readonly #http: Server;
  readonly #rpc: WebSocketServer;

  constructor() {
    this.#http = createServer((request, response) =>
      this.#answer(request, (status, body) => response.writeHead(status).end(body)),
    );
    this.#rpc = new WebSocketServer({ server: this.#http, handleProtocols: () => "audit.v1.json" });
    this.#rpc.on("connection", (socket, request) => {
      const protocols = request.headers["sec-websocket-protocol"];
      this.asked.push({ url: request.url, protocols });
      const ticket = protocols?.split(",")[1]?.trim().replace("audit.ticket.", "") ?? "";
      if (!this.#valid.delete(ticket)) socket.close(4401, "unauthorized");
      socket.on("message", (text) => {
        const { id } = JSON.parse(String(text));
        socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: INFO }));
      });
    });
  }

  #answer(request: IncomingMessage, answer: (status: number, body: string) => void): void {
    const known = request.method === "POST" && request.headers.authorization === "Bearer secret";
    answer(known ? 200 : 401, known ? JSON.stringify({ ticket: this.issue() }) : "");
  }

  issue(): string {
    const ticket = `t${this.given.length}`;
    this.given.push(ticket);
    this.#valid.add(ticket);
    return ticket;
  }

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#http.listen(0, "127.0.0.1", resolve));
    return `ws://127.0.0.1:${(this.#http.address() as { port: number }).port}`;
  }

  drop(): void {
    for (const socket of this.#rpc.clients) socket.terminate();
  }

  close(): void {
    this.drop();
    this.#rpc.close();
    this.#http.close();
  }
}

let door: Door;
let url: string;
beforeEach(async () => {
  door = new Door();
  url = await door.open();
});
afterEach(() => door.close());

test("a token is exchanged for a new ticket before each connection", async () => {
  const log = await connect(url, { token: "secret", backoff: { firstMs: 1, mostMs: 1 } });
  door.drop();
  await log.info();
  expect(door.asked).toEqual([
    { url: "/rpc", protocols: "audit.v1.json,audit.ticket.t0" },
    { url: "/rpc", protocols: "audit.v1.json,audit.ticket.t1" },
  ]);
  log.close();
});

test("a token that nobody knows, and a ticket that was used, are refused for good", async () => {
  await expect(connect(url, { token: "other" })).rejects.toThrow(Unauthorized);
  const ticket = door.issue();
  const log = await connect(url, { ticket, backoff: { firstMs: 1, mostMs: 1 } });
  door.drop();
  await expect(log.info()).rejects.toThrow(Unauthorized);
  const again = await connect(url, { ticket: async () => door.issue() });
  again.close();
});

test("a real server lets in who has a token, again and again, and tells the others", async () => {
  const served = await Served.create();
  const token = await served.token("reader", "node");
  await served.stop();
  await served.start();
  await expect(connect(served.url)).rejects.toThrow(Unauthorized);
  await expect(connect(served.url, { token: "wrong" })).rejects.toThrow(Unauthorized);
  const log = await connect(served.url, { token, backoff: { firstMs: 10, mostMs: 50 } });
  expect((await log.page({ topic: ["node"] })).events).toEqual([]);
  await expect(log.page()).rejects.toThrow(Forbidden);
  await expect(log.append({ topics: [["node"]] })).rejects.toThrow(Forbidden);
  await served.stop();
  await served.start();
  expect((await log.page({ topic: ["node"] })).events).toEqual([]);
  log.close();
  await served.remove();
});
