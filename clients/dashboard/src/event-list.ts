/** A window of events as rows, of which only those in sight are in the page. Its scroll position belongs to an event. */

import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { recordedMs, someText, timeText, topicText } from "./format.js";
import type { Reader } from "./reader.js";
import { shared } from "./theme.js";
import type { Row } from "./window.js";

/** Rows that are in the page beyond those in sight, on either side. */
const SPARE_ROWS = 8;
/** Rows before the end at which more is asked for. */
const AHEAD_ROWS = 30;
const NARROW = matchMedia("(max-width: 800px)");

export class EventList extends LitElement {
  static override properties = { reader: { attribute: false }, chosen: { attribute: false } };
  declare reader: Reader | undefined;
  declare chosen: string | undefined;
  #active: string | undefined;
  #seen: Reader | undefined;
  #placed = false;
  readonly #resized = new ResizeObserver(() => this.requestUpdate());

  get #rowPx(): number {
    return NARROW.matches ? 56 : 34;
  }

  get #box(): HTMLElement {
    return this.renderRoot.querySelector(".box") as HTMLElement;
  }

  override firstUpdated(): void {
    this.#resized.observe(this.#box);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
  }

  /** Go to the newest event. */
  toTop(): void {
    this.#box.scrollTop = 0;
  }

  override updated(): void {
    const { reader } = this;
    if (reader === undefined) return;
    const box = this.#box;
    if (reader !== this.#seen) {
      this.#seen = reader;
      this.#placed = false;
      this.#active = this.chosen;
      box.scrollTop = 0;
    }
    const shifted = reader.shiftedRows;
    reader.shiftedRows = 0;
    const at = reader.window.indexOf(this.chosen);
    if (!this.#placed && !reader.loading && reader.window.events > 0) {
      this.#placed = true;
      // An address names an event: it is in the middle of what is seen first.
      if (at >= 0) box.scrollTop = at * this.#rowPx - box.clientHeight / 3;
    } else if (shifted !== 0 && this.#placed) {
      // What is looked at stays where it is, whatever comes above it.
      box.scrollTop += shifted * this.#rowPx;
      this.requestUpdate();
    }
    this.#scrolled();
  }

  #scrolled(): void {
    const { reader } = this;
    if (reader === undefined) return;
    const box = this.#box;
    reader.atTop = box.scrollTop < this.#rowPx;
    const first = Math.floor(box.scrollTop / this.#rowPx);
    const last = first + Math.ceil(box.clientHeight / this.#rowPx);
    if (reader.loading || reader.problem !== undefined || !this.#placed) return;
    if (reader.window.hasOlder && last > reader.window.rows.length - AHEAD_ROWS) void reader.older();
    else if (reader.window.hasNewer && first < AHEAD_ROWS) void reader.newer();
  }

  #open(row: Row | undefined): void {
    if (row === undefined || !("event" in row)) return;
    this.#active = row.event.id;
    this.dispatchEvent(new CustomEvent("open-event", { detail: row.event, bubbles: true, composed: true }));
  }

  #key(event: KeyboardEvent): void {
    const rows = this.reader?.window.rows ?? [];
    const page = Math.max(1, Math.floor(this.#box.clientHeight / this.#rowPx) - 1);
    const at = this.reader?.window.indexOf(this.#active) ?? -1;
    const first = Math.floor(this.#box.scrollTop / this.#rowPx);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const step = steps[event.key];
    if (step !== undefined) this.#activate(at < 0 ? first : at + step, Math.sign(step));
    else if (event.key === "Home") this.#activate(0, 1);
    else if (event.key === "End") this.#activate(rows.length - 1, -1);
    else if (event.key === "Enter" || event.key === " ") this.#open(rows[at]);
    else return;
    event.preventDefault();
  }

  /** Make a row the active one, or the next one in a direction that is an event, and bring it into sight. */
  #activate(wanted: number, direction: number): void {
    const rows = this.reader?.window.rows ?? [];
    let at = Math.max(0, Math.min(rows.length - 1, wanted));
    while (rows[at] !== undefined && "bar" in (rows[at] as Row)) at += direction || 1;
    const row = rows[at];
    if (row === undefined || !("event" in row)) return;
    this.#active = row.event.id;
    const box = this.#box;
    const top = at * this.#rowPx;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + this.#rowPx > box.scrollTop + box.clientHeight) box.scrollTop = top + this.#rowPx - box.clientHeight;
    this.requestUpdate();
  }

  override render(): TemplateResult {
    const { reader } = this;
    const rows = reader?.window.rows ?? [];
    const box = this.hasUpdated ? this.#box : undefined;
    // What will be in sight once the position is put right for what came above.
    const shift = this.#placed ? (reader?.shiftedRows ?? 0) : 0;
    const top = (box?.scrollTop ?? 0) / this.#rowPx + shift;
    const first = Math.max(0, Math.floor(top) - SPARE_ROWS);
    const last = Math.min(rows.length, Math.ceil(top + (box?.clientHeight ?? 800) / this.#rowPx) + SPARE_ROWS);
    const active = reader?.window.indexOf(this.#active) ?? -1;
    return html`<div class="head" aria-hidden="true">
        <span>Recorded</span><span>Action</span><span>Outcome</span><span>Actor</span><span>Target</span><span>Topic</span>
      </div>
      <div
        class="box"
        role="grid"
        aria-label="Events, newest first"
        aria-rowcount="-1"
        aria-colcount="6"
        aria-activedescendant=${active >= first && active < last ? `row-${this.#active}` : nothing}
        aria-busy=${reader?.loading ? "true" : "false"}
        tabindex="0"
        @scroll=${() => {
          this.#scrolled();
          this.requestUpdate();
        }}
        @keydown=${this.#key}
      >
        <div role="rowgroup" class="all" .style=${`height:${rows.length * this.#rowPx}px`}>
          ${rows.slice(first, last).map((row, n) => this.#row(row, first + n))}
        </div>
        ${rows.length === 0 ? html`<div class="empty" role="row"><span role="gridcell">${this.#nothing()}</span></div>` : nothing}
      </div>`;
  }

  #nothing(): string {
    if (this.reader === undefined || this.reader.loading) return "Loading…";
    if (this.reader.forbidden) return "You may not read all of this. The topics that you may read are listed.";
    return this.reader.problem ?? "No event matches.";
  }

  #row(row: Row, at: number): TemplateResult {
    const place = `transform:translateY(${at * this.#rowPx}px)`;
    if ("bar" in row) {
      return html`<div role="row" class="row bar ${row.bar.kind}" .style=${place}>
        <span role="gridcell" aria-colspan="6">${row.bar.text}</span>
      </div>`;
    }
    const { event } = row;
    const ms = recordedMs(event.id);
    const target = event.targets?.[0];
    return html`<div
      role="row"
      id="row-${event.id}"
      class="row ${event.id === this.#active ? "active" : ""}"
      aria-selected=${event.id === this.chosen ? "true" : "false"}
      data-index=${event.index}
      .style=${place}
      @click=${() => this.#open(row)}
    >
      <span role="gridcell" class="time" title=${new Date(ms).toISOString()}>${timeText(ms)}</span>
      <span role="gridcell" class="action">${event.action ?? "–"}</span>
      <span role="gridcell" class="outcome" data-outcome=${event.outcome ?? nothing}>${event.outcome ?? ""}</span>
      <span role="gridcell" class="actor">${someText(event.actor)}</span>
      <span role="gridcell" class="target">${someText(target)}${(event.targets?.length ?? 0) > 1 ? ` +${(event.targets?.length ?? 1) - 1}` : ""}</span>
      <span role="gridcell" class="topic">${event.topics.map(topicText).join(", ")}</span>
    </div>`;
  }

  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
        min-width: 0;
        flex: 1;
        container-type: inline-size;
      }
      .head,
      .row {
        display: grid;
        grid-template-columns: 182px minmax(120px, 1.4fr) 76px minmax(80px, 1fr) minmax(80px, 1fr) minmax(100px, 1.2fr);
        gap: 12px;
        align-items: center;
        padding: 0 14px;
      }
      .head {
        height: 30px;
        font-size: 12px;
        font-weight: 600;
        color: var(--quiet);
        border-bottom: 1px solid var(--line);
        flex: none;
      }
      .box {
        flex: 1;
        overflow-y: auto;
        overflow-anchor: none;
        position: relative;
        min-height: 0;
      }
      .all {
        position: relative;
      }
      .row {
        position: absolute;
        inset: 0 0 auto;
        height: 34px;
        border-bottom: 1px solid var(--line);
        cursor: pointer;
        contain: strict;
      }
      .row:hover {
        background: var(--raised);
      }
      .row.active {
        box-shadow: inset 3px 0 var(--accent);
      }
      .row[aria-selected="true"] {
        background: var(--chosen);
      }
      .row > span {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .time {
        font-variant-numeric: tabular-nums;
        color: var(--quiet);
      }
      .action {
        font-weight: 600;
      }
      .bar {
        display: block;
        line-height: 33px;
        text-align: center;
        cursor: default;
        font-size: 12px;
        color: var(--warn);
        background: var(--warn-bg);
      }
      .bar.gap {
        color: var(--bad);
        background: var(--bad-bg);
        font-weight: 600;
      }
      .empty {
        padding: 48px 14px;
        text-align: center;
        color: var(--quiet);
      }
      @container (max-width: 800px) {
        .head,
        .row {
          grid-template-columns: 182px minmax(0, 1.5fr) 66px minmax(0, 1fr) minmax(0, 1.2fr);
        }
        .head > :nth-child(5),
        .row .target {
          display: none;
        }
      }
      @media (max-width: 800px) {
        .head {
          display: none;
        }
        .row {
          height: 56px;
          grid-template-columns: 1fr auto;
          grid-template-rows: 1fr 1fr;
          gap: 0 10px;
          padding: 6px 14px;
        }
        .row .target,
        .row .actor {
          display: none;
        }
        .row .action {
          order: 1;
        }
        .row .outcome {
          order: 2;
          text-align: right;
        }
        .row .topic {
          order: 3;
          color: var(--quiet);
        }
        .row .time {
          order: 4;
          font-size: 12px;
          text-align: right;
        }
        .row.bar {
          line-height: 20px;
        }
      }
    `,
  ];
}

customElements.define("audit-event-list", EventList);
