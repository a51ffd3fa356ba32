"""Plans of queries: kept, so that the same question is taken apart once, and never mistaken for another."""

import pytest

from audit import InvalidParameter, NewEvent
from audit.testing import memory_log


def test_a_filter_given_as_a_dict_is_planned_anew_when_it_changes() -> None:
    with memory_log() as log:
        log.append_many([NewEvent(topics=[("a",)], action=action) for action in ("open", "close", "open")])
        asked = {"action": "open"}
        assert len(log.list(filter=asked)) == len(log.list(filter=asked)) == 2
        asked["action"] = "close"
        assert len(log.list(filter=asked)) == 1
        assert len(log.list(filter={})) == 3


def test_what_only_looks_like_a_planned_filter_is_refused() -> None:
    with memory_log() as log:
        asked = {"action": "open"}
        assert not log.list(filter=asked).slices
        for wrong in (tuple(asked.items()), list(asked.items()), {"action": ["open"]}, {"actions": "open"}):
            with pytest.raises(InvalidParameter):
                log.list(filter=wrong)  # type: ignore[arg-type]
