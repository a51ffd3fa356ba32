/** A service that records what was asked of it: AUDIT_URL=ws://127.0.0.1:8440 PORT=8080 node service.mjs */

import { createServer } from "node:http";
import { connect } from "@audit/client";

const { AUDIT_URL = "ws://127.0.0.1:8440", AUDIT_TOKEN: token, PORT = 8080 } = process.env;
const log = await connect(AUDIT_URL, token === undefined ? {} : { token });

const server = createServer(async (request, response) => {
  const id = request.headers["x-request-id"] ?? crypto.randomUUID();
  const status = request.method === "GET" ? 200 : 405;
  try {
    // Committed before it is answered: what nobody recorded did not happen.
    const { index } = await log.append({
      topics: [["service", "request"]],
      action: `http.${request.method?.toLowerCase()}`,
      actor: { type: "address", id: request.socket.remoteAddress ?? "unknown" },
      targets: [{ type: "path", id: new URL(request.url ?? "/", "http://service").pathname }],
      outcome: status === 200 ? "success" : "denied",
      context: { request_id: String(id) },
    });
    response.writeHead(status, { "content-type": "text/plain" }).end(`recorded as event ${index}\n`);
  } catch (error) {
    response.writeHead(503, { "content-type": "text/plain", "retry-after": "1" }).end(`not recorded: ${error.code}\n`);
  }
});

server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.once("SIGTERM", () => {
  // Requests under way are answered, and so recorded, first.
  server.close(() => log.close());
  server.closeIdleConnections();
});
