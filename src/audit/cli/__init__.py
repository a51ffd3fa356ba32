"""The command line: one store, one command, one answer. Values go to stdout, everything said about them to stderr."""

from audit.cli.program import main

__all__ = ["main"]
