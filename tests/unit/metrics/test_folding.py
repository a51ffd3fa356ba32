"""What a server has told of a metric, folded by whoever was told, is the metric: after any lag, cut and pause."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.client.metricfeed import MetricFeed
from audit.log.tail import End
from audit.metrics.changes import folded
from audit.metrics.query import AsOf, MetricQuery, MetricResult, MetricUpdate, Window
from audit.protocol.client import Note
from audit.protocol.frames import encode, encode_metric, metric_head, metric_tail
from audit.protocol.metricmessages import SnapshotNote, UpdateNote
from audit.server.metricstate import MetricState, first_state, next_state

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
GROUPS: Final = (None, True, 1, 2.5, "1", "a")


def at(minute: int) -> datetime:
    return EPOCH + timedelta(minutes=minute)


class Metric:
    """A metric that changes as its draws want, and what is told of each change, as an open log tells it."""

    def __init__(self) -> None:
        self.moment = 0
        self.windows: dict[tuple[datetime, str], Window] = {}

    def result(self) -> MetricResult:
        as_of = AsOf(cursor=f"c{self.moment}", time=at(self.moment))
        order = sorted(
            self.windows, key=lambda key: (key[0], [repr(one) for one in GROUPS].index(repr(self.windows[key].group)))
        )
        return MetricResult(windows=[self.windows[key] for key in order], total=len(order), as_of=as_of)

    def change(self, kind: str, minute: int, group: int, value: int) -> MetricUpdate:
        self.moment += 1
        if kind == "all":
            self.windows = {}
        since = at(minute) if kind == "leave" else None
        if since is not None:
            self.windows = {key: window for key, window in self.windows.items() if window.start >= since}
        told = [] if kind == "leave" and value % 2 else [self._put(minute + value % 3, group, value)]
        now = self.result()
        return MetricUpdate(windows=told, total=now.total, as_of=now.as_of, all=kind == "all", since=since)

    def _put(self, minute: int, group: int, value: int) -> Window:
        start = at(minute)
        window = Window(
            start=start, end=at(minute + 1), value=value, count=value, final=False, group=GROUPS[group % len(GROUPS)]
        )
        self.windows[start, repr(window.group)] = window
        return window


class Step(NamedTuple):
    """A change, and what happens after it: another connection (of a server that knows what was sent, or not), …"""

    kind: str
    minute: int
    group: int
    value: int
    cut: bool | None
    send: bool
    read: bool


STEPS: Final = st.builds(
    Step,
    kind=st.sampled_from(["put", "put", "put", "leave", "all"]),
    minute=st.integers(0, 3),
    group=st.integers(0, 5),
    value=st.integers(0, 3),
    cut=st.sampled_from([None, None, True, False]),
    send=st.booleans(),
    read=st.booleans(),
)


def note(state: MetricState, version: int) -> Note:
    """Return what a peer is sent that was sent a version; of 0: nothing."""
    whole = version < state.whole
    since = None if whole or state.low is None else encode(state.low)
    windows = [one.encoded for one in state.changed(version)]
    head = metric_head(state.as_of.cursor, encode(state.as_of), encode(state.total))
    method = "metrics.update" if version else "metrics.snapshot"
    frame = encode_metric(method, "1", head + metric_tail(windows, since=since, whole=version > 0 and whole))
    params = json.dumps(json.loads(frame)["params"]).encode()
    return Note(method, msgspec.json.decode(params, type=UpdateNote if version else SnapshotNote))


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=15))
def test_what_was_told_adds_up_to_what_is(steps: list[Step]) -> None:
    metric = Metric()
    state = first_state(metric.result())
    feed = MetricFeed(MetricQuery(measure="count"), 0, None)
    sent, read = 0, None
    for step in [*steps, None]:
        if step is not None:
            state = next_state(state, metric.change(step.kind, step.minute, step.group, step.value))
            if step.cut is not None and not (step.cut and feed.request(0).cursor is not None):
                sent = 0
        if step is None or step.send:
            feed.receive(note(state, sent))
            sent = state.version
            assert feed.latest == metric.result()
        if step is None or step.read:
            update = feed.take()
            assert not isinstance(update, End)
            if update is not None:
                read = folded(read or first_of(update), update)
                assert read == feed.latest
                assert feed.cursor == feed.resume_at
    assert read == metric.result()


def first_of(update: MetricUpdate) -> MetricResult:
    return MetricResult(windows=[], total=None, as_of=update.as_of)
