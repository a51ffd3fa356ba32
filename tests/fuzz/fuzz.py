"""Coverage-guided fuzzing of every decoder, with atheris: `make fuzz`. The first byte says which of them.

Arguments are libFuzzer's, such as `-max_total_time=60`, or a file to try again.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["audit"]):
        # What is imported here is instrumented.
        from tests.fuzz.targets import TARGETS, try_bytes  # noqa: PLC0415
        from tests.fuzz.test_decoders import seeds  # noqa: PLC0415
    targets = list(TARGETS.values())

    def look(data: bytes) -> None:
        if data:
            try_bytes(targets[data[0] % len(targets)], data[1:])

    with tempfile.TemporaryDirectory() as corpus:
        for number, valid in enumerate(seeds().values()):
            for at, whole in enumerate(valid):
                # Whole, and without the version and the checksum: what a body's target wants.
                Path(corpus, f"{number}-{at}").write_bytes(bytes((number,)) + whole)
                Path(corpus, f"{number}-{at}-body").write_bytes(bytes((number,)) + whole[9:])
        # A file to try again is tried alone.
        more = [] if any(Path(one).is_file() for one in sys.argv[1:]) else [corpus]
        atheris.Setup([*sys.argv, *more], look)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
