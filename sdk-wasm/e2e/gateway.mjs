// A gateway between client and server. It lets no websocket pass until it is told to, and answers polls itself with what the
// server's stream says to somebody who has what the poll says: what `GET /api/v1/changes` is. Of a websocket that passes it hides
// from which page it comes: the server takes no server key from pages.

import { createServer } from "node:http";
import { connect } from "node:net";

import { WebSocket } from "ws";

export class Gateway {
  polls = 0;
  unchanged = 0;
  streams = 0;
  /** From now on websockets pass. */
  passes = false;
  #server;
  #http;
  #sockets = new Set();

  static async start(server) {
    const gateway = new Gateway();
    gateway.#server = server;
    gateway.#http = createServer((request, response) => void gateway.#answer(request, response));
    gateway.#http.on("connection", (socket) => {
      gateway.#sockets.add(socket);
      socket.on("close", () => gateway.#sockets.delete(socket));
    });
    gateway.#http.on("upgrade", (request, socket) => gateway.#upgrade(request, socket));
    await new Promise((resolve) => {
      gateway.#http.listen(0, "127.0.0.1", resolve);
    });
    return gateway;
  }

  get url() {
    return `http://127.0.0.1:${this.#http.address().port}`;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#http.close(resolve);
    });
  }

  #upgrade(request, socket) {
    if (!this.passes) {
      socket.end("HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    this.streams += 1;
    const { hostname, port } = new URL(this.#server.url);
    const upstream = connect(Number(port), hostname, () => {
      const headers = Object.entries(request.headers).filter(([name]) => name !== "origin");
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
      upstream.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
  }

  async #answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.url);
    if (pathname !== "/api/v1/changes") {
      response.writeHead(202).end("{}");
      return;
    }
    this.polls += 1;
    const position = searchParams.has("epoch")
      ? { epoch: searchParams.get("epoch"), revision: Number(searchParams.get("revision")), digest: searchParams.get("digest") }
      : undefined;
    const lines = await this.#changeSet(request.headers.authorization, position).catch(() => undefined);
    if (lines === undefined) {
      response.writeHead(502).end();
      return;
    }
    const intent = JSON.parse(lines[0]);
    const tag = JSON.stringify(intent.to.digest);
    if (intent.transfer === "none" && request.headers["if-none-match"] === tag) {
      this.unchanged += 1;
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, { etag: tag }).end(lines.join("\n"));
  }

  /** The lines from the intent to the commit, or the intent alone where it brings nothing. */
  #changeSet(authorization, position) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`${this.#server.url.replace("http", "ws")}/api/v1/stream`, { headers: { authorization } });
      const lines = [];
      socket.on("open", () => socket.send(JSON.stringify({ type: "hello", protocol: 1, sdk: "gateway/1", position })));
      socket.on("error", reject);
      socket.on("message", (frame) => {
        lines.push(...String(frame).split("\n"));
        const start = lines.findIndex((line) => JSON.parse(line).type === "intent");
        const ended = lines.some((line) => JSON.parse(line).type === "commit");
        if (start < 0 || !(ended || JSON.parse(lines[start]).transfer === "none")) return;
        socket.terminate();
        resolve(lines.slice(start));
      });
    });
  }
}
