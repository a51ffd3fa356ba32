/**
 * Keeps up with all that the status view shows: its metrics, and the events that say what happened.
 *
 * Owns the subscriptions. Invariant: what is told is what was so at `freshMs`, at least.
 */

import { type Event, Forbidden, type MetricState, type RemoteLog } from "@audit/client";
import { areTopics, type Board, byName, DAYS, PARTS, type Part, queriesOf } from "./board.js";
import { type Change, changeOf, KINDS, type Kind } from "./incidents.js";
import { percentText } from "./uptime.js";

const OF_COMPONENTS: ReadonlySet<Part> = new Set(["days", "whole", "planned", "up", "inPlanned"]);
const DAY_MS = 86_400_000;
/** Events of one kind in memory: what is older is not among the incidents. */
const MOST_CHANGES = 500;
/** Topics that may be asked for at once. */
const MOST_TOPICS = 64;
const NAMES = 1_000;
const TICK_MS = 1_000;
const AGAIN_MS = 2_000;
/** A server that has said nothing for so long is asked. */
const ASK_MS = 10_000;

/** Why something is not there: whoever asks may not see it (undefined), or what went wrong. */
export interface Refusal {
  readonly problem: string | undefined;
}

export class Standing {
  readonly told = new Map<Part, MetricState>();
  readonly refused = new Map<Part | "events", Refusal>();
  /** What is followed: the board's topic, or what may be seen below it. */
  topics: readonly (readonly string[])[] = [];
  /** Counts what was told of components: as long as it stays, nothing of them is other. */
  version = 0;
  /** When the server was heard of last. */
  freshMs: number | undefined;
  /** Whether there has been no connection since. */
  lost = false;
  /** Topics right below the board's. */
  #children: readonly (readonly string[])[] = [];
  readonly #changes = new Map<Kind, Change[]>();
  readonly #control = new AbortController();
  #ticking: ReturnType<typeof setInterval> | undefined;
  #asking = false;

  constructor(
    private readonly log: RemoteLog,
    readonly board: Board,
    private readonly onChange: () => void,
  ) {}

  /** Components that have any events. */
  get names(): string[] {
    return areTopics(this.board) ? this.#children.map((topic) => topic.at(-1) ?? "") : [];
  }

  /** Whether nothing of it is to be had. */
  get hopeless(): boolean {
    return PARTS.every((part) => this.refused.has(part)) || this.refused.get("events")?.problem !== undefined;
  }

  get changes(): Change[] {
    return KINDS.flatMap((kind) => this.#changes.get(kind) ?? []);
  }

  async start(): Promise<void> {
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    while (this.topics.length === 0) {
      try {
        this.topics = await this.#seen();
        if (this.refused.delete("events")) this.version += 1;
      } catch (error) {
        this.#refuse("events", error);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
      if (this.#signal.aborted) return;
    }
    const queries = queriesOf(this.board, this.topics);
    // Who may not see what is registered does without.
    const registered = await this.log.metrics.list({ signal: this.#signal }).catch(() => []);
    if (this.#signal.aborted) return;
    for (const part of PARTS) void this.#follow(part, byName(queries[part], registered));
    for (const kind of KINDS) void this.#read(kind);
  }

  stop(): void {
    clearInterval(this.#ticking);
    this.#control.abort();
  }

  /** Be told that the connection was lost, or is there again: then it is fresh once something was heard. */
  connected(is: boolean): void {
    if (is) void this.#ask();
    else this.lost = true;
    this.onChange();
  }

  get #signal(): AbortSignal {
    return this.#control.signal;
  }

  /** Return the topics to ask for: all of the board's, or, of who may not, those below it that they may see. */
  async #seen(): Promise<readonly (readonly string[])[]> {
    const { topic } = this.board;
    const options = { signal: this.#signal };
    try {
      this.#name((await this.log.topics({ topic: [...topic], limit: NAMES }, options)).topics);
    } catch (error) {
      // Numbers may be for somebody for whom events are not.
      if (!(error instanceof Forbidden)) throw error;
    }
    if (this.#children.length === 0) return [topic];
    try {
      await this.log.metrics.get({ measure: "count", topic: [...topic], last: "1m" }, options);
      return [topic];
    } catch (error) {
      if (!(error instanceof Forbidden)) throw error;
      return this.#children.slice(0, MOST_TOPICS);
    }
  }

  #name(topics: readonly { topic: readonly string[] }[]): void {
    if (topics.length !== this.#children.length) this.version += 1;
    this.#children = topics.map((one) => one.topic);
  }

  async #follow(part: Part, query: Parameters<RemoteLog["metrics"]["subscribe"]>[0]): Promise<void> {
    try {
      for await (const state of this.log.metrics.subscribe({ ...query, every: 1_000 }, { signal: this.#signal })) {
        const before = this.told.get(part);
        this.told.set(part, state);
        if (OF_COMPONENTS.has(part) && !looksAlike(part, before, state)) this.version += 1;
        this.#heard();
      }
    } catch (error) {
      this.#refuse(part, error);
    }
  }

  /** Read the newest changes of a kind, then follow what comes. */
  async #read(kind: Kind): Promise<void> {
    const options = { signal: this.#signal };
    const since = new Date(Date.now() - DAYS * DAY_MS).toISOString();
    const query = { topics: this.topics.map((topic) => [...topic]), filter: { action: this.board[kind] } };
    try {
      let newest: string | undefined;
      let count = 0;
      for await (const page of this.log.list({ ...query, seek: since, order: "desc", limit: MOST_CHANGES }, options)) {
        newest ??= page.events[0]?.id;
        count += page.events.length;
        this.#take(kind, page.events);
        if (count >= MOST_CHANGES) break;
      }
      const rest = newest === undefined ? { seek: since } : { seek: newest, inclusive: "right" as const };
      for await (const { events } of this.log.subscribe({ ...query, ...rest }, options)) this.#take(kind, events);
    } catch (error) {
      this.#refuse("events", error);
    }
  }

  #take(kind: Kind, events: readonly Event[]): void {
    const came = events.flatMap((event) => changeOf(event, kind, this.board) ?? []);
    if (came.length > 0) this.version += 1;
    const all = [...(this.#changes.get(kind) ?? []), ...came];
    all.sort((one, other) => one.index - other.index);
    this.#changes.set(kind, all.slice(-MOST_CHANGES));
    this.#heard();
  }

  #refuse(what: Part | "events", error: unknown): void {
    if (this.#signal.aborted) return;
    const problem = error instanceof Forbidden ? undefined : error instanceof Error ? error.message : String(error);
    this.refused.set(what, { problem });
    this.version += 1;
    this.onChange();
  }

  #heard(): void {
    this.freshMs = Date.now();
    this.lost = false;
    this.onChange();
  }

  #tick(): void {
    if (!this.lost && this.freshMs !== undefined && Date.now() - this.freshMs > ASK_MS) void this.#ask();
    this.onChange();
  }

  /** Have the server say something; also, which components there are by now. */
  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.#name(
        (await this.log.topics({ topic: [...this.board.topic], limit: NAMES }, { signal: this.#signal })).topics,
      );
      this.#heard();
    } catch (error) {
      // Refusing is an answer, too; no answer leaves it as old as it is.
      if (error instanceof Forbidden) this.#heard();
    } finally {
      this.#asking = false;
    }
  }
}

/** Whether nothing of it would be drawn in another way. */
function looksAlike(part: Part, before: MetricState | undefined, after: MetricState): boolean {
  // The span of all days moves on each millisecond, and its fraction with it.
  const textOf = ({ start, group, value, down_s }: MetricState["windows"][number]) =>
    part === "whole" && typeof value === "number"
      ? `${group} ${percentText(value)}`
      : `${start} ${group} ${value} ${down_s}`;
  if (before?.windows.length !== after.windows.length) return false;
  return after.windows.every((one, n) => {
    const other = before.windows[n];
    return one === other || (other !== undefined && textOf(one) === textOf(other));
  });
}
