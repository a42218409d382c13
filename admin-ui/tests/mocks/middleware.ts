/** The in-memory API as middleware of Vite's servers. No stream: the chip says so. */

import type { IncomingMessage, ServerResponse } from "node:http";

import { createBackend } from "./backend";

export function middleware() {
  const backend = createBackend({
    signedIn: process.env.TIDEGATE_UI_MOCK !== "out",
    more: Number(process.env.TIDEGATE_UI_MOCK_MORE ?? 0),
    withRollouts: true,
    empty: process.env.TIDEGATE_UI_MOCK === "empty",
  });
  return async (request: IncomingMessage, response: ServerResponse, next: () => void): Promise<void> => {
    if (!request.url?.startsWith("/api/v1")) return next();
    const body = Buffer.concat(await request.toArray()).toString("utf8");
    const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] => (typeof value === "string" ? [[name, value]] : []));
    const asked = new Request(`http://localhost${request.url}`, { method: request.method ?? "GET", headers, ...(body === "" ? {} : { body }) });
    const answered = await backend.handle(asked);
    response.writeHead(answered.status, Object.fromEntries(answered.headers)).end(await answered.text());
  };
}
