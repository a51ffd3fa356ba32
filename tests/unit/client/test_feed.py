"""A feed without a network, against a server that is a list: cut anywhere, read anyhow."""

from typing import Any, Final

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from audit.client.feed import Feed, FeedQuery
from audit.codec.cursors import Position, encode_cursor
from audit.codec.events import event_index, event_value
from audit.log.tail import Batch, CaughtUp, End, FellBehind
from audit.model.errors import CursorInvalid, Unavailable
from audit.model.ids import format_id
from audit.protocol.client import Note, SliceBatch
from audit.protocol.messages import CaughtUpNote, FellBehindNote, ProgressNote, SubscribeParams

DIGEST: Final = b"12345678"
START: Final = encode_cursor(DIGEST, Position(-1, 0))
WINDOW: Final = 6


def stored(index: int) -> bytes:
    return b'{"id":"%s","index":%d,"topics":[["a"]],"salt":"AAAAAAAAAAAAAAAAAAAAAA"}' % (
        format_id(1000 + index).encode(),
        index,
    )


def after(index: int) -> str:
    event = stored(index)
    return encode_cursor(DIGEST, Position(event_index(event), event_value(event)))


def feed_of(limit: int | None = None, window: int = WINDOW, *, now: bool = False) -> Feed:
    return Feed(FeedQuery(SubscribeParams(limit=limit), DIGEST, None if now else START), window)


def batch(*indexes: int) -> Note:
    raw = [msgspec.Raw(stored(index)) for index in indexes]
    return Note("events.batch", SliceBatch(subscription="1", cursor=after(indexes[-1]), events=raw))


def caught_up(index: int) -> Note:
    return Note("events.caught_up", CaughtUpNote(subscription="1", cursor=after(index)))


def fell_behind(index: int) -> Note:
    return Note("events.fell_behind", FellBehindNote(subscription="1", cursor=after(index)))


def progress(index: int) -> Note:
    return Note("events.progress", ProgressNote(subscription="1", cursor=after(index)))


def request(feed: Feed) -> SubscribeParams:
    params = feed.request(1_000)
    assert params is not None
    return params


def test_buffered_events_are_kept_and_not_asked_for_again() -> None:
    feed = feed_of()
    assert request(feed).cursor is None
    feed.receive(batch(0, 1, 2))
    again = request(feed)
    assert (again.cursor, again.credit) == (after(2), WINDOW - 3)
    taken = feed.take(2)
    assert isinstance(taken, Batch)
    assert taken.slices == [stored(0), stored(1)]
    assert taken.cursor == feed.cursor == after(1)
    assert feed.pop() is not None
    assert feed.cursor == after(2)


def test_limit_counts_down_over_resumptions() -> None:
    feed = feed_of(limit=5)
    feed.receive(batch(0, 1, 2))
    assert request(feed).limit == 2
    feed.receive(batch(3, 4))
    # The end itself was lost with the connection: nothing is left to ask for.
    assert feed.request(1_000) is None
    taken = [feed.take(1_000) for _ in range(3)]
    assert taken[2] == End(after(4), "limit")


def test_progress_moves_the_cursor_in_silence_once_all_before_is_read() -> None:
    feed = feed_of()
    feed.receive(progress(3))
    assert feed.cursor == after(3)
    feed.receive(batch(4))
    feed.receive(progress(5))
    feed.receive(progress(6))
    assert feed.cursor == after(3)
    assert isinstance(feed.take(1), Batch)
    assert feed.cursor == after(6)
    assert feed.take(1) is None


def test_state_is_told_once_however_often_it_is_resumed() -> None:
    feed = feed_of()
    for index in range(3):
        feed.receive(caught_up(index))
    feed.receive(fell_behind(2))
    feed.receive(fell_behind(3))
    feed.receive(caught_up(4))
    assert [feed.take(1) for _ in range(4)] == [CaughtUp(after(0)), FellBehind(after(2)), CaughtUp(after(4)), None]
    assert feed.cursor == after(4)


def test_end_is_told_after_what_came_before() -> None:
    feed = feed_of()
    feed.receive(batch(0))
    feed.finish(End(after(7), "seek_end"))
    feed.receive(batch(8))
    assert isinstance(feed.take(1), Batch)
    assert feed.take(1) == feed.take(1) == End(after(7), "seek_end")


def test_error_is_raised_after_what_came_before_each_time_anew() -> None:
    feed = feed_of()
    feed.receive(batch(0))
    feed.finish(CursorInvalid("cursor", "is foreign"))
    feed.finish(Unavailable("too late"))
    assert isinstance(feed.take(1), Batch)
    raised = []
    for _ in range(2):
        with pytest.raises(CursorInvalid) as error:
            feed.take(1)
        raised.append(error.value)
    assert raised[0] is not raised[1]


def test_closing_what_is_read_to_its_end_changes_nothing() -> None:
    feed = feed_of()
    feed.receive(batch(0))
    feed.finish(End(after(0), "limit"))
    feed.take(1)
    feed.close()
    assert feed.take(1) == End(after(0), "limit")


def test_closing_drops_what_is_buffered_and_stays_where_it_was_read() -> None:
    feed = feed_of()
    feed.receive(batch(0, 1))
    feed.pop()
    feed.close()
    feed.close()
    assert feed.take(1) == End(after(0), "cancelled")
    assert feed.cursor == after(0)


def test_feed_of_the_logs_end_has_no_cursor_until_told() -> None:
    feed = feed_of(now=True)
    unknown = feed.cursor
    assert unknown is None
    feed.receive(caught_up(9))
    assert feed.cursor == after(9)
    assert feed.take(1) == CaughtUp(after(9))
    assert feed.cursor == after(9)


def test_feed_of_the_logs_end_whose_first_word_is_a_batch_starts_right_before_it() -> None:
    feed = feed_of(now=True)
    feed.receive(batch(7, 8))
    assert feed.cursor == encode_cursor(DIGEST, Position(-1, 0, 1007))
    feed.pop()
    assert feed.cursor == after(7)


class Following(RuleBasedStateMachine):
    """The server is a position and a credit; each connection begins anew where the feed says."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = feed_of()
        self.sent = 0
        self.credit = 0
        self.seen: list[int] = []
        self.connected = False

    @rule()
    def connect(self) -> None:
        params = request(self.feed)
        self.credit = params.credit
        self.sent = 0 if params.cursor is None else next(n for n in range(10_000) if after(n) == params.cursor) + 1
        self.connected = True

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.connected = False

    @precondition(lambda self: self.connected and self.credit)
    @rule(data=st.data())
    def send(self, data: Any) -> None:
        count = data.draw(st.integers(1, self.credit))
        self.feed.receive(batch(*range(self.sent, self.sent + count)))
        self.sent += count
        self.credit -= count

    @rule(max_events=st.integers(1, 4))
    def take(self, max_events: int) -> None:
        notice = self.feed.take(max_events)
        if notice is not None:
            assert isinstance(notice, Batch)
            self.seen += [event_index(event) for event in notice.slices]
            assert self.feed.cursor == notice.cursor == after(self.seen[-1])

    @rule()
    def pop(self) -> None:
        event = self.feed.pop()
        if event is not None:
            self.seen.append(event.index)
            assert self.feed.cursor == after(event.index)

    @precondition(lambda self: self.connected)
    @rule()
    def refill(self) -> None:
        self.credit += self.feed.grant()

    @invariant()
    def nothing_is_missing_or_twice(self) -> None:
        assert self.seen == list(range(len(self.seen)))

    @invariant()
    def no_more_is_on_its_way_than_the_window_has(self) -> None:
        assert self.feed._buffered <= WINDOW
        if self.connected:
            assert self.credit + self.feed._buffered <= WINDOW

    @invariant()
    def reader_who_read_everything_can_get_more(self) -> None:
        if self.connected and not self.feed._buffered and not self.credit:
            assert self.feed.to_grant


TestFollowing = Following.TestCase
