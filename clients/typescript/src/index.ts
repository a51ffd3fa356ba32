/** An audit log over WebSocket: pages of history, live tails that resume exactly, appends that happen once. */

export type { Backoff } from "./backoff.js";
export {
  AuditError,
  ClientClosed,
  ClockSuspect,
  Conflict,
  CursorExpired,
  CursorInvalid,
  Forbidden,
  InvalidParameter,
  MethodNotFound,
  NotFound,
  OutcomeUnknown,
  Overloaded,
  ProtocolViolation,
  TooLarge,
  Unauthorized,
  Unavailable,
} from "./errors.js";
export type { FeedBatch } from "./feed.js";
export {
  type Batch,
  type Bound,
  type CallOptions,
  connect,
  type ListQuery,
  RemoteLog,
  type SubscribeQuery,
} from "./log.js";
export type { ConnectOptions, News } from "./options.js";
export { Subscription } from "./subscription.js";
export type {
  Actor,
  Event,
  Filter,
  InfoResult,
  Limits,
  ListResult,
  NewEvent,
  Receipt,
  Target,
  TopicResult,
  TopicsParams,
  TopicsResult,
} from "./wire.js";
