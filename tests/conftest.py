"""Hypothesis profiles. Choose another with `pytest --hypothesis-profile=thorough`."""

import signal

from hypothesis import settings

# Programs that a shell has started in the background ignore it, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a time limit on one example fails on a busy machine, not on a defect. Not derandomized: every run
# explores further, and a failure prints the blob that reproduces it.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=False)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=2_000)
settings.load_profile("ci")
