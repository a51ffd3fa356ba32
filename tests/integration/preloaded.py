"""Runs `audit` in a new process for each command, forked from one that has imported it all: most of a start is imports.

The process listens on a socket, which it is given as standard input. A request is one packet: a line of JSON with
arguments, environment and directory, and with it the command's standard streams, and a pipe for its exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["run_forked"]

_PACKET_BYTES: Final = 1 << 17
_PRELOADED: Final = ("audit.cli", "audit.client", "audit.server.serving", "audit.app.fsck", "audit.app.restore")
_SOME: Final = 4


def run_forked(
    arguments: tuple[str, ...], *, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], environment: dict[str, str]
) -> int:
    """Run a command to its end, as `python -m audit` would; return its exit code."""
    request = json.dumps({"arguments": arguments, "environment": environment, "directory": str(Path.cwd())})
    receive, send = os.pipe()
    with os.fdopen(receive, "rb") as told:
        try:
            streams = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(_preloaded(), [request.encode()], [*streams, send])
        finally:
            os.close(send)
        return int(told.read())


@cache
def _preloaded() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _PACKET_BYTES)
    with theirs:
        process = subprocess.Popen([sys.executable, __file__], stdin=theirs.fileno(), stdout=subprocess.DEVNULL)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(requests: socket.socket) -> None:
    """Fork for each request, until nobody can make one."""
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    # A watcher is not waited for: the exit code has been told by whoever waits for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _PACKET_BYTES, _SOME)
        if not request:
            return
        if not os.fork():
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(json.loads(request), descriptors)
            return
        for one in descriptors:
            os.close(one)


def _watch(request: dict[str, Any], descriptors: list[int]) -> None:
    """Fork once more, and tell what becomes of the command; what is returned from is the command's own process."""
    *streams, told = descriptors
    command = os.fork()
    if command:
        for one in streams:
            os.close(one)
        _, status = os.waitpid(command, 0)
        os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(told)
    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module("audit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(socket.socket(fileno=os.dup(0)))
