import pytest

from audit import InvalidParameter, NewEvent, TooLarge
from audit.server.bodies import JSON, LINES, decode_events
from audit.server.problems import Problem

A, B = NewEvent(topics=[("a",)]), NewEvent(topics=[("b",)], action="x")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b'[{"topics":[["a"]]},{"topics":[["b"]],"action":"x"}]'),
        (JSON, b'\r\n\t [{"topics":[["a"]]},{"topics":[["b"]],"action":"x"}]\n'),
        (LINES, b'{"topics":[["a"]]}\n{"topics":[["b"]],"action":"x"}\n'),
        (LINES, b'\n{"topics":[["a"]]}\r\n\r\n{"topics":[["b"]],"action":"x"}'),
    ],
)
def test_events_come_as_an_array_or_one_a_line(kind: str, body: bytes) -> None:
    assert decode_events(kind, body) == [A, B]


def test_one_event_comes_as_it_is() -> None:
    assert decode_events(JSON, b' {"topics":[["a"]]}') == [A]


def test_nothing_is_no_event_for_the_log_to_refuse() -> None:
    assert decode_events(LINES, b"\n") == decode_events(JSON, b"[]") == []


@pytest.mark.parametrize(
    ("kind", "body", "parameter"),
    [
        (JSON, b'{"topics":[["a"]],"action":1}', "events[0].action"),
        (JSON, b'[{"topics":[["a"]]},{"topics":[["a"],["b",1]]}]', "events[1].topics[1][1]"),
        (JSON, b'[{"topics":[["a"]]},{"tpoics":[]}]', "events[1].tpoics"),
        (JSON, b"[{}]", "events[0].topics"),
        (JSON, b"[1]", "events[0]"),
        (JSON, b"1", "events[0]"),
        (LINES, b'{"topics":[["a"]]}\n\n{"topics":[["a"]],"outcome":"bad"}', "events[1].outcome"),
        (LINES, b'[{"topics":[["a"]]}]', "events[0]"),
        (JSON, b'{"topics":[["a"]],"data":' + b"[" * 100_000, "events[0]"),
    ],
)
def test_what_is_no_event_is_refused_by_its_path(kind: str, body: bytes, parameter: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        decode_events(kind, body)
    assert refused.value.parameter == parameter


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b""),
        (JSON, b"{nonsense"),
        (JSON, b'{"topics":[["a"]]} {"topics":[["a"]]}'),
        (JSON, b'{"topics":[["\xff"]]}'),
        (LINES, b'{"topics":[["a"]]}\n{"topics":'),
        (LINES, b"\xff\xfe"),
    ],
)
def test_what_is_no_json_is_told_so(kind: str, body: bytes) -> None:
    with pytest.raises(Problem, match="no JSON") as refused:
        decode_events(kind, body)
    assert (refused.value.status, refused.value.code) == (400, "parse_error")


def test_millions_of_empty_lines_are_refused_before_anything_is_made_of_them() -> None:
    with pytest.raises(TooLarge, match="events"):
        decode_events(LINES, b"\n" * 2_001)
