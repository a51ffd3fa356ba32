/** The metrics view: a measure of the events that are chosen, over time, kept up with. */

import type { MetricState, RemoteLog } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult, unsafeCSS } from "lit";
import UPlot from "uplot";
import plotStyle from "uplot/dist/uPlot.min.css?inline";
import {
  curlOf,
  isRegistered,
  type Lines,
  linesOf,
  MEASURES,
  MOST_LINES,
  needsField,
  queryOf,
  registered,
  seconds,
  valueText,
} from "./charting.js";
import { timeText } from "./format.js";
import { type Chart, FACETS, FIRST_CHART, type Shown } from "./query.js";
import { shared } from "./theme.js";

const WINDOWS = ["10s", "1m", "5m", "1h", "1d"];
const SPANS = ["10m", "1h", "6h", "1d", "7d", "30d"];
const COLOURS = ["--accent", "--number", "--warn", "--bad", "--key", "--quiet", "--string", "--text"];
const HEIGHT_PX = 320;
const TABLE_ROWS = 50;

export class MetricsView extends LitElement {
  static override properties = {
    log: { attribute: false },
    shown: { attribute: false },
    state: { state: true },
    problem: { state: true },
    names: { state: true },
  };
  declare log: RemoteLog | undefined;
  declare shown: Shown;
  declare state: MetricState | undefined;
  declare problem: string;
  /** Of the metrics that are registered at the server. */
  declare names: string[];
  #control = new AbortController();
  #plot: UPlot | undefined;
  #plotted = "";
  #lines: Lines = { at: [], lines: [], leftOut: 0 };
  readonly #resized = new ResizeObserver(() => this.#resize());

  constructor() {
    super();
    this.shown = { topic: [], filter: {}, chart: FIRST_CHART };
    this.problem = "";
    this.names = [];
  }

  get #chart(): Chart {
    return this.shown.chart ?? FIRST_CHART;
  }

  override willUpdate(changed: Map<string, unknown>): void {
    if (changed.has("log") && this.log !== undefined) void this.#list(this.log);
    if (this.log !== undefined && (changed.has("log") || changed.has("shown"))) void this.#follow(this.log);
    if (changed.has("state"))
      this.#lines = linesOf(this.state ?? { windows: [] }, this.#chart.measure, seconds(this.#chart.window));
  }

  override firstUpdated(): void {
    this.#resized.observe(this.renderRoot.querySelector(".plot") as Element);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#control.abort();
    this.#resized.disconnect();
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  override updated(): void {
    this.#draw();
  }

  async #list(log: RemoteLog): Promise<void> {
    // Who may not see them does without.
    this.names = (await log.metrics.list().catch(() => [])).map((metric) => metric.name);
  }

  async #follow(log: RemoteLog): Promise<void> {
    this.#control.abort();
    const control = new AbortController();
    this.#control = control;
    this.state = undefined;
    this.problem = "";
    const query = queryOf(this.shown, this.#chart);
    if (query === undefined) {
      this.problem = `${this.#chart.measure} is of the values at a field, such as data.duration_ms: name one.`;
      return;
    }
    try {
      for await (const state of log.metrics.subscribe({ ...query, every: 1_000 }, { signal: control.signal })) {
        this.state = state;
      }
    } catch (error) {
      if (!control.signal.aborted) this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  #draw(): void {
    const { at, lines } = this.#lines;
    const box = this.renderRoot.querySelector(".plot") as HTMLElement;
    const data = [at, ...lines.map((line) => line.values)] as UPlot.AlignedData;
    const plotted = lines.map((line) => line.name).join("\n");
    if (this.#plot === undefined || plotted !== this.#plotted) {
      this.#plot?.destroy();
      this.#plotted = plotted;
      const style = getComputedStyle(this);
      const colour = (name: string) => style.getPropertyValue(name).trim() || "#888";
      const resolved = (name: string) => {
        // `light-dark()` is for style sheets: a canvas wants what it comes to.
        box.style.color = `var(${name})`;
        const found = getComputedStyle(box).color;
        box.style.color = "";
        return found || colour(name);
      };
      const axis = {
        stroke: resolved("--quiet"),
        grid: { stroke: resolved("--line"), width: 1 },
        ticks: { stroke: resolved("--line") },
      };
      this.#plot = new UPlot(
        {
          width: box.clientWidth,
          height: HEIGHT_PX,
          series: [
            {},
            ...lines.map((line, n) => ({
              label: line.name,
              stroke: resolved(COLOURS[n % COLOURS.length] ?? "--text"),
              width: 1.5,
              points: { show: at.length < 80 },
            })),
          ],
          axes: [axis, { ...axis, size: 64 }],
          scales: {
            x: { range: () => this.#span() },
            y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.05 : 1] },
          },
        },
        data,
        box,
      );
      this.#plot.over.addEventListener("click", () => {
        const place = this.#plot?.cursor.idx;
        const start = place == null ? undefined : this.#lines.at[place];
        if (start !== undefined) this.#events(new Date(start * 1_000).toISOString());
      });
    } else this.#plot.setData(data);
  }

  /** The span that is asked for, up to what is known. */
  #span(): [number, number] {
    const to = Date.parse(this.state?.as_of.time ?? "") || Date.now();
    return [to / 1_000 - seconds(this.#chart.last), to / 1_000];
  }

  #resize(): void {
    const box = this.renderRoot.querySelector(".plot");
    if (box !== null) this.#plot?.setSize({ width: box.clientWidth, height: HEIGHT_PX });
  }

  /** Show the events of one window. */
  #events(start: string): void {
    const window = this.state?.windows.find((one) => Date.parse(one.start) === Date.parse(start));
    if (window === undefined || isRegistered(this.#chart)) return;
    const iso = (time: string) => new Date(Date.parse(time)).toISOString();
    this.#show({ ...this.shown, chart: undefined, from: iso(window.start), to: iso(window.end) });
  }

  #show(shown: Shown): void {
    this.dispatchEvent(new CustomEvent("change-shown", { detail: shown, bubbles: true, composed: true }));
  }

  #set(chart: Partial<Chart>): void {
    this.#show({ ...this.shown, chart: { ...this.#chart, ...chart } });
  }

  #select(name: "window" | "last", label: string, values: readonly string[]): TemplateResult {
    const chosen = this.#chart[name];
    const all = values.includes(chosen) ? values : [chosen, ...values];
    return html`<label><span>${label}</span>
      <select name=${name} @change=${(event: Event) => this.#set({ [name]: (event.target as HTMLSelectElement).value })}>
        ${all.map((value) => html`<option ?selected=${value === chosen}>${value}</option>`)}
      </select></label>`;
  }

  #input(name: "field" | "group", label: string, example: string): TemplateResult {
    return html`<label><span>${label}</span>
      <input name=${name} placeholder=${example} .value=${this.#chart[name] ?? ""}
        @change=${(event: Event) => this.#set({ [name]: (event.target as HTMLInputElement).value.trim() || undefined })} /></label>`;
  }

  override render(): TemplateResult {
    const { shown, state } = this;
    const chart = this.#chart;
    const query = queryOf(shown, chart);
    const asked = FACETS.flatMap((facet) =>
      shown.filter[facet] === undefined ? [] : [`${facet} = ${shown.filter[facet]}`],
    );
    return html`<main>
      <form @submit=${(event: Event) => event.preventDefault()}>
        <label><span>Measure</span>
          <select name="measure" @change=${(event: Event) => this.#set({ measure: (event.target as HTMLSelectElement).value })}>
            ${MEASURES.map((name) => html`<option value=${name} ?selected=${name === chart.measure}>${name === "rate" ? "rate per minute" : name}</option>`)}
            ${this.names.map((name) => html`<option value=${registered(name)} ?selected=${registered(name) === chart.measure}>${name} (registered)</option>`)}
          </select></label>
        ${needsField(chart) ? this.#input("field", "Field", "data.duration_ms") : nothing}
        ${isRegistered(chart) ? nothing : this.#input("group", "Group by", "actor.id")}
        ${this.#select("window", "Window", WINDOWS)}
        ${this.#select("last", "Last", SPANS)}
      </form>
      ${
        isRegistered(chart)
          ? nothing
          : html`<p class="quiet">Of ${shown.topic.length > 0 ? html`<b>${shown.topic.join("/")}</b>` : "all events"}${asked.map((one) => html`, <b>${one}</b>`)}:
            chosen in the events view.</p>`
      }
      <p class="total" role="status">
        <b>${state === undefined ? "…" : valueText(state.total)}</b>
        <span class="quiet">${state === undefined ? "" : html`in all, as of ${timeText(Date.parse(state.as_of.time))}`}
        ${this.#lines.leftOut > 0 ? ` · the ${MOST_LINES} groups with the most events; ${this.#lines.leftOut} more are not drawn` : ""}</span>
      </p>
      ${this.problem ? html`<p role="alert">${this.problem}</p>` : nothing}
      <div class="plot" role="img" aria-label="The measure over time; the table below has its values"></div>
      <details>
        <summary>Newest windows as a table</summary>
        <table>
          <thead><tr><th scope="col">From</th><th scope="col">Group</th><th scope="col">Value</th><th scope="col">Events</th></tr></thead>
          <tbody>${[...(state?.windows ?? [])]
            .reverse()
            .slice(0, TABLE_ROWS)
            .map(
              (window) => html`<tr>
              <td><button class="plain" ?disabled=${isRegistered(chart)} title="Show these events" @click=${() => this.#events(window.start)}>${timeText(Date.parse(window.start))}</button></td>
              <td>${window.group ?? ""}</td><td>${valueText(window.value)}</td><td>${window.count}</td></tr>`,
            )}</tbody>
        </table>
      </details>
      ${
        query === undefined
          ? nothing
          : html`<h2>The same by program</h2>
            <pre tabindex="0" aria-label="Query">${JSON.stringify(query)}
${curlOf(query, location.origin + location.pathname.replace(/\/$/, ""))}</pre>`
      }
    </main>`;
  }

  static override styles = [
    shared,
    unsafeCSS(plotStyle),
    css`
      :host {
        display: block;
        overflow-y: auto;
      }
      main {
        max-width: 1100px;
        margin: 0 auto;
        padding: 14px;
      }
      form {
        display: flex;
        flex-wrap: wrap;
        gap: 10px;
      }
      label {
        flex: 1 1 130px;
      }
      label > span {
        display: block;
        font-size: 12px;
        color: var(--quiet);
      }
      p {
        margin: 10px 0;
      }
      .total b {
        font-size: 28px;
        font-weight: 600;
        font-variant-numeric: tabular-nums;
      }
      [role="alert"] {
        background: var(--warn-bg);
        padding: 8px 12px;
        border-radius: 6px;
      }
      .plot {
        min-height: 320px;
      }
      .u-over {
        cursor: pointer;
      }
      table {
        border-collapse: collapse;
        width: 100%;
        font-variant-numeric: tabular-nums;
      }
      th,
      td {
        text-align: left;
        padding: 2px 10px 2px 0;
        border-bottom: 1px solid var(--line);
      }
      td button {
        padding: 0;
        color: var(--accent);
      }
      summary {
        cursor: pointer;
        margin: 10px 0;
      }
      pre {
        font: 12.5px / 1.5 var(--mono);
        white-space: pre-wrap;
        overflow-wrap: anywhere;
        padding: 10px;
        background: var(--raised);
        border: 1px solid var(--line);
        border-radius: 6px;
      }
    `,
  ];
}

customElements.define("audit-metrics-view", MetricsView);
