// What goes over the wire, from proto/schemas by `npm run wire`. Not to be edited.

/**
 * Who did it. Found by `id`.
 */
export interface Actor {
  /**
   * 1-256 bytes of UTF-8.
   */
  type: string;
  /**
   * 1-256 bytes of UTF-8.
   */
  id: string;
  name?: string | null;
}
/**
 * 1-1,000 events of at most 4 MiB, committed together or not at all; a key for the call, or one for each event.
 */
export interface AppendParams {
  /**
   * @minItems 1
   * @maxItems 1000
   */
  events: NewEvent[];
  idempotency_key?: string | null;
}
/**
 * What happened, as a caller gives it: not yet recorded.
 */
export interface NewEvent {
  /**
   * 1-16 paths of 1-16 segments, each such as `("node", "connection", "forward")`.
   *
   * @minItems 1
   * @maxItems 16
   */
  topics: string[][];
  /**
   * What was done, such as `connection.opened`.
   */
  action?: string | null;
  /**
   * When it happened (with a time zone); the time of recording is the id's.
   */
  occurred_at?: string | null;
  /**
   * Who did it.
   */
  actor?: Actor | null;
  /**
   * At most 32 things it was done to.
   *
   * @maxItems 32
   */
  targets?: Target[];
  /**
   * `success`, `failure`, `denied` or `unknown`.
   */
  outcome?: ("denied" | "failure" | "success" | "unknown") | null;
  /**
   * At most 32 strings; `request_id`, `trace_id`, `ip` and `user_agent` are the known ones.
   */
  context?: {
    /**
     * 0-1024 bytes of UTF-8.
     */
    [k: string]: string;
  };
  /**
   * Anything that is JSON: finite numbers, integers of 64 bits, valid UTF-8.
   */
  data?: unknown;
  /**
   * A second event with this key is not appended; its call gets the first one's receipt.
   */
  idempotency_key?: string | null;
}
/**
 * What it was done to. Found by `id`.
 */
export interface Target {
  /**
   * 1-256 bytes of UTF-8.
   */
  type: string;
  /**
   * 1-256 bytes of UTF-8.
   */
  id: string;
  name?: string | null;
}
/**
 * A receipt for each event, in order.
 */
export interface AppendResult {
  /**
   * @minItems 1
   * @maxItems 1000
   */
  receipts: Receipt[];
}
/**
 * What an append returns: the event is durable, and this is its place.
 */
export interface Receipt {
  id: string;
  index: number;
}
/**
 * Events of a subscription; `cursor` resumes right after them.
 */
export interface BatchNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  /**
   * @minItems 1
   */
  events: Event[];
}
/**
 * What happened, committed and immutable.
 */
export interface Event {
  /**
   * A ULID; strictly increasing in commit order.
   */
  id: string;
  /**
   * Dense position in the log: 0, 1, 2 …
   */
  index: number;
  /**
   * @minItems 1
   * @maxItems 16
   */
  topics: string[][];
  /**
   * 16 random bytes in base64url: keeps the payload's hash from being guessed once the payload is erased.
   */
  salt: string;
  action?: string;
  occurred_at?: string;
  actor?: Actor;
  /**
   * @maxItems 32
   */
  targets?: Target[];
  outcome?: "denied" | "failure" | "success" | "unknown";
  context?: {
    [k: string]: string;
  };
  data?: unknown;
}
/**
 * The subscription to end; nothing of it follows the result.
 */
export interface CancelParams {
  subscription: string;
}
/**
 * Everything committed so far was sent; what follows is live.
 */
export interface CaughtUpNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
}
/**
 * So many more events may be sent.
 */
export interface CreditNote {
  subscription: string;
  events: number;
}
/**
 * The subscription is over; `cursor` resumes it. `error` is there when the reason is `error`.
 */
export interface EndNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  reason: "cancelled" | "error" | "limit" | "seek_end" | "shutdown" | "slow";
  error?: WireError | null;
}
/**
 * An error of JSON-RPC.
 */
export interface WireError {
  code:
    | -32700
    | -32600
    | -32601
    | -32602
    | -32603
    | -32001
    | -32002
    | -32003
    | -32004
    | -32005
    | -32006
    | -32007
    | -32008
    | -32009
    | -32010
    | -32011;
  message: string;
  data: WireErrorData;
}
/**
 * What a program needs to know of an error; `parameter` is the path of the one that is wrong.
 */
export interface WireErrorData {
  code:
    | "parse_error"
    | "invalid_request"
    | "method_not_found"
    | "invalid_params"
    | "internal"
    | "unauthorized"
    | "forbidden"
    | "not_found"
    | "cursor_invalid"
    | "too_large"
    | "overloaded"
    | "unavailable"
    | "conflict"
    | "outcome_unknown"
    | "cursor_expired"
    | "clock_suspect";
  retryable: boolean;
  parameter?: string | null;
}
/**
 * The subscription reads from disk again, since it was slower than the log; nothing is left out.
 */
export interface FellBehindNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
}
/**
 * Equalities that must all hold; `actor` and `target` are ids.
 */
export interface Filter {
  actor?: string | null;
  action?: string | null;
  outcome?: ("denied" | "failure" | "success" | "unknown") | null;
  target?: string | null;
  request_id?: string | null;
}
/**
 * The id of an event; the result is the event.
 */
export interface GetParams {
  id: string;
}
/**
 * No parameters.
 */
export interface InfoParams {}
/**
 * What a server says of itself.
 */
export interface InfoResult {
  name: string;
  version: string;
  protocol: "audit.v1.json";
  store: StoreResult;
  limits: Limits;
}
/**
 * A store's id, its size, and the ids of its first and last event; null where there is none.
 */
export interface StoreResult {
  id: string;
  /**
   * Events in the log.
   */
  size: number;
  first_id: string | null;
  last_id: string | null;
}
/**
 * What one connection may do.
 */
export interface Limits {
  /**
   * Bytes of a frame that the server takes.
   */
  frame_bytes?: number;
  /**
   * Bytes of a frame that it sends.
   */
  sent_frame_bytes?: number;
  /**
   * Events of one append.
   */
  call_events?: number;
  /**
   * Encoded bytes of them.
   */
  call_bytes?: number;
  /**
   * Encoded bytes of one event.
   */
  event_bytes?: number;
  /**
   * Events of one page.
   */
  page_events?: number;
  /**
   * Topics of one union.
   */
  topics?: number;
  /**
   * Requests of one connection that may be in flight.
   */
  requests?: number;
  /**
   * Subscriptions of one connection.
   */
  subscriptions?: number;
  /**
   * Events that may be granted and not sent yet, for each subscription.
   */
  credit?: number;
}
/**
 * A query for one page; `seek` is the lower bound and `seek_end` the upper, in both orders.
 */
export interface ListParams {
  /**
   * A topic, with all nested below it; `[]` is everything.
   *
   * @minItems 0
   * @maxItems 16
   *
   * Items: 1-128 bytes of UTF-8.
   */
  topic?: string[];
  topics?: string[][] | null;
  seek?: string | number | null;
  seek_end?: string | number | null;
  /**
   * Which of the two bounds belong to the range. A time is every id of that millisecond.
   */
  inclusive?: "both" | "left" | "neither" | "right";
  order?: "asc" | "desc";
  limit?: number;
  /**
   * Opaque. From a page or notification of the same query; takes the near bound's place.
   */
  cursor?: string | null;
  filter?: Filter | null;
}
/**
 * A page: possibly short, or even empty, while `has_more` is true.
 */
export interface ListResult {
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  has_more: boolean;
  /**
   * @maxItems 1000
   */
  events: Event[];
}
/**
 * Nothing to tell.
 */
export interface NoResult {}
/**
 * Time passed and nothing matched; the cursor moved.
 */
export interface ProgressNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
}
/**
 * A query for a tail; `seek` may be `"now"`; `credit` is the number of events that may be sent at first.
 */
export interface SubscribeParams {
  /**
   * A topic, with all nested below it; `[]` is everything.
   *
   * @minItems 0
   * @maxItems 16
   *
   * Items: 1-128 bytes of UTF-8.
   */
  topic?: string[];
  topics?: string[][] | null;
  seek?: string | number | null;
  seek_end?: string | number | null;
  /**
   * Which of the two bounds belong to the range. A time is every id of that millisecond.
   */
  inclusive?: "both" | "left" | "neither" | "right";
  limit?: number | null;
  /**
   * Opaque. From a page or notification of the same query; takes the near bound's place.
   */
  cursor?: string | null;
  filter?: Filter | null;
  credit?: number;
}
/**
 * The subscription's name, on this connection alone.
 */
export interface SubscribeResult {
  subscription: string;
}
/**
 * A topic, with the events of it and of what is nested below it, each counted once.
 */
export interface TopicResult {
  /**
   * @minItems 1
   * @maxItems 16
   *
   * Items: 1-128 bytes of UTF-8.
   */
  topic: string[];
  events: number;
  first_id: string;
  last_id: string;
}
/**
 * The parent whose children are asked for; `[]` for the first level.
 */
export interface TopicsParams {
  /**
   * A topic, with all nested below it; `[]` is everything.
   *
   * @minItems 0
   * @maxItems 16
   *
   * Items: 1-128 bytes of UTF-8.
   */
  topic?: string[];
  limit?: number;
  /**
   * Opaque. From a page or notification of the same query; takes the near bound's place.
   */
  cursor?: string | null;
}
/**
 * Children of a topic, by name.
 */
export interface TopicsResult {
  /**
   * @maxItems 1000
   */
  topics: TopicResult[];
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  has_more: boolean;
}
