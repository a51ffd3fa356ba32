/**
 * Opening a WebSocket, and what became of one: each of its failures as one of our errors.
 *
 * An error that is `retryable` may heal by itself; any other is the server's, or the caller's, to put right.
 */

import { abortable } from "./abort.js";
import type { Address } from "./address.js";
import { AuditError, Forbidden, Overloaded, ProtocolViolation, Unauthorized, Unavailable } from "./errors.js";
import type { Options } from "./options.js";

export const SUBPROTOCOL = "audit.v1.json";
/** Before a ticket, in the second subprotocol: the one place where a page may put it that no log of URLs shows. */
const TICKET = "audit.ticket.";

/** What is used of a WebSocket, be it the platform's or that of the package `ws`. */
export interface Socket {
  readonly protocol: string;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
}

type SocketKind = new (url: string, protocols: string[], options?: object) => Socket;

/**
 * Return an open WebSocket that speaks our protocol.
 *
 * Throws `Unavailable` or `Overloaded` (there is no server now), `Unauthorized` or `Forbidden` (it does not let this
 * client in), `ProtocolViolation` (what answers there is no such server), or what the signal was aborted with.
 */
export async function openSocket(address: Address, options: Options, signal: AbortSignal): Promise<Socket> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(options.openTimeoutMs)]);
  try {
    const kind = await abortable(socketKind(), inTime);
    const ticket = await abortable(fetchTicket(address, options, inTime), inTime);
    const socket = new kind(address.url, ticket === undefined ? [SUBPROTOCOL] : [SUBPROTOCOL, TICKET + ticket], {
      perMessageDeflate: false,
    });
    await opened(socket, address.url, inTime);
    if (socket.protocol !== SUBPROTOCOL) {
      socket.close();
      throw new ProtocolViolation(`${address.url} does not speak ${SUBPROTOCOL}: is it an audit server, and its /rpc?`);
    }
    return socket;
  } catch (cause) {
    if (inTime.aborted && !signal.aborted) throw new Unavailable(`can't connect to ${address.url}: no answer in time`);
    if (signal.aborted || cause instanceof AuditError) throw cause;
    throw new Unavailable(`can't connect to ${address.url}: ${String(cause)}`, { cause });
  }
}

async function socketKind(): Promise<SocketKind> {
  if (globalThis.WebSocket !== undefined) return globalThis.WebSocket as unknown as SocketKind;
  // A name that no bundler follows: browsers have their own.
  const name = "ws";
  try {
    const found = (await import(/* @vite-ignore */ name)) as { WebSocket: SocketKind };
    return found.WebSocket;
  } catch (cause) {
    throw new ProtocolViolation("this platform has no WebSocket: install the package ws, or Node 22 or later", {
      cause,
    });
  }
}

/** Return a ticket for one connection; undefined: nobody said who we are. */
async function fetchTicket(address: Address, options: Options, signal: AbortSignal): Promise<string | undefined> {
  if (options.ticket !== undefined) return typeof options.ticket === "string" ? options.ticket : options.ticket();
  if (options.token === undefined) return undefined;
  const answer = await fetch(address.tickets, {
    method: "POST",
    headers: { authorization: `Bearer ${options.token}` },
    credentials: "omit",
    signal,
  });
  if (!answer.ok) throw refusal(answer.status, address.tickets);
  const { ticket } = (await answer.json()) as { ticket?: unknown };
  if (typeof ticket !== "string") throw new ProtocolViolation(`${address.tickets} answers without a ticket`);
  return ticket;
}

function opened(socket: Socket, url: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const give = (reason: unknown) => {
      signal.removeEventListener("abort", abort);
      reject(reason);
    };
    const abort = () => {
      socket.onerror = socket.onclose = () => {};
      socket.close();
      give(signal.reason);
    };
    signal.addEventListener("abort", abort);
    socket.onopen = () => {
      signal.removeEventListener("abort", abort);
      resolve();
    };
    // Browsers do not say why. The package `ws` does, and tells of an error before it tells of the close.
    socket.onerror = (event: { message?: string }) => give(refused(event.message, url));
    socket.onclose = (event) => give(closedError(event.code, event.reason, url));
  });
}

function refused(message: string | undefined, url: string): AuditError {
  const status = /^Unexpected server response: (\d+)/.exec(message ?? "")?.[1];
  if (status !== undefined) return refusal(Number(status), url);
  return new Unavailable(`can't connect to ${url}${message ? `: ${message}` : ""}`);
}

function refusal(status: number, url: string): AuditError {
  const text = `${url} answers HTTP ${status}`;
  if (status === 401) return new Unauthorized(text);
  if (status === 403) return new Forbidden(text);
  if (status === 429) return new Overloaded(text);
  if (status === 408 || status >= 500) return new Unavailable(text);
  return new ProtocolViolation(text);
}

/** Return why a connection is over, which may be no reason to give up. */
export function closedError(code: number, reason: string, url: string): AuditError {
  const text = `${url} closed the connection: ${code} ${reason}`.trimEnd();
  if (code === 4400 || code === 1007) return new ProtocolViolation(text);
  if (code === 4401) return new Unauthorized(text);
  if (code === 4403) return new Forbidden(text);
  if (code === 4429) return new Overloaded(text);
  return new Unavailable(code === 1006 ? `the connection to ${url} was lost` : text);
}
