/** The page: one connection, and what the address says is to be seen. */

import { connect, type News, type RemoteLog } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { boardOf } from "./board.js";
import "./events-view.js";
import type { EventsView } from "./events-view.js";
import { countText } from "./format.js";
import { linkTo } from "./links.js";
import "./metrics-view.js";
import { EVERYTHING, FIRST_CHART, formatShown, parseShown, type Shown } from "./query.js";
import "./sign-in.js";
import { mustSignIn, signOut } from "./sign-in.js";
import "./status-view.js";
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
      void this.#choose();
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
      await this.#choose();
    } catch (error) {
      this.signIn = await mustSignIn().catch(() => false);
      this.problem = this.signIn ? "" : error instanceof Error ? error.message : String(error);
      if (!this.signIn) setTimeout(() => void this.#connect(), RETRY_MS);
    }
    this.requestUpdate();
  }

  /** Where nothing is chosen, show the status, if there are components whose status it could be, else the events. */
  async #choose(): Promise<void> {
    if (!this.shown.bare || this.#log === undefined) return;
    const log = this.#log;
    const board = boardOf();
    /** How many topics are below one; undefined: that is not for whoever asks. */
    const below = (topic: readonly string[]) =>
      log.topics({ topic: [...topic], limit: 1 }).then(
        ({ topics }) => topics.length,
        () => undefined,
      );
    const components = await below(board.topic);
    // Who may read nothing may know numbers.
    const status = components === undefined ? (await below([])) === undefined : components > 0;
    // Somebody may have chosen meanwhile.
    if (this.shown.bare) this.shown = status ? { ...EVERYTHING, status: board } : EVERYTHING;
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
    const alert = this.problem ? html`<p role="alert">${this.problem}</p>` : nothing;
    if (this.shown.status?.embed) return this.#embedded(alert);
    return html`<header>
        <h1>Audit log</h1>
        <nav aria-label="Views">${this.#views()}</nav>
        <span class="quiet">${this.#server}</span>
        ${this.#auth === "required" && this.#log ? html`<button class="plain" @click=${this.#leave}>Sign out</button>` : nothing}
        ${this.#size === undefined ? nothing : html`<span class="quiet">${countText(this.#size)} events when opened</span>`}
      </header>
      ${alert}
      ${this.signIn ? html`<audit-sign-in @signed-in=${this.#connect}></audit-sign-in>` : this.#view()}`;
  }

  /** In a page of somebody else's, nobody signs in: what they type there could be meant for somebody else. */
  #embedded(alert: TemplateResult | typeof nothing): TemplateResult {
    if (!this.signIn) return html`${alert}${this.#view()}`;
    const link = linkTo({ ...EVERYTHING, status: { ...(this.shown.status ?? boardOf()), embed: false } }, undefined);
    return html`<main><h1 class="hidden">Status</h1>
      <p class="plain">This status is for those whom the server knows: <a href=${link.href} target=${link.target} rel=${link.rel}>sign in there</a>.</p></main>`;
  }

  #views(): TemplateResult {
    const { shown } = this;
    const { chart, status, bare } = shown;
    const of: Shown = { ...shown, status: undefined, bare: undefined };
    return html`
      ${this.#link("Status", { ...EVERYTHING, status: status ?? boardOf() }, status !== undefined)}
      ${this.#link("Events", { ...of, chart: undefined }, !chart && !status && !bare)}
      ${this.#link("Metrics", { ...of, event: undefined, base: undefined, chart: chart ?? FIRST_CHART }, chart !== undefined)}`;
  }

  #link(name: string, shown: Shown, here: boolean): TemplateResult {
    const link = linkTo(shown, (one) => this.#show(one));
    return html`<a href=${link.href} aria-current=${here ? "page" : nothing} @click=${link.click}>${name}</a>`;
  }

  #view(): TemplateResult {
    const show = (event: CustomEvent<Shown>) => this.#show(event.detail);
    // It is not known yet which one.
    if (this.shown.bare) return html`<main><p class="plain quiet" role="status">Loading…</p></main>`;
    if (this.shown.status !== undefined) {
      return html`<audit-status-view .log=${this.#log} .board=${this.shown.status} ?connected=${this.connected} @change-shown=${show}></audit-status-view>`;
    }
    if (this.shown.chart !== undefined) {
      return html`<audit-metrics-view .log=${this.#log} .shown=${this.shown} @change-shown=${show}></audit-metrics-view>`;
    }
    return html`<audit-events-view .log=${this.#log} .shown=${this.shown} ?connected=${this.connected} @change-shown=${show}></audit-events-view>`;
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
      p.plain {
        background: none;
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
      audit-status-view,
      audit-metrics-view,
      audit-events-view {
        flex: 1;
        min-height: 0;
      }
    `,
  ];
}

customElements.define("audit-app", App);
