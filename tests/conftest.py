"""Hypothesis profiles. Choose another with `pytest --hypothesis-profile=thorough`."""

from hypothesis import settings

# No deadline: a time limit on one example fails on a busy machine, not on a defect. Not derandomized: every run
# explores further, and a failure prints the blob that reproduces it.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=False)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=2_000)
settings.load_profile("ci")
