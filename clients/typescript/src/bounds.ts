/** The ends of a range, as callers give them and as they are sent. */

import { InvalidParameter } from "./errors.js";

/** One end of a range: an event's id, an RFC 3339 time, milliseconds since 1970, or a `Date`. */
export type Bound = string | number | Date;

/** Parameters with both ends as a caller may give them; what the client sets itself is left out. */
export type Bounded<Params> = Omit<Params, "seek" | "seek_end" | "credit"> & { seek?: Bound; seek_end?: Bound };

type Sent<Query> = Omit<Query, "seek" | "seek_end"> & { seek?: string | number; seek_end?: string | number };

/** Return a query as it is sent; throws `InvalidParameter` for a `Date` that is none. */
export function bounded<Query extends { seek?: Bound; seek_end?: Bound }>(query: Query): Sent<Query> {
  const { seek, seek_end, ...rest } = query;
  return {
    ...rest,
    ...(seek === undefined ? {} : { seek: sent(seek, "seek") }),
    ...(seek_end === undefined ? {} : { seek_end: sent(seek_end, "seek_end") }),
  } as Sent<Query>;
}

function sent(bound: Bound, parameter: string): string | number {
  if (!(bound instanceof Date)) return bound;
  if (Number.isNaN(bound.getTime())) throw new InvalidParameter(`${parameter}: an invalid Date`, { parameter });
  return bound.getTime();
}
