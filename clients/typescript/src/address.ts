/** Where a server is: what callers write, and what a WebSocket and `fetch` need to know of it. */

import { InvalidParameter } from "./errors.js";

export const PATH = "/rpc";

export interface Address {
  /** Of the WebSocket. */
  readonly url: string;
  /** Where one-use tickets are had, over HTTP. */
  readonly tickets: string;
}

const SCHEMES: Record<string, readonly [string, string]> = {
  "ws:": ["ws:", "http:"],
  "http:": ["ws:", "http:"],
  "wss:": ["wss:", "https:"],
  "https:": ["wss:", "https:"],
};

/**
 * Return the address that a URL stands for: `ws:`, `wss:`, `http:` or `https:`, and `/rpc` if it has no path. In a page
 * it may be relative to the page.
 *
 * Throws `InvalidParameter` for anything else.
 */
export function parseAddress(url: string | URL): Address {
  const base = typeof location === "undefined" ? undefined : location.href;
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch (cause) {
    throw new InvalidParameter(`url: must be ws://HOST:PORT or wss://HOST:PORT, got ${String(url).slice(0, 80)}`, {
      parameter: "url",
      cause,
    });
  }
  const schemes = SCHEMES[parsed.protocol];
  if (schemes === undefined || parsed.username || parsed.password) {
    const what = schemes === undefined ? "ws://HOST:PORT or wss://HOST:PORT" : "without a name and password";
    throw new InvalidParameter(`url: must be ${what}, got ${parsed.protocol}//${parsed.host}`, { parameter: "url" });
  }
  if (parsed.pathname === "/") parsed.pathname = PATH;
  parsed.hash = "";
  const place = `//${parsed.host}${parsed.pathname}`;
  const root = place.endsWith(PATH) ? place.slice(0, -PATH.length) : place;
  return { url: `${schemes[0]}${place}${parsed.search}`, tickets: `${schemes[1]}${root}/v1/tickets` };
}
