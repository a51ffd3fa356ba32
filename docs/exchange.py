"""What goes over the wire: subscribes, appends, prints each message. `python docs/exchange.py ws://127.0.0.1:8440/rpc`."""

import json
import sys
from typing import Any

from websockets.sync.client import ClientConnection, connect


def send(socket: ClientConnection, message: dict[str, Any]) -> None:
    text = json.dumps({"jsonrpc": "2.0", **message})
    print(f"> {text}")
    socket.send(text)


def receive(socket: ClientConnection) -> None:
    print(f"< {socket.recv(timeout=10)!s}", flush=True)


def main(url: str) -> None:
    opened = {"topics": [["node", "connection"]], "action": "connection.opened", "data": {"port": 22}}
    with connect(url, subprotocols=["audit.v1.json"], compression=None) as socket:  # type: ignore[list-item]
        send(socket, {"id": 1, "method": "events.subscribe", "params": {"topic": ["node"], "seek": "now"}})
        receive(socket)  # the answer,
        receive(socket)  # and that all there was has been sent
        send(socket, {"id": 2, "method": "events.append", "params": {"events": [opened]}})
        receive(socket)  # the receipt and the event, in either order
        receive(socket)
        send(socket, {"id": 3, "method": "subscription.cancel", "params": {"subscription": "1"}})
        receive(socket)


if __name__ == "__main__":
    main(sys.argv[1])
