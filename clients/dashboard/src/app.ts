/** The page: one connection, and what the address says is to be seen. */

import { connect, type News, type RemoteLog } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import "./events-view.js";
import type { EventsView } from "./events-view.js";
import { countText } from "./format.js";
import "./metrics-view.js";
import { FIRST_CHART, formatShown, parseShown, type Shown } from "./query.js";
import "./sign-in.js";
import { mustSignIn, signOut } from "./sign-in.js";
import { shared } from "./theme.js";

const RETRY_MS = 2_000;

export class App extends LitElement {
  static override properties = {
    shown: { state: true },
    connected: { state: true },
    problem: { state: true },
    signIn: { state: true },
  };
  declare shown: Shown;
  declare connected: boolean;
  declare problem: string;
  /** Whether nobody is let in before they have said who they are. */
  declare signIn: boolean;
  #log: RemoteLog | undefined;
  #server = "";
  #size: number | undefined;
  #auth: string | undefined;

  constructor() {
    super();
    this.shown = parseShown(location.search);
    this.connected = false;
    this.problem = "";
    this.signIn = false;
    addEventListener("popstate", () => {
      this.shown = parseShown(location.search);
    });
    void this.#connect();
  }

  async #connect(): Promise<void> {
    this.signIn = false;
    try {
      this.#log = await connect(new URL("./rpc", location.href), { onNews: (news) => this.#told(news) });
      const { store, auth } = await this.#log.info();
      this.#size = store.size;
      this.#auth = auth;
      this.problem = "";
    } catch (error) {
      this.signIn = await mustSignIn().catch(() => false);
      this.problem = this.signIn ? "" : error instanceof Error ? error.message : String(error);
      if (!this.signIn) setTimeout(() => void this.#connect(), RETRY_MS);
    }
    this.requestUpdate();
  }

  async #leave(): Promise<void> {
    await signOut();
    location.reload();
  }

  #told(news: News): void {
    if (news.type === "connected") {
      this.connected = true;
      this.#server = news.server;
    } else if (news.type === "disconnected") {
      this.connected = false;
      if (news.retryInMs === undefined && this.#log !== undefined) {
        // It is over for good: a session ends.
        this.#log = undefined;
        void this.#connect();
      }
    }
    this.renderRoot.querySelector<EventsView>("audit-events-view")?.told(news);
  }

  #show(shown: Shown): void {
    const address = `${location.pathname}${formatShown(shown)}`;
    // A detail that is opened after another one is no step to go back to.
    if (this.shown.event !== undefined && shown.event !== undefined) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    this.shown = shown;
  }

  override render(): TemplateResult {
    return html`<header>
        <h1>Audit log</h1>
        <nav aria-label="Views">
          ${this.#link("Events", { ...this.shown, chart: undefined }, this.shown.chart === undefined)}
          ${this.#link("Metrics", { ...this.shown, event: undefined, base: undefined, chart: this.shown.chart ?? FIRST_CHART }, this.shown.chart !== undefined)}
        </nav>
        <span class="quiet">${this.#server}</span>
        ${this.#auth === "required" && this.#log ? html`<button class="plain" @click=${this.#leave}>Sign out</button>` : nothing}
        ${this.#size === undefined ? nothing : html`<span class="quiet">${countText(this.#size)} events when opened</span>`}
      </header>
      ${this.problem ? html`<p role="alert">${this.problem}</p>` : nothing}
      ${this.signIn ? html`<audit-sign-in @signed-in=${this.#connect}></audit-sign-in>` : this.#view()}`;
  }

  /** A link that a new tab can have, and that this one follows without loading anything. */
  #link(name: string, shown: Shown, here: boolean): TemplateResult {
    const follow = (event: MouseEvent) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      this.#show(shown);
    };
    return html`<a href=${`./${formatShown(shown)}`} aria-current=${here ? "page" : nothing} @click=${follow}>${name}</a>`;
  }

  #view(): TemplateResult {
    if (this.shown.chart !== undefined) {
      return html`<audit-metrics-view
        .log=${this.#log}
        .shown=${this.shown}
        @change-shown=${(event: CustomEvent<Shown>) => this.#show(event.detail)}
      ></audit-metrics-view>`;
    }
    return html`<audit-events-view
        .log=${this.#log}
        .shown=${this.shown}
        ?connected=${this.connected}
        @change-shown=${(event: CustomEvent<Shown>) => this.#show(event.detail)}
      ></audit-events-view>`;
  }

  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        height: 100vh;
        height: 100dvh;
      }
      header {
        display: flex;
        align-items: baseline;
        gap: 14px;
        padding: 10px 14px;
        border-bottom: 1px solid var(--line);
        flex: none;
        white-space: nowrap;
        overflow: hidden;
      }
      h1 {
        font-size: inherit;
        margin: 0;
      }
      p {
        margin: 0;
        padding: 8px 14px;
        background: var(--bad-bg);
      }
      nav {
        display: flex;
        gap: 4px;
      }
      nav a {
        padding: 2px 8px;
        border-radius: 6px;
        text-decoration: none;
        color: inherit;
      }
      nav a[aria-current] {
        background: var(--chosen);
        font-weight: 600;
      }
      audit-metrics-view,
      audit-events-view {
        flex: 1;
        min-height: 0;
      }
    `,
  ];
}

customElements.define("audit-app", App);
