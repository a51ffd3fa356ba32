"""Events as they are stored, handed out as one JSON array."""

import pytest

from audit.codec.events import join_events
from audit.log.slices import Slices


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_raw_is_one_array_of_the_stored_bytes_and_leaves_them_as_they_are(count: int) -> None:
    stored = [b'{"id":"%d"}' % number for number in range(count)]
    slices = Slices(stored.copy(), "")
    assert slices.raw == slices.raw == join_events(stored)
    assert slices.slices == stored
