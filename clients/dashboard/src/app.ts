/** The page: one connection, and what the address says is to be seen. */

import { connect, Forbidden, type News, type RemoteLog, Unauthorized } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import "./events-view.js";
import type { EventsView } from "./events-view.js";
import { countText } from "./format.js";
import { formatShown, parseShown, type Shown } from "./query.js";
import { shared } from "./theme.js";

const RETRY_MS = 2_000;

export class App extends LitElement {
  static override properties = { shown: { state: true }, connected: { state: true }, problem: { state: true } };
  declare shown: Shown;
  declare connected: boolean;
  declare problem: string;
  #log: RemoteLog | undefined;
  #server = "";
  #size: number | undefined;

  constructor() {
    super();
    this.shown = parseShown(location.search);
    this.connected = false;
    this.problem = "";
    addEventListener("popstate", () => {
      this.shown = parseShown(location.search);
    });
    void this.#connect();
  }

  async #connect(): Promise<void> {
    try {
      this.#log = await connect(new URL("./rpc", location.href), { onNews: (news) => this.#told(news) });
      this.#size = (await this.#log.info()).store.size;
      this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      // Whoever may not be here does not get in by asking again.
      if (!(error instanceof Unauthorized || error instanceof Forbidden))
        setTimeout(() => void this.#connect(), RETRY_MS);
    }
    this.requestUpdate();
  }

  #told(news: News): void {
    if (news.type === "connected") {
      this.connected = true;
      this.#server = news.server;
    } else if (news.type === "disconnected") this.connected = false;
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
        <span class="quiet">${this.#server}</span>
        ${this.#size === undefined ? nothing : html`<span class="quiet">${countText(this.#size)} events when opened</span>`}
      </header>
      ${this.problem ? html`<p role="alert">${this.problem}</p>` : nothing}
      <audit-events-view
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
      audit-events-view {
        flex: 1;
        min-height: 0;
      }
    `,
  ];
}

customElements.define("audit-app", App);
