import gzip
import io
import itertools
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.cli.ingest.lines import Line, read_lines


def pieces(*chunks: bytes) -> Callable[[int], bytes]:
    """Return a reader that gives these chunks, whatever is asked for."""
    left = iter(chunks)
    return lambda _size: next(left, b"")


@given(text=st.binary(max_size=200).map(lambda raw: raw.replace(b"x", b"\n")), cuts=st.lists(st.integers(0, 200)))
def test_lines_do_not_depend_on_how_the_stream_is_cut(text: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(edges) if a < b]
    assert list(read_lines(pieces(*chunks), max_bytes=20)) == list(read_lines(pieces(text), max_bytes=20))


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line and b"\r" not in line), max_size=20))
def test_every_line_is_read_with_its_number_or_reported(wanted: list[bytes]) -> None:
    found = {line.number: line for line in read_lines(pieces(b"\n".join(wanted)), max_bytes=30)}
    for number, text in enumerate(wanted, 1):
        if len(text) > 30:
            assert found[number].problem == "is longer than 30 bytes"
            continue
        shown = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text
        assert found.get(number) == (Line(number, shown) if shown.strip() else None)


def test_blank_lines_count_and_are_not_read() -> None:
    assert list(read_lines(pieces(b"a\n\n \t\r\nb"))) == [Line(1, b"a"), Line(4, b"b")]


def test_carriage_return_and_byte_order_mark_are_no_part_of_a_line() -> None:
    assert list(read_lines(pieces(b"\xef\xbb\xbfa\r\nb\r\n"))) == [Line(1, b"a"), Line(2, b"b")]


def test_line_of_exactly_the_bound_is_read() -> None:
    for end in (b"", b"\n", b"\r\n"):
        assert list(read_lines(pieces(b"a" * 10, end), max_bytes=10)) == [Line(1, b"a" * 10)]


def test_endless_line_is_not_held_in_memory() -> None:
    served = 0
    held = b"a" * 65_536

    def read(_size: int) -> bytes:
        nonlocal served
        served += 1
        return held if served < 2_000 else b"\nb\n" if served == 2_000 else b""

    tracemalloc.start()
    lines = list(read_lines(read))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [Line(1, b"", "is longer than 1,048,576 bytes"), Line(2, b"b")]
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("cut", [11, 40, 200, -9, -1])
def test_truncated_gzip_stream_is_a_bad_line_after_those_before_the_cut(cut: int) -> None:
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(1, 1_001)))
    lines = list(read_lines(gzip.GzipFile(fileobj=io.BytesIO(whole[:cut])).read1))
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert all(line == Line(line.number, b"line %d" % line.number) for line in lines[:-1])
    assert (lines[-1].problem or "").startswith("the compressed stream is damaged here")


def test_flipped_bit_in_gzip_stream_is_a_bad_line() -> None:
    whole = bytearray(gzip.compress(b"".join(b"line %d\n" % number for number in range(1, 1_001))))
    whole[-6] ^= 1
    lines = list(read_lines(gzip.GzipFile(fileobj=io.BytesIO(bytes(whole))).read1))
    assert "damaged" in (lines[-1].problem or "")
