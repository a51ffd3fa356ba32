/** The status view: what a visitor wants to know. Are things well, were they, and what happened. */

import type { MetricState, RemoteLog } from "@audit/client";
import { html, LitElement, nothing, type TemplateResult } from "lit";
import { type Board, boardOf, type Part, RATE_MS } from "./board.js";
import { valueText } from "./charting.js";
import { momentText, spanText } from "./format.js";
import { byComponent, dayShown, type Incident, incidentShown, incidentsOf } from "./incidents.js";
import { type Follow, linkTo } from "./links.js";
import { EVERYTHING, type Shown } from "./query.js";
import { Standing } from "./standing.js";
import { statusStyle } from "./status-style.js";
import { levels, shared } from "./theme.js";
import { type Component, componentsOf, type Day, overallOf, pathOf, percentText, staleSince } from "./uptime.js";
import "./uptime-bars.js";

/** Without a word of the server for so long, what is shown is stale. */
const PATIENCE_MS = 30_000;
const DRAW_MS = 100;
const MOST_INCIDENTS = 20;
const MOST_COMPONENTS = 100;
const SPARK = { width: 120, height: 30 };
const LEGEND = [
  ["up", "up"],
  ["brief", "down in brief"],
  ["some", "down in part"],
  ["down", "down for most of the day"],
  ["planned", "planned maintenance"],
  ["none", "no data"],
] as const;
const STATES = { up: "Up", down: "Down", planned: "In planned maintenance", unknown: "No data" };

/** What is to be drawn of components, made when they are told of and not each second. */
interface Seen {
  readonly standing: Standing;
  readonly version: number;
  readonly components: readonly Component[];
  readonly incidents: readonly Incident[];
  /** The events behind a day, by component; without any, they are not for whoever looks. */
  readonly behind: ReadonlyMap<string, (day: Day) => Shown>;
}

export class StatusView extends LitElement {
  static override properties = {
    log: { attribute: false },
    board: { attribute: false },
    connected: { type: Boolean },
  };
  declare log: RemoteLog | undefined;
  declare board: Board;
  declare connected: boolean;
  #standing: Standing | undefined;
  #seen: Seen | undefined;
  #drawing: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.board = boardOf();
    this.connected = false;
  }

  override willUpdate(changed: Map<string, unknown>): void {
    if (this.log !== undefined && (changed.has("log") || changed.has("board"))) {
      this.#standing?.stop();
      this.#standing = new Standing(this.log, this.board, () => this.#changed());
      void this.#standing.start();
    } else if (changed.has("connected")) this.#standing?.connected(this.connected);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#drawing);
    this.#standing?.stop();
  }

  /** What comes together is drawn together. */
  #changed(): void {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = undefined;
      this.requestUpdate();
    }, DRAW_MS);
  }

  /** The same function always: what is given it has nothing to draw anew. */
  readonly #show = (shown: Shown) => {
    this.dispatchEvent(new CustomEvent("change-shown", { detail: shown, bubbles: true, composed: true }));
  };

  get #follow(): Follow {
    // A frame stays what it is.
    return this.board.embed ? undefined : this.#show;
  }

  /** Whether the events behind what is shown are for whoever looks. */
  get #mayRead(): boolean {
    return this.#standing?.refused.get("events") === undefined;
  }

  override render(): TemplateResult {
    const standing = this.#standing;
    if (standing === undefined || (standing.told.size === 0 && !standing.hopeless)) {
      return html`<main><p class="quiet" role="status">Loading…</p></main>`;
    }
    const { told, lost, refused } = standing;
    if (told.size === 0) return this.#nothing(standing);
    const stale = staleSince(Date.now(), standing.freshMs, lost, PATIENCE_MS);
    const { components, incidents } = this.#look(standing);
    return html`<main class=${stale === undefined ? "" : "stale"}>
      ${this.board.embed ? html`<h1 class="hidden">Status</h1>` : nothing}
      <p class="mark" role="alert" ?hidden=${stale === undefined}>${stale === undefined ? nothing : this.#stale(stale, lost)}</p>
      ${refused.has("up") ? nothing : this.#overall(components, told.get("up"), stale !== undefined)}
      <div class="figures">
        ${this.#figure("rate", "rates", "Events a minute", "the last minute", this.#rateShown())}
        ${this.#figure("active", "active", "Active connections", "open now", this.#activeShown())}
      </div>
      ${told.has("days") || (told.has("up") && refused.has("days")) ? this.#components(components) : nothing}
      ${this.#problem("days")}
      ${this.#mayRead ? this.#incidents(incidents) : nothing}
    </main>`;
  }

  #look(standing: Standing): Seen {
    const { version, board, changes } = standing;
    if (this.#seen?.standing === standing && this.#seen.version === version) return this.#seen;
    const components = componentsOf(standing.names, standing.told);
    const own = byComponent(changes);
    const behind = new Map(
      this.#mayRead
        ? components.map(({ name }) => [name, (day: Day) => dayShown(board, name, day, own.get(name) ?? [])])
        : [],
    );
    this.#seen = { standing, version, components, incidents: incidentsOf(changes), behind };
    return this.#seen;
  }

  /** Nothing of it is to be had: that is said calmly, if it is meant to be so. */
  #nothing(standing: Standing): TemplateResult {
    const problem = [...standing.refused.values()].find((one) => one.problem !== undefined)?.problem;
    const topic = this.board.topic.join("/");
    return html`<main><h2 class="overall">${problem === undefined ? "This status is not for you to see" : "The status can't be told"}</h2>
      <p class="quiet">${problem ?? html`It is of what is below <b>${topic}</b>, and you may not see that. Whoever runs this server can let you.`}</p></main>`;
  }

  #stale(sinceMs: number, lost: boolean): TemplateResult {
    const ago = spanText(Math.max(1, (Date.now() - sinceMs) / 1_000));
    return html`<b>Not up to date.</b> ${lost ? "The connection is lost" : "The server has said nothing"} since
      <time datetime=${new Date(sinceMs).toISOString()}>${momentText(sinceMs)}</time>${
        // Read out once, and not anew each second.
        html`<span aria-hidden="true"> (${ago})</span>`
      }: what is below was so then.`;
  }

  #overall(components: readonly Component[], state: MetricState | undefined, stale: boolean): TemplateResult {
    const { state: name, text } = state === undefined ? { state: "unknown", text: "Loading…" } : overallOf(components);
    return html`<section role="status"><h2 class="overall" data-state=${name}>${stale ? "Last known: " : nothing}${text}</h2></section>`;
  }

  #rateShown(): Shown | undefined {
    const asOf = Date.parse(this.#standing?.told.get("rate")?.as_of.time ?? "");
    const [topic, ...others] = this.#standing?.topics ?? [];
    if (topic === undefined || others.length > 0 || Number.isNaN(asOf)) return undefined;
    // Just those that it counts.
    return { ...EVERYTHING, topic, from: new Date(asOf - RATE_MS).toISOString(), to: new Date(asOf).toISOString() };
  }

  #activeShown(): Shown | undefined {
    const [topic, ...others] = this.#standing?.topics ?? [];
    return topic === undefined || others.length > 0
      ? undefined
      : { ...EVERYTHING, topic, filter: { action: this.board.open } };
  }

  #figure(
    now: Part,
    course: Part,
    name: string,
    what: string,
    behind: Shown | undefined,
  ): TemplateResult | typeof nothing {
    const standing = this.#standing;
    if (standing === undefined) return nothing;
    if (standing.refused.has(now)) return this.#problem(now);
    const state = standing.told.get(now);
    const number = state === undefined ? "…" : valueText(state.total ?? 0);
    const values = (standing.told.get(course)?.windows ?? []).map((one) =>
      typeof one.value === "number" ? one.value : 0,
    );
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const link = behind !== undefined && this.#mayRead ? linkTo(behind, this.#follow) : undefined;
    return html`<section class="figure" data-part=${now} aria-label=${name}>
      <h2>${name}</h2>
      ${
        link === undefined
          ? html`<b class="number">${number}</b>`
          : html`<a class="number" href=${link.href} target=${link.target ?? nothing} rel=${link.rel ?? nothing}
              title="Show these events" @click=${link.click}>${number}</a>`
      }
      <span class="quiet">${what}</span>
      ${
        values.length < 2
          ? nothing
          : html`<svg viewBox="0 -1 ${SPARK.width} ${SPARK.height + 2}" preserveAspectRatio="none" role="img"
              aria-label=${`Within the last hour between ${valueText(least)} and ${valueText(most)}`}>
              <path d=${pathOf(values, SPARK.width, SPARK.height)} /></svg>`
      }
    </section>`;
  }

  #problem(part: Part): TemplateResult | typeof nothing {
    const problem = this.#standing?.refused.get(part)?.problem;
    // What is not for whoever looks is left out.
    return problem === undefined ? nothing : html`<p class="quiet">This can't be told: ${problem}</p>`;
  }

  #components(components: readonly Component[]): TemplateResult {
    const { topic, up, down } = this.board;
    if (components.length === 0) {
      return html`<section aria-labelledby="components"><h2 id="components">Components</h2>
        <p>Nothing has said yet that it is up. A component does by an event with the action <code>${up}</code> (and
        <code>${down}</code>) and the topic <code>${topic.join("/")}/NAME</code>.</p></section>`;
    }
    const rank = { down: 0, planned: 1, unknown: 2, up: 3 };
    // By name, so that none jumps about; of more than can be shown, first those that are not up.
    const ranked = [...components].sort((one, other) => rank[one.state] - rank[other.state]);
    const shown = components.length > MOST_COMPONENTS ? ranked.slice(0, MOST_COMPONENTS) : components;
    return html`<section aria-labelledby="components">
      <h2 id="components">Components, over 90 days (UTC)</h2>
      ${shown.map((one) => this.#component(one))}
      <p class="legend quiet">${LEGEND.map(([kind, text]) => html`<span><i class=${kind}></i>${text}</span>`)}</p>
      ${components.length > MOST_COMPONENTS ? html`<p class="quiet">${components.length - MOST_COMPONENTS} more are not shown.</p>` : nothing}
    </section>`;
  }

  #component(one: Component): TemplateResult {
    return html`<article data-name=${one.name} data-state=${one.state}>
      <h3><span>${one.name}</span> <span class="state">${STATES[one.state]}</span>
        ${one.uptime === null ? nothing : html`<span class="quiet share">${percentText(one.uptime)}</span>`}</h3>
      ${this.#bars(one)}
    </article>`;
  }

  #bars(one: Component): TemplateResult | typeof nothing {
    if (one.days.some((day) => day.level !== "none")) {
      return html`<audit-uptime-bars .name=${one.name} .days=${one.days} .follow=${this.#follow}
        .shownOf=${this.#seen?.behind.get(one.name)}></audit-uptime-bars>`;
    }
    // Of more components than one answer holds days of, the states are shown all the same.
    return this.#standing?.refused.has("days")
      ? nothing
      : html`<p class="quiet">No data: nothing has said whether it is up.</p>`;
  }

  #incidents(incidents: readonly Incident[]): TemplateResult {
    return html`<section aria-labelledby="incidents">
      <h2 id="incidents">Incidents and maintenance</h2>
      ${incidents.length === 0 ? html`<p class="quiet">None within 90 days.</p>` : nothing}
      <ul>${incidents.slice(0, MOST_INCIDENTS).map((one) => this.#incident(one))}</ul>
      ${incidents.length > MOST_INCIDENTS ? html`<p class="quiet">${incidents.length - MOST_INCIDENTS} older ones are not shown.</p>` : nothing}
    </section>`;
  }

  #incident(one: Incident): TemplateResult {
    const link = linkTo(incidentShown(this.board, one), this.#follow);
    const { from, to } = one;
    const what = one.kind === "planned" ? "planned maintenance" : "down";
    return html`<li data-kind=${one.kind} data-open=${String(to === undefined)}>
      <a href=${link.href} target=${link.target ?? nothing} rel=${link.rel ?? nothing} @click=${link.click}
        ><b>${one.component}</b> ${what}</a>
      <span class="quiet"><time datetime=${new Date(from.atMs).toISOString()}>${momentText(from.atMs)}</time>,
        ${to === undefined ? html`<b>goes on</b>` : `for ${spanText(Math.max(1, (to.atMs - from.atMs) / 1_000))}`}</span>
      ${from.text === undefined ? nothing : html`<p>${from.text}</p>`}
    </li>`;
  }

  static override styles = [shared, levels, statusStyle];
}

customElements.define("audit-status-view", StatusView);
