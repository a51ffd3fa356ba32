import pytest

from audit.server.negotiation import accepted, content_type
from audit.server.problems import Problem

JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
OFFERS = (JSON, LINES, CSV)


def scope(*values: str, name: bytes = b"accept") -> dict[str, object]:
    return {"headers": [(b"host", b"x"), *[(name, value.encode()) for value in values]]}


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ((), JSON),
        (("",), JSON),
        ((";;,",), JSON),
        (("*/*",), JSON),
        (("text/csv",), CSV),
        (("TEXT/CSV",), CSV),
        (("text/*",), CSV),
        (("application/*",), JSON),
        (("text/csv, application/json",), JSON),
        (("text/csv, application/json;q=0.5",), CSV),
        (("application/json;q=0.1", "application/x-ndjson"), LINES),
        (("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",), JSON),
        (("*/*, application/json;q=0",), LINES),
        (("application/x-ndjson; charset=utf-8",), LINES),
    ],
)
def test_the_most_welcome_offer_is_taken_and_the_first_of_equals(values: tuple[str, ...], chosen: str) -> None:
    assert accepted(scope(*values), OFFERS) == chosen


@pytest.mark.parametrize("value", ["text/html", "application/json;q=0", "application/json;q=much", "x"])
def test_no_offer_that_will_do_is_refused_with_what_there_is(value: str) -> None:
    with pytest.raises(Problem, match="application/json, application/x-ndjson, text/csv") as refused:
        accepted(scope(value), OFFERS)
    assert refused.value.status == 406


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((), ""),
        (("application/json",), JSON),
        (("Application/JSON; charset=utf-8",), JSON),
        (("application/json", "text/plain"), ""),
    ],
)
def test_content_type_is_read_without_parameters(values: tuple[str, ...], kind: str) -> None:
    assert content_type(scope(*values, name=b"content-type")) == kind
