/** An audit log over WebSocket: pages of history, live tails that resume exactly, appends that happen once. */

export type { Backoff } from "./backoff.js";
export type { Bound } from "./bounds.js";
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
  TamperDetected,
  TooLarge,
  Unauthorized,
  Unavailable,
} from "./errors.js";
export type { FeedBatch } from "./feed.js";
export {
  type Batch,
  connect,
  type ListQuery,
  RemoteLog,
  type SubscribeQuery,
  Tail,
} from "./log.js";
export type { MetricState } from "./metricfeed.js";
export type { MetricQuery, RemoteMetrics, WatchQuery } from "./metrics.js";
export type { CallOptions, ConnectOptions, News } from "./options.js";
export { type Checkpoint, leafHash, parseCheckpoint, type Verified, verifyInclusion } from "./proof.js";
export { Subscription } from "./subscription.js";
export type {
  Actor,
  Event,
  Filter,
  InclusionResult,
  InfoResult,
  Limits,
  ListResult,
  MetricEntry,
  MetricResult,
  NewEvent,
  Receipt,
  Target,
  TopicResult,
  TopicsParams,
  TopicsResult,
  Window,
} from "./wire.js";
