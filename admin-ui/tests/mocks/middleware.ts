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
  return (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    if (!request.url?.startsWith("/api/v1")) {
      next();
      return;
    }
    void answer(request, response);
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const method = request.method ?? "GET";
    const answered = await backend.handle(
      new Request(`http://localhost${request.url}`, {
        method,
        headers: Object.entries(request.headers).flatMap(([name, value]) => (typeof value === "string" ? [[name, value] as [string, string]] : [])),
        ...(method === "GET" || chunks.length === 0 ? {} : { body: Buffer.concat(chunks).toString("utf8") }),
      }),
    );
    response.statusCode = answered.status;
    answered.headers.forEach((value, name) => response.setHeader(name, value));
    response.end(await answered.text());
  }
}
