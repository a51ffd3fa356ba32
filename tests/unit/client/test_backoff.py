from audit.client.backoff import Backoff
from audit.model.errors import Overloaded, Unavailable


def test_delays_double_up_to_their_bound() -> None:
    backoff = Backoff(first_s=1.0, most_s=10.0, draw=lambda: 1.0)
    assert [backoff.delay_s(n) for n in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert backoff.delay_s(10_000) == 10.0


def test_jitter_is_full() -> None:
    assert Backoff(draw=lambda: 0.0).delay_s(3) == 0.0
    assert Backoff(first_s=1.0, most_s=4.0, draw=lambda: 0.5).delay_s(9) == 2.0


def test_what_the_server_asks_for_comes_before_the_delay() -> None:
    backoff = Backoff(first_s=1.0, draw=lambda: 0.5)
    assert backoff.wait_s(0, Overloaded("too often", retry_after_ms=1_500)) == 2.0
    assert backoff.wait_s(0, Overloaded("full")) == backoff.wait_s(0, Unavailable("fenced")) == 0.5
