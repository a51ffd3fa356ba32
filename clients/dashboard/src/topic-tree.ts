/** The topics, with their counts, as a tree that is loaded as it is opened. */

import type { RemoteLog, TopicResult, TopicsResult } from "@audit/client";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { countText, topicText } from "./format.js";
import { shared } from "./theme.js";

interface Node {
  readonly topic: readonly string[];
  readonly events: number;
  open: boolean;
  children: Node[] | undefined;
}

export class TopicTree extends LitElement {
  static override properties = { log: { attribute: false }, chosen: { attribute: false } };
  declare log: RemoteLog | undefined;
  declare chosen: readonly string[];
  #root: Node[] = [];
  #problem = "";
  #active = "";
  #loaded: RemoteLog | undefined;

  constructor() {
    super();
    this.chosen = [];
  }

  override updated(): void {
    if (this.log === undefined || this.log === this.#loaded) return;
    this.#loaded = this.log;
    void this.refresh();
  }

  /** Load what is open anew. */
  async refresh(): Promise<void> {
    try {
      this.#root = await this.#children([], this.#root);
      this.#problem = "";
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
    }
    this.requestUpdate();
  }

  async #children(topic: readonly string[], before: readonly Node[]): Promise<Node[]> {
    const rows: TopicResult[] = [];
    let cursor: string | null = null;
    do {
      const page: TopicsResult | undefined = await this.log?.topics({ topic: [...topic], limit: 1_000, cursor });
      rows.push(...(page?.topics ?? []));
      cursor = page?.has_more === true && rows.length < 5_000 ? page.cursor : null;
    } while (cursor !== null);
    const nodes = [];
    for (const row of rows) {
      const known = before.find((node) => node.topic.at(-1) === row.topic.at(-1));
      // A topic that is chosen by an address is to be seen.
      const open = known?.open ?? (row.topic.length < this.chosen.length && startsWith(this.chosen, row.topic));
      const children = open ? await this.#children(row.topic, known?.children ?? []) : undefined;
      nodes.push({ topic: row.topic, events: row.events, open, children });
    }
    return nodes;
  }

  #choose(topic: readonly string[]): void {
    this.#active = topicText(topic);
    this.dispatchEvent(new CustomEvent("choose", { detail: topic, bubbles: true, composed: true }));
  }

  async #toggle(node: Node): Promise<void> {
    node.open = !node.open;
    if (node.open) {
      try {
        node.children = await this.#children(node.topic, node.children ?? []);
      } catch (error) {
        node.open = false;
        this.#problem = error instanceof Error ? error.message : String(error);
      }
    }
    this.requestUpdate();
  }

  /** Return what is to be seen, in order; undefined stands for everything. */
  #visible(nodes: readonly Node[] = this.#root): Node[] {
    return nodes.flatMap((node) => [node, ...(node.open ? this.#visible(node.children) : [])]);
  }

  async #key(event: KeyboardEvent): Promise<void> {
    const all: (Node | undefined)[] = [undefined, ...this.#visible()];
    const at = Math.max(
      0,
      all.findIndex((node) => topicText(node?.topic ?? []) === this.#active),
    );
    const node = all[at];
    const move = (to: number) => {
      this.#active = topicText(all[Math.max(0, Math.min(all.length - 1, to))]?.topic ?? []);
    };
    if (event.key === "ArrowDown") move(at + 1);
    else if (event.key === "ArrowUp") move(at - 1);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(all.length - 1);
    else if (event.key === "ArrowRight" && node && !node.open) await this.#toggle(node);
    else if (event.key === "ArrowLeft" && node?.open) await this.#toggle(node);
    else if (event.key === "ArrowLeft" && node) this.#active = topicText(node.topic.slice(0, -1));
    else if (event.key === "Enter" || event.key === " ") this.#choose(node?.topic ?? []);
    else return;
    event.preventDefault();
    this.requestUpdate();
    await this.updateComplete;
    this.renderRoot.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }

  #item(topic: readonly string[], label: string, node?: Node): TemplateResult {
    const path = topicText(topic);
    const level = topic.length + 1;
    return html`<div
      role="treeitem"
      aria-level=${level}
      aria-selected=${path === topicText(this.chosen) ? "true" : "false"}
      aria-expanded=${node === undefined ? nothing : node.open ? "true" : "false"}
      tabindex=${path === this.#active ? 0 : -1}
      class="item"
      @click=${() => this.#choose(topic)}
    >
      <span class="indent indent${Math.min(level, 9)}"></span>
      ${
        node === undefined
          ? html`<span class="fold"></span>`
          : html`<span
              class="fold"
              aria-hidden="true"
              @click=${(event: MouseEvent) => {
                event.stopPropagation();
                void this.#toggle(node);
              }}
              >${node.open ? "▾" : "▸"}</span
            >`
      }
      <span class="name">${label}</span>
      ${node === undefined ? nothing : html`<span class="count">${countText(node.events)}</span>`}
    </div>`;
  }

  override render(): TemplateResult {
    return html`<div role="tree" aria-label="Topics" @keydown=${this.#key}>
        ${this.#item([], "Everything")}
        ${this.#visible().map((node) => this.#item(node.topic, node.topic.at(-1) ?? "", node))}
      </div>
      ${this.#problem ? html`<p role="alert" class="quiet">${this.#problem}</p>` : nothing}`;
  }

  static override styles = [
    shared,
    css`
      .item {
        display: flex;
        align-items: center;
        min-height: 28px;
        border-radius: 6px;
        cursor: pointer;
        padding-right: 8px;
      }
      .item:hover {
        background: var(--raised);
      }
      .item[aria-selected="true"] {
        background: var(--chosen);
        font-weight: 600;
      }
      .fold {
        width: 22px;
        text-align: center;
        color: var(--quiet);
        flex: none;
      }
      .name {
        flex: 1;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .count {
        color: var(--quiet);
        font-variant-numeric: tabular-nums;
        font-size: 12px;
        font-weight: 400;
      }
      .indent3 {
        width: 14px;
      }
      .indent4 {
        width: 28px;
      }
      .indent5 {
        width: 42px;
      }
      .indent6 {
        width: 56px;
      }
      .indent7,
      .indent8,
      .indent9 {
        width: 70px;
      }
      .indent {
        flex: none;
      }
    `,
  ];
}

function startsWith(topic: readonly string[], start: readonly string[]): boolean {
  return start.every((segment, n) => topic[n] === segment);
}

customElements.define("audit-topic-tree", TopicTree);
