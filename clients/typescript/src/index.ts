/** An audit log over WebSocket: pages of history, live tails that resume exactly, appends that happen once. */

export type { Backoff } from "./backoff.js";
export type { Bound } from "./bounds.js";
export { type Checkpoint, parseCheckpoint } from "./checkpoints.js";
export {
  AuditError,
  CheckpointAhead,
  CheckpointBehind,
  ClientClosed,
  ClockSuspect,
  Conflict,
  CursorExpired,
  CursorInvalid,
  Forbidden,
  HashMismatch,
  HistoryForked,
  InvalidParameter,
  MethodNotFound,
  NotFound,
  OutcomeUnknown,
  Overloaded,
  ProofInvalid,
  ProofMalformed,
  ProtocolViolation,
  SignatureInvalid,
  TamperDetected,
  TooLarge,
  Unauthorized,
  Unavailable,
  WrongKey,
  WrongOrigin,
} from "./errors.js";
export type { FeedBatch } from "./feed.js";
export { leafHash } from "./leaves.js";
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
export { type Verified, verifyInclusion } from "./proof.js";
export { Subscription } from "./subscription.js";
export type { VerifyOptions } from "./verification.js";
export type {
  Actor,
  ConsistencyResult,
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
  SelectionResult,
  Target,
  TopicResult,
  TopicsParams,
  TopicsResult,
  Window,
} from "./wire.js";
