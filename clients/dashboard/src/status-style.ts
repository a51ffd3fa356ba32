/** What the status view looks like. */

import { css } from "lit";

export const statusStyle = css`
  :host {
    display: block;
    overflow-y: auto;
  }
  main {
    max-width: 900px;
    margin: 0 auto;
    padding: 14px;
  }
  section {
    margin: 0 0 22px;
  }
  h2.overall {
    font-size: 20px;
    color: inherit;
    margin: 0;
    padding: 12px 14px;
    border-radius: 8px;
    border: 1px solid var(--line);
    border-left: 6px solid var(--quiet);
    background: var(--raised);
  }
  h2.overall[data-state="up"] {
    border-left-color: var(--good);
  }
  h2.overall[data-state="some"] {
    border-left-color: var(--warn);
  }
  h2.overall[data-state="down"] {
    border-left-color: var(--bad);
  }
  h2.overall[data-state="planned"] {
    border-left-color: var(--number);
  }
  .mark {
    background: var(--warn-bg);
    padding: 8px 12px;
    border-radius: 6px;
    margin: 0 0 14px;
  }
  .figures {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(240px, 1fr));
    gap: 14px;
    margin: 0 0 22px;
  }
  .figures:empty {
    display: none;
  }
  .figure {
    margin: 0;
    padding: 12px 14px;
    border: 1px solid var(--line);
    border-radius: 8px;
  }
  .number {
    font-size: 28px;
    font-weight: 600;
    font-variant-numeric: tabular-nums;
    color: inherit;
    text-decoration-thickness: 1px;
    text-decoration-color: var(--quiet);
    text-underline-offset: 4px;
  }
  svg {
    display: block;
    width: 100%;
    height: 40px;
    margin-top: 8px;
  }
  path {
    fill: none;
    stroke: var(--accent);
    stroke-width: 1.5;
    vector-effect: non-scaling-stroke;
  }
  .stale .overall,
  .stale .figures,
  .stale .state {
    filter: grayscale(1);
  }
  article {
    margin: 0 0 14px;
  }
  .legend {
    display: flex;
    flex-wrap: wrap;
    gap: 4px 14px;
    margin: 0;
    font-size: 12px;
  }
  .legend i {
    display: inline-block;
    width: 9px;
    height: 14px;
    margin-right: 5px;
    border-radius: 2px;
    vertical-align: -2px;
  }
  h3 {
    display: flex;
    align-items: baseline;
    flex-wrap: wrap;
    gap: 4px 10px;
    font-size: 14px;
    margin: 0 0 6px;
  }
  h3 > span:first-child {
    overflow-wrap: anywhere;
  }
  .state {
    font-weight: 400;
  }
  [data-state="up"] .state {
    color: var(--good);
  }
  [data-state="down"] .state {
    color: var(--bad);
    font-weight: 600;
  }
  [data-state="planned"] .state {
    color: var(--number);
  }
  .share {
    margin-left: auto;
    font-weight: 400;
    font-variant-numeric: tabular-nums;
  }
  ul {
    list-style: none;
    margin: 0;
    padding: 0;
  }
  li {
    padding: 8px 0 8px 12px;
    border-left: 3px solid var(--line);
    margin: 0 0 6px;
  }
  li a {
    display: inline-block;
    min-height: 24px;
    overflow-wrap: anywhere;
  }
  li[data-kind="planned"] {
    border-left-color: var(--number);
  }
  li[data-kind="down"] {
    border-left-color: var(--bad);
  }
  li p,
  article p {
    margin: 0;
    overflow-wrap: anywhere;
  }
`;
