/** A component's days as a row of bars: one stop of the Tab key, arrow keys within it, each a link to its events. */

import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { type Follow, linkTo } from "./links.js";
import type { Shown } from "./query.js";
import { levels, shared } from "./theme.js";
import { type Day, dayText } from "./uptime.js";

export class UptimeBars extends LitElement {
  static override properties = {
    name: { attribute: false },
    days: { attribute: false },
    shownOf: { attribute: false },
    follow: { attribute: false },
    at: { state: true },
  };
  declare name: string;
  declare days: readonly Day[];
  /** The events behind a day; undefined: they are not for whoever looks. */
  declare shownOf: ((day: Day) => Shown) | undefined;
  declare follow: Follow;
  /** Start of the day that is pointed at. */
  declare at: number | undefined;

  constructor() {
    super();
    this.name = "";
    this.days = [];
  }

  #keyed(event: KeyboardEvent): void {
    const moves: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      Home: -this.days.length,
      End: this.days.length,
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const links = [...this.renderRoot.querySelectorAll<HTMLElement>("a")].filter((one) => one.offsetParent !== null);
    const from = links.indexOf((this.renderRoot as ShadowRoot).activeElement as HTMLElement);
    links[Math.max(0, Math.min(links.length - 1, from + move))]?.focus();
  }

  override render(): TemplateResult {
    const { days } = this;
    const pointed = days.find((day) => day.startMs === this.at);
    const stop = pointed ?? days.at(-1);
    return html`<ol aria-label=${`${this.name}, day by day`} @keydown=${this.#keyed} @pointerleave=${() => this.#point(undefined)}>
        ${days.map((day) => html`<li @pointerenter=${() => this.#point(day)} @focusin=${() => this.#point(day)}>${this.#bar(day, day === stop)}</li>`)}
      </ol>
      <p class="quiet" aria-hidden="true">
        ${pointed ? html`<b>${dayText(pointed)}</b>` : html`<span class="long">90 days ago</span><span class="short">30 days ago</span><span>today</span>`}
      </p>`;
  }

  #bar(day: Day, stop: boolean): TemplateResult {
    const kind = `${day.level}${day.planned && day.level !== "planned" ? " part" : ""}`;
    const text = dayText(day);
    if (this.shownOf === undefined) return html`<span class=${`bar ${kind}`} role="img" aria-label=${text}></span>`;
    const link = linkTo(this.shownOf(day), this.follow);
    return html`<a class=${`bar ${kind}`} href=${link.href} target=${link.target ?? nothing} rel=${link.rel ?? nothing}
      tabindex=${stop ? "0" : "-1"} aria-label=${text} @click=${link.click}></a>`;
  }

  #point(day: Day | undefined): void {
    this.at = day?.startMs;
  }

  static override styles = [
    shared,
    levels,
    css`
      :host {
        display: block;
      }
      ol {
        list-style: none;
        display: flex;
        gap: 2px;
        margin: 0;
        padding: 0;
        height: 34px;
      }
      li {
        flex: 1 1 0;
        min-width: 0;
      }
      .bar {
        display: block;
        height: 100%;
        border-radius: 2px;
      }
      a:hover,
      a:focus-visible {
        outline: 2px solid var(--text);
        outline-offset: 1px;
      }
      .part {
        background:
          var(--planned) bottom / 100% 30% no-repeat,
          linear-gradient(var(--bg), var(--bg)) bottom / 100% calc(30% + 2px) no-repeat,
          var(--level);
      }
      p {
        display: flex;
        justify-content: space-between;
        margin: 4px 0 0;
        font-size: 12px;
        min-height: 18px;
      }
      p b {
        font-weight: 500;
        color: var(--text);
      }
      .short {
        display: none;
      }
      @media (max-width: 600px) {
        li:nth-child(-n + 60),
        .long {
          display: none;
        }
        .short {
          display: inline;
        }
      }
    `,
  ];
}

customElements.define("audit-uptime-bars", UptimeBars);
