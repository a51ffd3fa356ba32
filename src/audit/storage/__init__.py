"""Where the log is kept: the port in log operations, LevelDB behind it, and an in-memory reference."""
