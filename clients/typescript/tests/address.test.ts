import { expect, test } from "vitest";
import { parseAddress } from "../src/address.js";
import { InvalidParameter } from "../src/errors.js";

test.each([
  ["ws://h:1", "ws://h:1/rpc", "http://h:1/v1/tickets"],
  ["http://h:1/", "ws://h:1/rpc", "http://h:1/v1/tickets"],
  ["https://h", "wss://h/rpc", "https://h/v1/tickets"],
  ["wss://h/t/acme/rpc", "wss://h/t/acme/rpc", "https://h/t/acme/v1/tickets"],
  ["wss://h/rpc#x", "wss://h/rpc", "https://h/v1/tickets"],
])("%s stands for %s", (given, url, tickets) => {
  expect(parseAddress(given)).toEqual({ url, tickets });
});

test.each(["", "h:1", "ftp://h", "ws://u:secret@h", "/rpc"])(
  "%j is refused, without a password in the text",
  (given) => {
    let error: unknown;
    try {
      parseAddress(given);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvalidParameter);
    expect((error as InvalidParameter).parameter).toBe("url");
    expect(String(error)).not.toContain("secret");
  },
);
