/** Which events: equalities on what they carry, and a range of time. */

import type { Event } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { countText, inputTime } from "./format.js";
import { FACETS, type Facet, type Shown } from "./query.js";
import { shared } from "./theme.js";

const NAMES: Record<Facet, string> = {
  actor: "Actor",
  action: "Action",
  outcome: "Outcome",
  target: "Target",
  request_id: "Request",
};
const OUTCOMES = ["success", "failure", "denied", "unknown"];
const MOST_VALUES = 6;

/** Return a facet's values in some events, the most frequent first. */
export function valuesOf(events: Iterable<Event>, facet: Facet): [string, number][] {
  const counts = new Map<string, number>();
  for (const event of events) {
    for (const value of carried(event, facet)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  // Not by the reader's language: to load its rules takes as long as several frames have.
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, MOST_VALUES);
}

function carried(event: Event, facet: Facet): string[] {
  const values = {
    actor: () => [event.actor?.id],
    action: () => [event.action],
    outcome: () => [event.outcome],
    target: () => [...new Set(event.targets?.map((target) => target.id))],
    request_id: () => [event.context?.["request_id"]],
  }[facet]();
  return values.filter((value) => value !== undefined);
}

export class Facets extends LitElement {
  static override properties = { shown: { attribute: false }, events: { attribute: false } };
  declare shown: Shown;
  /** Those that are loaded. */
  declare events: readonly Event[];

  constructor() {
    super();
    this.shown = { topic: [], filter: {} };
    this.events = [];
  }

  #change(shown: Shown): void {
    this.dispatchEvent(new CustomEvent("change-shown", { detail: shown, bubbles: true, composed: true }));
  }

  #filter(facet: Facet, value: string | undefined): void {
    const { [facet]: _, ...rest } = this.shown.filter;
    this.#change({ ...this.shown, filter: value ? { ...rest, [facet]: value } : rest });
  }

  #time(name: "from" | "to", value: string): void {
    const ms = Date.parse(value);
    this.#change({ ...this.shown, [name]: Number.isNaN(ms) ? undefined : new Date(ms).toISOString() });
  }

  #last(hours: number): void {
    this.#change({ ...this.shown, from: new Date(Date.now() - hours * 3_600_000).toISOString(), to: undefined });
  }

  override render(): TemplateResult {
    const { shown } = this;
    return html`<fieldset>
        <legend>Recorded</legend>
        <div class="quick">
          <button @click=${() => this.#last(1)}>1 h</button>
          <button @click=${() => this.#last(24)}>1 day</button>
          <button @click=${() => this.#last(24 * 7)}>7 days</button>
          ${
            shown.from || shown.to
              ? html`<button class="plain" @click=${() => this.#change({ ...shown, from: undefined, to: undefined })}>Any time</button>`
              : nothing
          }
        </div>
        ${(["from", "to"] as const).map(
          (name) => html`<label
            ><span>${name === "from" ? "From" : "Before"}</span>
            <input
              type="datetime-local"
              step="1"
              name=${name}
              .value=${inputTime(shown[name])}
              @change=${(event: InputEvent) => this.#time(name, (event.target as HTMLInputElement).value)}
          /></label>`,
        )}
      </fieldset>
      ${FACETS.map((facet) => this.#facet(facet))}`;
  }

  #facet(facet: Facet): TemplateResult {
    const chosen = this.shown.filter[facet];
    const change = (event: Event_) => this.#filter(facet, event.target.value.trim());
    const values = chosen === undefined ? valuesOf(this.events, facet) : [];
    return html`<fieldset>
      <legend>${NAMES[facet]}</legend>
      <label
        ><span class="hidden">${NAMES[facet]} is</span>
        ${
          facet === "outcome"
            ? html`<select name=${facet} @change=${change}>
                <option value="" ?selected=${chosen === undefined}>any</option>
                ${OUTCOMES.map((value) => html`<option ?selected=${value === chosen}>${value}</option>`)}
              </select>`
            : html`<input name=${facet} placeholder="any" .value=${chosen ?? ""} @change=${change} />`
        }
      </label>
      ${
        chosen !== undefined
          ? html`<button class="plain" @click=${() => this.#filter(facet, undefined)}>Any ${NAMES[facet].toLowerCase()}</button>`
          : nothing
      }
      ${
        values.length > 0 && facet !== "outcome"
          ? html`<ul>
              ${values.map(
                ([value, count]) => html`<li>
                  <button class="value plain" title=${value} @click=${() => this.#filter(facet, value)}>
                    <span>${value}</span><span class="quiet">${countText(count)}</span>
                  </button>
                </li>`,
              )}
            </ul>`
          : nothing
      }
    </fieldset>`;
  }

  static override styles = [
    shared,
    css`
      fieldset {
        border: 0;
        margin: 0 0 12px;
        padding: 0;
        min-width: 0;
      }
      legend {
        font-size: 12px;
        font-weight: 600;
        color: var(--quiet);
        padding: 0;
        margin-bottom: 4px;
      }
      .quick {
        display: flex;
        flex-wrap: wrap;
        gap: 6px;
        margin-bottom: 6px;
      }
      label {
        display: block;
        margin-bottom: 4px;
      }
      label > span:not(.hidden) {
        font-size: 12px;
        color: var(--quiet);
      }
      ul {
        list-style: none;
        margin: 2px 0 0;
        padding: 0;
      }
      .value {
        display: flex;
        justify-content: space-between;
        gap: 8px;
        width: 100%;
        text-align: left;
        padding: 2px 8px;
        min-height: 26px;
      }
      .value:hover {
        background: var(--raised);
      }
      .value > :first-child {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
    `,
  ];
}

type Event_ = { target: HTMLInputElement | HTMLSelectElement };

customElements.define("audit-facets", Facets);
