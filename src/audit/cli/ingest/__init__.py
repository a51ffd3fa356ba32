"""From a stream of bytes to committed events: lines, a mapping of each to an event, calls of bounded size, a tally."""
