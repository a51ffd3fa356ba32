"""Coverage-guided fuzzing of every decoder, with atheris: `make fuzz`. The first byte says which of them.

Arguments are libFuzzer's, such as `-max_total_time=60`, a directory to keep what was found, or a file to try again.
"""

import importlib
import sys
from typing import Any


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["audit"]):
        from tests.fuzz.targets import TARGETS, try_bytes  # noqa: PLC0415 - what is imported here is instrumented
    targets = list(TARGETS.values())

    def look(data: bytes) -> None:
        if data:
            try_bytes(targets[data[0] % len(targets)], data[1:])

    atheris.Setup(sys.argv, look)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
