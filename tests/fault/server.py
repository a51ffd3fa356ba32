"""A server with short deadlines. Says where it listens; appends as many events as it is told; ends with its input."""

import asyncio
import json
import resource
import sys
from pathlib import Path

from audit import Audit, NewEvent
from audit.server.options import ServeOptions


async def main(path: str, send_timeout_s: float) -> None:
    options = ServeOptions(send_timeout_s=send_timeout_s)
    async with Audit.open(path, create=True) as log, log.serve("127.0.0.1:0", options=options) as server:
        say(url=server.urls[0])
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = json.loads(line)
            for _ in range(request["events"]):
                await log.append(NewEvent(topics=[tuple(request["topic"])], data="x" * request["bytes"]))
            say(size=log.info().size, aborted=server.traffic.aborted, rss_anon_kib=rss_anon_kib())


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def rss_anon_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
