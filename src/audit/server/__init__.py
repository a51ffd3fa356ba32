"""The log on a port: WebSocket RPC, HTTP and Server-Sent Events. Needs the extra `server`."""
