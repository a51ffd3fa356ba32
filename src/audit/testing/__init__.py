"""For tests of this package and of what is built on it: a clock to turn, logs in memory, failing storage, a checker."""

from audit.testing.checking import check_log
from audit.testing.clock import FakeClock
from audit.testing.faults import Faults, FaultyStorage, Pause
from audit.testing.logs import log_on, memory_audit, memory_log

__all__ = ["FakeClock", "Faults", "FaultyStorage", "Pause", "check_log", "log_on", "memory_audit", "memory_log"]
