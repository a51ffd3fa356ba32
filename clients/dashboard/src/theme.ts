/** What all parts look alike in. Colours are of page.css, which has them for light and dark. */

import { css } from "lit";

export const shared = css`
  * {
    box-sizing: border-box;
  }
  button,
  input,
  select {
    font: inherit;
    color: inherit;
  }
  button,
  .button {
    background: var(--raised);
    border: 1px solid var(--line);
    border-radius: 6px;
    padding: 4px 10px;
    cursor: pointer;
    min-height: 30px;
    text-decoration: none;
  }
  button:hover {
    border-color: var(--quiet);
  }
  button[aria-pressed="true"],
  button.main {
    background: var(--accent);
    border-color: var(--accent);
    color: var(--on-accent);
  }
  button.plain {
    background: none;
    border-color: transparent;
  }
  input,
  select {
    background: var(--bg);
    border: 1px solid var(--line);
    border-radius: 6px;
    padding: 4px 8px;
    min-height: 30px;
    width: 100%;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: -1px;
  }
  a {
    color: var(--accent);
  }
  h2 {
    font-size: 12px;
    font-weight: 600;
    letter-spacing: 0.02em;
    color: var(--quiet);
    margin: 0 0 6px;
  }
  .quiet {
    color: var(--quiet);
  }
  .hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
  }
  [data-outcome="success"] {
    color: var(--good);
  }
  [data-outcome="failure"],
  [data-outcome="denied"] {
    color: var(--bad);
  }
  [data-outcome="unknown"] {
    color: var(--warn);
  }
`;

/** What a day looks like, by how much of it a component was up: told apart by more than colour. */
export const levels = css`
  :host {
    --planned: repeating-linear-gradient(135deg, var(--number) 0 3px, var(--bg) 3px 5px);
  }
  .none {
    border: 1px solid var(--line);
  }
  .up {
    --level: linear-gradient(var(--good), var(--good));
  }
  .brief {
    --level: linear-gradient(to bottom, var(--bad) 20%, var(--good) 20%);
  }
  .some {
    --level: linear-gradient(to bottom, var(--bad) 50%, var(--good) 50%);
  }
  .down {
    --level: linear-gradient(to bottom, var(--bad) 80%, transparent 80%);
  }
  .planned {
    --level: var(--planned);
  }
  .up,
  .brief,
  .some,
  .down,
  .planned {
    background: var(--level);
  }
`;
