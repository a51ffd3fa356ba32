/** Links to other views: followed without loading anything, or, from a page of somebody else's, in a tab of their own. */

import { formatShown, type Shown } from "./query.js";

/** Shows something in place of what is shown; undefined: it is shown in a new tab. */
export type Follow = ((shown: Shown) => void) | undefined;

export interface Link {
  readonly href: string;
  readonly target: string | undefined;
  readonly rel: string | undefined;
  readonly click: (event: MouseEvent) => void;
}

/** Return a link that a new tab can have, and that this one follows without loading anything. */
export function linkTo(shown: Shown, follow: Follow): Link {
  return {
    href: `./${formatShown(shown)}`,
    target: follow === undefined ? "_blank" : undefined,
    rel: follow === undefined ? "noopener" : undefined,
    click: (event) => {
      if (follow === undefined || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      follow(shown);
    },
  };
}
