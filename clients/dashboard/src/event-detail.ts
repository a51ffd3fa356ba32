/** One event in full: its stored JSON, what differs from another, and ways to take it elsewhere. */

import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { recordedMs, timeText } from "./format.js";
import { type Change, differenceOf, type Line, linesOf, textOf } from "./jsontext.js";
import { shared } from "./theme.js";

const LATER_MS = 2_000;

export class EventDetail extends LitElement {
  static override properties = { event: {}, base: {}, said: { state: true } };
  declare event: string | undefined;
  declare base: string | undefined;
  declare said: string;
  #lines: Line[] = [];
  #baseLines: Line[] | undefined;
  #problem = "";
  #control = new AbortController();

  constructor() {
    super();
    this.said = "";
  }

  override willUpdate(changed: Map<string, unknown>): void {
    if (changed.has("event") || changed.has("base")) void this.#load();
  }

  override updated(changed: Map<string, unknown>): void {
    // Who opened it by keyboard goes on here.
    if (changed.has("event") && this.event !== undefined) this.renderRoot.querySelector<HTMLElement>("h2")?.focus();
  }

  async #load(): Promise<void> {
    this.#control.abort();
    const control = new AbortController();
    this.#control = control;
    this.#lines = [];
    this.#baseLines = undefined;
    this.#problem = "";
    try {
      const lines = async (id: string | undefined) =>
        id === undefined ? undefined : linesOf(await text(id, control.signal));
      const [own, other] = await Promise.all([lines(this.event), lines(this.base)]);
      this.#lines = own ?? [];
      this.#baseLines = other;
    } catch (error) {
      if (control.signal.aborted) return;
      this.#problem = error instanceof Error ? error.message : String(error);
    }
    this.requestUpdate();
  }

  async #copy(what: string, copied: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(copied);
      this.said = `${what} copied`;
    } catch {
      this.said = "The browser does not let this page copy";
    }
    setTimeout(() => {
      this.said = "";
    }, LATER_MS);
  }

  #tell(name: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  override render(): TemplateResult | typeof nothing {
    const { event, base } = this;
    if (event === undefined) return nothing;
    const comparing = base !== undefined && base !== event;
    return html`<section aria-label="Event" @keydown=${(key: KeyboardEvent) => key.key === "Escape" && this.#tell("close-event")}>
      <header>
        <h2 tabindex="-1"><span class="quiet">Event</span> ${event}</h2>
        <button class="plain" aria-label="Close" title="Close (Esc)" @click=${() => this.#tell("close-event")}>✕</button>
      </header>
      <p class="quiet when">recorded ${timeText(recordedMs(event))}</p>
      <div class="tools">
        <button @click=${() => this.#copy("JSON", textOf(this.#lines))}>Copy JSON</button>
        <button @click=${() => this.#copy("Link", location.href)}>Copy link</button>
        ${
          base === undefined
            ? html`<button @click=${() => this.#tell("choose-base", event)}>Compare with…</button>`
            : html`<button aria-pressed="true" @click=${() => this.#tell("choose-base", undefined)}>Stop comparing</button>`
        }
        <span role="status">${this.said}</span>
      </div>
      ${base !== undefined && !comparing ? html`<p class="hint" role="status">Now choose the other event in the list.</p>` : nothing}
      ${comparing ? html`<p class="hint">From <code>${base}</code> to this event:</p>` : nothing}
      ${this.#problem ? html`<p role="alert">${this.#problem}</p>` : nothing}
      <pre tabindex="0" aria-label=${comparing ? "Difference" : "JSON"}>${
        comparing && this.#baseLines !== undefined
          ? differenceOf(this.#baseLines, this.#lines).map(changed)
          : this.#lines.map((line) => written(line))
      }</pre>
    </section>`;
  }

  static override styles = [
    shared,
    css`
      section {
        display: flex;
        flex-direction: column;
        height: 100%;
        padding: 12px 14px;
        gap: 8px;
      }
      header,
      .tools {
        display: flex;
        align-items: center;
        gap: 8px;
        flex-wrap: wrap;
      }
      header {
        flex-wrap: nowrap;
      }
      h2 {
        font: 600 13px / 1.3 var(--mono);
        color: inherit;
        margin: 0;
        flex: 1;
        overflow-wrap: anywhere;
      }
      h2:focus {
        outline: none;
      }
      p {
        margin: 0;
      }
      .hint {
        background: var(--warn-bg);
        padding: 6px 10px;
        border-radius: 6px;
      }
      code,
      pre {
        font: 12.5px / 1.5 var(--mono);
      }
      pre {
        flex: 1;
        overflow: auto;
        margin: 0;
        padding: 10px;
        background: var(--raised);
        border: 1px solid var(--line);
        border-radius: 6px;
        min-height: 120px;
      }
      .line {
        display: block;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
      }
      .added {
        background: var(--chosen);
      }
      .removed {
        background: var(--bad-bg);
      }
      .key {
        color: var(--key);
      }
      .string {
        color: var(--string);
      }
      .number,
      .word {
        color: var(--number);
      }
    `,
  ];
}

async function text(id: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(`./v1/events/${encodeURIComponent(id)}`, { signal });
  const body = await answer.text();
  if (answer.ok) return body;
  throw new Error((JSON.parse(body) as { detail: string }).detail);
}

function written(line: Line, sign = "", kind = ""): TemplateResult {
  // In a <pre>, every space of the template would be seen.
  return html`<span class="line ${kind}">${sign}${"  ".repeat(line.indent)}${line.words.map(
    (word) => html`<span class=${word.kind}>${word.text}</span>`,
  )}</span>`;
}

function changed(change: Change): TemplateResult {
  const sign = { same: "  ", added: "+ ", removed: "- " }[change.kind];
  return written(change.line, sign, change.kind);
}

customElements.define("audit-event-detail", EventDetail);
