/** Asks for a token, and has the server make a session of it: a cookie that no script can read. */

import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { shared } from "./theme.js";

const SESSION = "./v1/session";

/** Whether the server wants to know who is asking, and does not. A browser does not say why a WebSocket was refused. */
export async function mustSignIn(): Promise<boolean> {
  const answer = await fetch("./v1/topics?limit=1", { cache: "no-store" });
  return answer.status === 401;
}

/** Forget the session. */
export async function signOut(): Promise<void> {
  await fetch(SESSION, { method: "DELETE" });
}

export class SignIn extends LitElement {
  static override properties = { problem: { state: true }, asking: { state: true } };
  declare problem: string;
  declare asking: boolean;

  constructor() {
    super();
    this.problem = "";
    this.asking = false;
  }

  override firstUpdated(): void {
    this.renderRoot.querySelector("input")?.focus();
  }

  async #send(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const input = this.renderRoot.querySelector("input") as HTMLInputElement;
    const token = input.value.trim();
    this.asking = true;
    try {
      const answer = await fetch(SESSION, { method: "POST", headers: { authorization: `Bearer ${token}` } });
      this.problem = answer.ok
        ? ""
        : answer.status === 401
          ? "The server does not know this token."
          : await told(answer);
    } catch (error) {
      this.problem = `The server can't be reached: ${String(error)}`;
    }
    this.asking = false;
    if (this.problem === "") this.dispatchEvent(new CustomEvent("signed-in", { bubbles: true, composed: true }));
    else input.select();
  }

  override render(): TemplateResult {
    return html`<main>
      <form @submit=${this.#send}>
        <h2>Sign in</h2>
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          required
          aria-invalid=${this.problem ? "true" : "false"}
          aria-describedby="told"
        />
        <button class="main" ?disabled=${this.asking}>Sign in</button>
        <p id="told" role="alert">${this.problem || nothing}</p>
        <p class="quiet">Whoever runs this server makes one with <code>audit token new</code>.</p>
      </form>
    </main>`;
  }

  static override styles = [
    shared,
    css`
      main {
        display: grid;
        place-items: center;
        min-height: 60vh;
        padding: 16px;
      }
      form {
        display: grid;
        gap: 8px;
        width: min(360px, 100%);
      }
      h2 {
        font-size: 18px;
        color: inherit;
      }
      p {
        margin: 0;
      }
      [role="alert"] {
        color: var(--bad);
      }
    `,
  ];
}

async function told(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string };
  return problem.detail ?? `The server answers ${answer.status}.`;
}

customElements.define("audit-sign-in", SignIn);
