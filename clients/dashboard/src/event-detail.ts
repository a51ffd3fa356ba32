/** One event in full: its stored JSON, what differs from another, and ways to take it elsewhere. */

import { Forbidden, ProofInvalid, type RemoteLog, type Verified, verifyInclusion } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { countText, recordedMs, timeText } from "./format.js";
import { type Change, differenceOf, type Line, linesOf, textOf } from "./jsontext.js";
import { shared } from "./theme.js";

const LATER_MS = 2_000;

export class EventDetail extends LitElement {
  static override properties = {
    log: { attribute: false },
    event: {},
    base: {},
    said: { state: true },
    proved: { state: true },
  };
  declare log: RemoteLog | undefined;
  declare event: string | undefined;
  declare base: string | undefined;
  declare said: string;
  /** What checking has found; undefined: nobody asked. */
  declare proved: Verified | { readonly kind: "tampered" | "unknown"; readonly text: string } | "checking" | undefined;
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
    this.proved = undefined;
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

  /** Fetch the stored text and its proof anew, and have the one lead to the other. */
  async #verify(): Promise<void> {
    const { log, event } = this;
    const { signal } = this.#control;
    if (log === undefined || event === undefined) return;
    this.proved = "checking";
    try {
      const [stored, proof] = await Promise.all([text(event, signal), log.proof(event, { signal })]);
      this.proved = await verifyInclusion(stored, proof);
    } catch (error) {
      if (signal.aborted) return;
      const told = error instanceof Error ? error.message : String(error);
      if (error instanceof ProofInvalid) this.proved = { kind: "tampered", text: told };
      else if (error instanceof Forbidden)
        this.proved = { kind: "unknown", text: "Proofs are for who may see all of the log." };
      else this.proved = { kind: "unknown", text: told };
    }
  }

  #proof(): TemplateResult | typeof nothing {
    const { proved } = this;
    if (proved === undefined || proved === "checking") return nothing;
    if ("kind" in proved) {
      return html`<p class=${proved.kind}>
        ${proved.kind === "tampered" ? html`<b>This is not what the log committed.</b>` : html`<b>Not checked.</b>`} ${proved.text}
      </p>`;
    }
    const { checkpoint } = proved;
    return html`<div class="proved">
      <b>In the log, unchanged.</b>
      <ol>
        <li>The bytes of this event, as the server stores them, have the hash <code>${proved.leaf}</code>.</li>
        <li>With ${proved.path === 1 ? "one other hash" : `${proved.path} other hashes`} on the way, it leads to <code>${proved.root}</code>.</li>
        <li>A checkpoint of <code>${checkpoint.origin}</code> names that same hash as the root of all its ${countText(checkpoint.size)} events.</li>
        <li>
          ${
            checkpoint.signers.length > 0
              ? html`It is signed by <code>${checkpoint.signers.join(", ")}</code>. This page did not check the signature: <code>audit verify</code> does, with
                  a key that you have from elsewhere.`
              : "Nobody signed it, since this server has no key: whoever can write its files could have made all of this anew."
          }
        </li>
      </ol>
    </div>`;
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
        <button ?disabled=${this.proved === "checking"} @click=${this.#verify}>Verify</button>
        <span role="status">${this.said}</span>
      </div>
      <div role="status">${this.#proof()}</div>
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
      .proved,
      .tampered,
      .unknown {
        padding: 8px 10px;
        border-radius: 6px;
        background: var(--chosen);
        max-height: 40vh;
        overflow-y: auto;
      }
      .tampered {
        background: var(--bad-bg);
      }
      .unknown {
        background: var(--warn-bg);
      }
      ol {
        margin: 4px 0 0;
        padding-left: 20px;
      }
      code {
        overflow-wrap: anywhere;
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
