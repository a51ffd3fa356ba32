"""Builds `src/audit/proof/_native.c` with the package where there is what that takes; elsewhere it does without.

Hatchling calls this for each wheel and each editable installation.
"""

from __future__ import annotations

import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, PlatformError

_PROOF: Final = "src/audit/proof"
_LIMITED_API: Final = "cp311"  # as `Py_LIMITED_API` in the source


class NativeHook(BuildHookInterface[BuilderConfig]):
    """Compiles, and says for which platform the wheel then is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile in the source tree: where an editable installation looks for it, and whence a wheel takes it."""
        for stale in Path(self.root, _PROOF).glob("_native.*.so"):
            stale.unlink()
        if platform.python_implementation() != "CPython":
            return
        try:
            _compile()
        except (CCompilerError, PlatformError) as error:
            self.app.display_warning(f"Hashes will be made by hashlib, which takes longer. Not compiled: {error}")
            return
        on = next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))
        build_data["pure_python"] = False
        build_data["tag"] = f"{_LIMITED_API}-abi3-{on}"


def _compile() -> None:
    module = Extension("audit.proof._native", [f"{_PROOF}/_native.c"], libraries=["crypto"], py_limited_api=True)
    command = build_ext(Distribution({"package_dir": {"": "src"}, "ext_modules": [module]}))
    command.inplace = True
    with TemporaryDirectory() as command.build_temp:
        command.ensure_finalized()
        command.run()
