"""The server's log, on stderr: lines for people, or JSON for programs. Every library's messages go through it."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from audit.cli.settings import LogFormat, LogLevel
from audit.cli.terminal import person_at, printable

__all__ = ["configure_logs"]

_QUIET: Final = ("uvicorn.error", "asyncio")
"""They tell at every start what is told here already: their warnings are enough, unless everything is asked for."""


def configure_logs(chosen: LogFormat, level: LogLevel) -> None:
    """Send what this process logs from now on to stderr, in one form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    ending: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if chosen == "json":
        ending += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = person_at(sys.stderr)
        plain = structlog.dev.plain_traceback
        ending += [_harmless, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=ending))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else max(logging.WARNING, root.level))


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show what could steer a terminal as its escape: texts in messages may come from anyone."""
    return {
        name: printable(value) if isinstance(value, str) and name != "stack" else value for name, value in event.items()
    }
