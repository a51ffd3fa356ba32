/** The events view: what is asked for on the left, events in the middle, one of them in full on the right. */

import type { Event, News, RemoteLog } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import type { EventList } from "./event-list.js";
import "./event-detail.js";
import "./event-list.js";
import "./facets.js";
import "./topic-tree.js";
import { exportEvents, type Format, MOST_EVENTS } from "./exporting.js";
import { countText } from "./format.js";
import { EVERYTHING, type Facet, formatShown, type Shown, sameEvents } from "./query.js";
import { Reader } from "./reader.js";
import { shared } from "./theme.js";
import type { TopicTree } from "./topic-tree.js";

/** Counts of topics are asked for anew at most so often. */
const COUNTS_MS = 5_000;
/** What is frequent among the loaded events is looked at anew at most so often. */
const FACETS_MS = 1_000;

export class EventsView extends LitElement {
  static override properties = {
    log: { attribute: false },
    shown: { attribute: false },
    connected: { type: Boolean },
    exporting: { state: true },
    sidebar: { state: true },
  };
  declare log: RemoteLog | undefined;
  declare shown: Shown;
  declare connected: boolean;
  declare exporting: string | undefined;
  declare sidebar: boolean;
  #reader: Reader | undefined;
  #loaded: readonly Event[] = [];
  /** Whether the tail has lost its connection, and has not gone on since: being connected again is not enough. */
  #resuming = false;
  #loading: ReturnType<typeof setTimeout> | undefined;
  #counting: ReturnType<typeof setTimeout> | undefined;
  /** Index of the newest event that was there when the topics were to be counted. */
  #counted = -1;
  #export = new AbortController();

  constructor() {
    super();
    this.shown = EVERYTHING;
    this.connected = true;
    this.sidebar = false;
  }

  override willUpdate(changed: Map<string, unknown>): void {
    const before = changed.get("shown") as Shown | undefined;
    const other = before !== undefined && !sameEvents(before, this.shown);
    if (this.log !== undefined && (changed.has("log") || other)) this.#start(this.shown.event);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#reader?.stop();
    clearTimeout(this.#loading);
    clearTimeout(this.#counting);
  }

  /** Be told of the connection: what it brings after a loss joins what was there. */
  told(news: News): void {
    if (news.type === "disconnected") this.#resuming = this.#reader?.mode === "live";
    if (news.type === "resumed") {
      this.#resuming = false;
      this.#reader?.bar("resumed", "The connection was lost and made again. Nothing is missing.");
    }
    this.requestUpdate();
  }

  #start(around: string | undefined): void {
    this.#reader?.stop();
    this.#resuming = false;
    if (this.log === undefined) return;
    const reader = new Reader(this.log, this.shown, () => this.#changed());
    this.#reader = reader;
    void reader.start(around).then(() => this.#look());
  }

  #changed(): void {
    this.#loading ??= setTimeout(() => this.#look(), FACETS_MS);
    const size = this.#reader?.window.newest?.index ?? -1;
    if (size > this.#counted) {
      this.#counted = size;
      this.#counting ??= setTimeout(() => {
        this.#counting = undefined;
        void this.renderRoot.querySelector<TopicTree>("audit-topic-tree")?.refresh();
      }, COUNTS_MS);
    }
    this.renderRoot.querySelector<EventList>("audit-event-list")?.requestUpdate();
    this.requestUpdate();
  }

  /** Take what is loaded now for what the facets count. */
  #look(): void {
    clearTimeout(this.#loading);
    this.#loading = undefined;
    this.#loaded = (this.#reader?.window.rows ?? []).flatMap((row) => ("event" in row ? [row.event] : []));
    this.requestUpdate();
  }

  #show(shown: Shown): void {
    this.dispatchEvent(new CustomEvent("change-shown", { detail: shown, bubbles: true, composed: true }));
  }

  #newest(): void {
    this.renderRoot.querySelector<EventList>("audit-event-list")?.toTop();
    if (this.#reader?.window.hasNewer || this.#reader?.mode === "off") this.#start(undefined);
  }

  async #pauseOrResume(): Promise<void> {
    const reader = this.#reader;
    if (reader?.mode === "paused") {
      const joined = await reader.resume().catch(() => false);
      if (!joined && reader === this.#reader) this.#start(undefined);
    } else reader?.pause();
  }

  async #save(format: Format): Promise<void> {
    this.#export.abort();
    const control = new AbortController();
    this.#export = control;
    try {
      const progress = (events: number) => {
        this.exporting = `${countText(events)} events…`;
      };
      const { blob, events, cut } = await exportEvents(this.shown, format, progress, control.signal);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `events.${format}`;
      link.click();
      URL.revokeObjectURL(link.href);
      this.exporting = `${countText(events)} events saved${cut ? `: only the first ${countText(MOST_EVENTS)}` : ""}`;
    } catch (error) {
      this.exporting = control.signal.aborted ? undefined : String(error);
    }
  }

  /** What is said of the tail, and in which colour. */
  #state(): [string, string] {
    if (!this.connected || this.#resuming) return ["reconnecting", "Reconnecting…"];
    const { mode, window } = this.#reader ?? { mode: "off", window: { hasNewer: false } };
    if (this.#reader?.forbidden) return ["off", "Not allowed"];
    if (mode === "live") return ["live", "Live, caught up"];
    if (mode === "behind") return ["behind", "Behind, catching up"];
    if (mode === "paused") return ["paused", "Paused"];
    return ["off", window.hasNewer ? "Newer events above" : this.shown.to ? "Fixed range" : "Not live"];
  }

  override render(): TemplateResult {
    const { shown } = this;
    const reader = this.#reader;
    const [state, said] = this.#state();
    const asked = Object.entries(shown.filter) as [Facet, string][];
    return html`<main class="view ${shown.event ? "detailed" : ""} ${this.sidebar ? "filtering" : ""}">
      <section class="asked" aria-label="Which events">
        <button class="narrow" @click=${() => {
          this.sidebar = false;
        }}>Show events</button>
        <h2>Topics</h2>
        <audit-topic-tree
          .log=${this.log}
          .chosen=${shown.topic}
          @choose=${(event: CustomEvent<string[]>) => this.#show({ ...shown, topic: event.detail, event: undefined, base: undefined })}
        ></audit-topic-tree>
        <hr />
        <audit-facets .shown=${shown} .events=${this.#loaded}></audit-facets>
        <p class="quiet small">Numbers beside values count the ${countText(reader?.window.events ?? 0)} events loaded.</p>
      </section>
      <section class="found" aria-label="Events">
        <div class="bar">
          <button class="narrow" @click=${() => {
            this.sidebar = true;
          }}>Filter</button>
          <span class="state ${state}" role="status">${said}</span>
          ${
            state === "live" || state === "behind" || state === "paused"
              ? html`<button aria-pressed=${state === "paused" ? "true" : "false"} @click=${this.#pauseOrResume}>
                  ${state === "paused" ? "Resume" : "Pause"}
                </button>`
              : nothing
          }
          <button @click=${this.#newest}>Newest</button>
          <span class="chips">
            ${shown.topic.length > 0 ? html`<span class="chip">${shown.topic.join("/")}</span>` : nothing}
            ${asked.map(([facet, value]) => html`<span class="chip">${facet} = ${value}</span>`)}
            ${
              formatShown({ ...shown, event: undefined, base: undefined }) !== ""
                ? html`<button class="plain" @click=${() => this.#show({ ...EVERYTHING, event: shown.event })}>Clear</button>`
                : nothing
            }
          </span>
          <span class="save" role="group" aria-label="Save these events as a file">
            <span class="quiet" role="status">${this.exporting ?? "Save as"}</span>
            ${(["json", "csv", "ndjson"] as const).map(
              (format) =>
                html`<button title="Save all events of this query" @click=${() => this.#save(format)}>${format.toUpperCase()}</button>`,
            )}
          </span>
        </div>
        ${reader?.problem && !reader.forbidden ? html`<p class="problem" role="alert">${reader.problem} <button @click=${() => this.#start(undefined)}>Try again</button></p>` : nothing}
        <audit-event-list
          .reader=${reader}
          .chosen=${shown.event}
          @open-event=${(event: CustomEvent<Event>) => this.#show({ ...shown, event: event.detail.id })}
        ></audit-event-list>
      </section>
      ${
        shown.event === undefined
          ? nothing
          : html`<audit-event-detail
              class="detail"
              .log=${this.log}
              .event=${shown.event}
              .base=${shown.base}
              @close-event=${() => this.#show({ ...shown, event: undefined, base: undefined })}
              @choose-base=${(event: CustomEvent<string | undefined>) => this.#show({ ...shown, base: event.detail })}
            ></audit-event-detail>`
      }
    </main>`;
  }

  static override styles = [
    shared,
    css`
      :host {
        display: block;
        min-height: 0;
        height: 100%;
      }
      .view {
        display: grid;
        grid-template-columns: 270px minmax(0, 1fr);
        height: 100%;
      }
      .view.detailed {
        grid-template-columns: 270px minmax(0, 1fr) minmax(340px, 30%);
      }
      .asked {
        overflow-y: auto;
        padding: 12px;
        border-right: 1px solid var(--line);
      }
      audit-topic-tree {
        display: block;
        max-height: 45vh;
        overflow-y: auto;
      }
      hr {
        border: 0;
        border-top: 1px solid var(--line);
        margin: 12px 0;
      }
      .found {
        display: flex;
        flex-direction: column;
        min-height: 0;
        min-width: 0;
      }
      .detail {
        border-left: 1px solid var(--line);
        min-height: 0;
        overflow: hidden;
      }
      .bar {
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 8px 14px;
        border-bottom: 1px solid var(--line);
        flex-wrap: wrap;
      }
      .chips {
        display: flex;
        gap: 6px;
        flex: 1 1 auto;
        flex-wrap: wrap;
        align-items: center;
        min-width: 0;
      }
      .chip {
        background: var(--chosen);
        border-radius: 6px;
        padding: 2px 8px;
        overflow-wrap: anywhere;
      }
      .save {
        display: flex;
        gap: 6px;
        align-items: center;
      }
      .state::before {
        content: "";
        display: inline-block;
        width: 9px;
        height: 9px;
        border-radius: 50%;
        margin-right: 6px;
        background: var(--quiet);
      }
      .state.live::before {
        background: var(--good);
      }
      .state.behind::before,
      .state.paused::before {
        background: var(--warn);
      }
      .state.reconnecting::before {
        background: var(--bad);
      }
      .problem {
        margin: 0;
        padding: 8px 14px;
        background: var(--bad-bg);
      }
      .small {
        font-size: 12px;
        margin: 0;
      }
      .narrow {
        display: none;
      }
      @media (max-width: 1100px) {
        .view.detailed {
          grid-template-columns: minmax(0, 1fr) minmax(340px, 45%);
        }
        .view.detailed .asked {
          display: none;
        }
      }
      @media (max-width: 800px) {
        .view,
        .view.detailed {
          grid-template-columns: minmax(0, 1fr);
        }
        .narrow {
          display: inline-block;
        }
        .asked,
        .detailed .found {
          display: none;
        }
        .filtering .asked {
          display: block;
          border: 0;
        }
        .filtering .found {
          display: none;
        }
        .detail {
          border: 0;
        }
        .save > .quiet:empty {
          display: none;
        }
      }
    `,
  ];
}

customElements.define("audit-events-view", EventsView);
