"""The wire `audit.v1.json` without I/O: messages, the two sides' sessions, flow control. Its prose is in `proto/`."""
