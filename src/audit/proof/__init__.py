"""Merkle tree, tiles, checkpoints and proofs of the log: RFC 6962 and the C2SP formats of transparency logs. Pure."""
