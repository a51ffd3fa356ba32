"""The composition root: where a path, a clock and options become an open log."""

from audit.app.audit import Audit, Opening

__all__ = ["Audit", "Opening"]
