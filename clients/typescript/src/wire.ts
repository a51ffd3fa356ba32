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
 * What an answer knew: the events up to a cursor, and the time. The same two give the same answer for ever.
 */
export interface AsOf {
  /**
   * Resumes a subscription of the query right after this answer.
   */
  cursor: string;
  /**
   * Every event in the answer was recorded before it; divisors are clipped to it.
   */
  time: string;
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
  checkpoint?: string | null;
  /**
   * @minItems 1
   */
  events: Event[];
}
/**
 * What happened, committed and immutable. Once erased, only `payload_hash` is left beside id, index and topics.
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
   * 16 random bytes in base64url: keeps the payload's hash from being guessed once the payload is erased. Empty once it is.
   */
  salt?: string;
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
  /**
   * SHA-256 of the payload that was erased, in base64url; None: nothing was.
   */
  payload_hash?: string;
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
  checkpoint?: string | null;
}
/**
 * No parameters.
 */
export interface CheckpointParams {}
/**
 * A checkpoint's note; unsigned, its three lines alone.
 */
export interface CheckpointResult {
  checkpoint: string;
}
/**
 * Two sizes that the log has had, the smaller one first.
 */
export interface ConsistencyParams {
  from: number;
  to: number;
}
/**
 * The hashes, in base64, and a checkpoint that covers the greater size, or more.
 */
export interface ConsistencyResult {
  /**
   * Items: 32 bytes in base64.
   */
  hashes: string[];
  checkpoint: string;
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
  checkpoint?: string | null;
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
 * What a program needs to know of an error.
 *
 *     `parameter` is the path of the one that is wrong; `retry_after_ms` says when to try again what was done too often.
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
  retry_after_ms?: number | null;
}
/**
 * 1-1,000 ids of events whose payloads are to be destroyed, why, and perhaps by whom; all of that is kept.
 */
export interface EraseParams {
  /**
   * @minItems 1
   * @maxItems 1000
   */
  ids: string[];
  /**
   * 1-1024 bytes of UTF-8.
   */
  reason: string;
  actor?: Actor | null;
}
/**
 * How many were erased by this call, and the receipt of the event that says so; null: none was left to erase.
 */
export interface EraseResult {
  erased: number;
  receipt: Receipt | null;
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
  checkpoint?: string | null;
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
 * The id of the event that is to be proved.
 */
export interface InclusionParams {
  id: string;
}
/**
 * The event's index and leaf, the hashes from there to the root (in base64), and a checkpoint that covers it.
 */
export interface InclusionResult {
  index: number;
  /**
   * 32 bytes in base64.
   */
  leaf_hash: string;
  /**
   * Items: 32 bytes in base64.
   */
  hashes: string[];
  checkpoint: string;
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
  auth: "off" | "required";
}
/**
 * A store's id, its size, and the ids of its first and last event; null where there is none.
 *
 *     `origin` is its name in checkpoints, `key` the public key that they are signed with: null when it runs unsigned.
 */
export interface StoreResult {
  id: string;
  /**
   * Events in the log.
   */
  size: number;
  first_id: string | null;
  last_id: string | null;
  origin?: string | null;
  key?: string | null;
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
 * A page: possibly short, or even empty, while `has_more` is true. `checkpoint`: the newest of a log that signs.
 */
export interface ListResult {
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  has_more: boolean;
  checkpoint?: string | null;
  /**
   * @maxItems 1000
   */
  events: Event[];
}
/**
 * A metric that is registered; a later server may say more of it.
 */
export interface MetricEntry {
  name: string;
  measure: "active" | "avg" | "count" | "distinct" | "max" | "min" | "quantiles" | "rate" | "sum" | "uptime";
  pane?: string;
  help?: string;
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
  filter?: Filter | null;
  field?: string | null;
  quantiles?: number[] | null;
  per?: ("day" | "hour" | "minute" | "second") | null;
  open?: string | null;
  close?: string | null;
  up?: string | null;
  down?: string | null;
  by?: string | null;
  planned?: [string, string] | null;
  group_by?: string | null;
  time?: ("occurred" | "recorded") | null;
  lateness?: string | null;
  /**
   * Events of the log that its panes have folded in; an answer is exact however far that is.
   */
  size: number;
}
/**
 * One question. Either `measure` or `metric`; the rest says of what, over which time, and split how.
 */
export interface MetricQuery {
  /**
   * What is computed.
   */
  measure?: ("active" | "avg" | "count" | "distinct" | "max" | "min" | "quantiles" | "rate" | "sum" | "uptime") | null;
  /**
   * A registered metric, which has a measure, topics, filter and fields of its own.
   */
  metric?: string | null;
  /**
   * A topic, with all nested below it; `()` is everything.
   *
   * @minItems 0
   * @maxItems 16
   *
   * Items: 1-128 bytes of UTF-8.
   */
  topic?: string[];
  /**
   * A union of topics, in place of `topic`.
   */
  topics?: string[][] | null;
  /**
   * Equalities that must all hold.
   */
  filter?: Filter | null;
  /**
   * Path of the number (`sum`, `avg`, `min`, `max`, `quantiles`) or of the value (`distinct`) in the event, such as `data.duration_ms` or `targets.0.id`.
   */
  field?: string | null;
  /**
   * Which ones, each 0-1.
   */
  quantiles?: number[] | null;
  /**
   * Unit of a rate.
   */
  per?: ("day" | "hour" | "minute" | "second") | null;
  /**
   * Action that opens (`active`).
   */
  open?: string | null;
  /**
   * Action that closes.
   */
  close?: string | null;
  /**
   * Action after which a component is up (`uptime`).
   */
  up?: string | null;
  /**
   * Action after which it is down.
   */
  down?: string | null;
  /**
   * Path of the value that tells components apart; absent: there is one.
   */
  by?: string | null;
  /**
   * The actions that begin and end planned maintenance, which counts neither as up nor as down.
   */
  planned?: [string, string] | null;
  /**
   * Lower bound: a time, or an id for its time. Absent: the log's first event.
   */
  seek?: string | number | null;
  /**
   * Upper bound, exclusive. Absent: now, and whatever is dated later.
   */
  seek_end?: string | number | null;
  /**
   * A horizon that moves with time, in place of `seek` and `seek_end`.
   */
  last?: string | null;
  /**
   * Length of the windows; absent: one, over the whole span.
   */
  window?: string | null;
  /**
   * From one window's start to the next; absent: the window's length.
   */
  hop?: string | null;
  /**
   * Path of the value by which each window is split.
   */
  group_by?: string | null;
  /**
   * Which time places an event: `recorded` (its id's) or `occurred` (`occurred_at`, else the id's).
   */
  time?: ("occurred" | "recorded") | null;
  /**
   * How long after its end a window by `occurred` waits to be final.
   */
  lateness?: string | null;
}
/**
 * All windows of a query, in order of their start, then of their group.
 */
export interface MetricResult {
  /**
   * Each of them. Without `group_by` also those without an event.
   */
  windows: Window[];
  /**
   * The value over the whole span, over all groups.
   */
  total:
    | number
    | {
        [k: string]: number | null;
      }
    | null;
  as_of: AsOf1;
}
/**
 * The value over one window, or over one group's part of it.
 */
export interface Window {
  /**
   * Its first millisecond, in UTC.
   */
  start: string;
  /**
   * The first one after it.
   */
  end: string;
  /**
   * The measure's value; None where none exists.
   */
  value:
    | number
    | {
        [k: string]: number | null;
      }
    | null;
  /**
   * Events it is made from.
   */
  count: number;
  /**
   * Whether no event in time can change it any more.
   */
  final: boolean;
  /**
   * With `occurred`, events that came after it was final; they count all the same.
   */
  rev?: number;
  /**
   * With `group_by`, the group's value; None: events without one.
   */
  group?: string | number | boolean | null;
  /**
   * With `uptime`, seconds down, planned maintenance left out; of several components, added up.
   */
  down_s?: number;
}
/**
 * What it knew.
 */
export interface AsOf1 {
  /**
   * Resumes a subscription of the query right after this answer.
   */
  cursor: string;
  /**
   * Every event in the answer was recorded before it; divisors are clipped to it.
   */
  time: string;
}
/**
 * No parameters.
 */
export interface MetricsParams {}
/**
 * The metrics that are registered, by name.
 */
export interface MetricsResult {
  metrics: MetricEntry[];
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
  checkpoint?: string | null;
}
/**
 * Indexes of 1-1,000 events, ascending, and a size that the log has had, above them all.
 */
export interface SelectionParams {
  /**
   * @minItems 1
   * @maxItems 1000
   */
  indexes: number[];
  size: number;
}
/**
 * The hashes, in base64, of all subtrees that hold none of the events, from left to right.
 */
export interface SelectionResult {
  /**
   * Items: 32 bytes in base64.
   */
  hashes: string[];
}
/**
 * A whole result: what was known of this subscription's metric before is void.
 */
export interface SnapshotNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  as_of: AsOf;
  total:
    | number
    | {
        [k: string]: number | null;
      }
    | null;
  windows: Window[];
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
/**
 * What has changed: a window replaces the one with its start and group.
 */
export interface UpdateNote {
  subscription: string;
  /**
   * Opaque. Continues right after what it came with.
   */
  cursor: string;
  as_of: AsOf;
  total:
    | number
    | {
        [k: string]: number | null;
      }
    | null;
  windows: Window[];
  /**
   * Whether these are all windows there are, in place of those before.
   */
  all?: boolean;
  /**
   * Windows that start before it are gone; null: none is.
   */
  since?: string | null;
}
/**
 * A metric to be kept up with: the parameters of `metrics.get`, and how.
 */
export interface WatchParams {
  measure?: ("active" | "avg" | "count" | "distinct" | "max" | "min" | "quantiles" | "rate" | "sum" | "uptime") | null;
  metric?: string | null;
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
  filter?: Filter | null;
  field?: string | null;
  quantiles?: number[] | null;
  per?: ("day" | "hour" | "minute" | "second") | null;
  open?: string | null;
  close?: string | null;
  up?: string | null;
  down?: string | null;
  by?: string | null;
  planned?: [string, string] | null;
  seek?: string | number | null;
  seek_end?: string | number | null;
  last?: string | null;
  window?: string | null;
  hop?: string | null;
  group_by?: string | null;
  time?: ("occurred" | "recorded") | null;
  lateness?: string | null;
  /**
   * Of the last notification of the same query, on whatever connection.
   */
  cursor?: string | null;
  /**
   * Milliseconds between two updates at least; 0: one for each commit.
   */
  every?: number;
}
