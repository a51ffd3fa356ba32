/** Metrics of a log elsewhere: values over windows of time, asked for once or kept up with. */

import { type Bounded, bounded } from "./bounds.js";
import type { Core } from "./core.js";
import { MetricFeed, type MetricState } from "./metricfeed.js";
import type { CallOptions } from "./options.js";
import { Subscription } from "./subscription.js";
import type { MetricEntry, MetricQuery as MetricParams, MetricResult, MetricsResult, WatchParams } from "./wire.js";

/** A `measure` with what goes with it, or a registered `metric`; which events, over which span, in which windows. */
export type MetricQuery = Bounded<MetricParams>;
/** The same, to be kept up with: `every` so many milliseconds at most. */
export type WatchQuery = Bounded<WatchParams>;

export class RemoteMetrics {
  /** @internal */
  constructor(private readonly core: Core) {}

  /** Return the metrics that are registered at the server, by name. */
  async list(options: CallOptions = {}): Promise<MetricEntry[]> {
    return ((await this.core.call("metrics.list", {}, options.signal)) as MetricsResult).metrics;
  }

  /**
   * Return a metric as of now.
   *
   * Throws `InvalidParameter`, `NotFound` (no such metric is registered) or `TooLarge` (it takes too long to compute, or
   * has too many windows).
   */
  async get(query: MetricQuery, options: CallOptions = {}): Promise<MetricResult> {
    return (await this.core.call("metrics.get", bounded(query), options.signal)) as MetricResult;
  }

  /**
   * Return a metric that is kept up with: an asynchronous iterable of its state, all windows each time. A reader who is
   * slow misses states, and no change.
   */
  subscribe(query: WatchQuery, options: CallOptions = {}): Subscription<MetricState> {
    return new Subscription(this.core, new MetricFeed(bounded(query)), "metrics.subscribe", options.signal);
  }
}
