"""What the log is about: events, topics, ids, spans, queries and errors. Pure: no I/O, no clock, no randomness."""
