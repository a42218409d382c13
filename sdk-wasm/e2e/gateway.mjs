// A gateway between client and server that lets no websocket pass until it is told to, and tells of no page that it comes from.

import { createServer } from "node:http";
import { connect } from "node:net";

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
    gateway.#http = createServer((request, response) => void gateway.#pass(request, response));
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
    // Who is refused may hang up first.
    socket.on("error", () => socket.destroy());
    if (!this.passes) {
      socket.end("HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    this.streams += 1;
    const { hostname, port } = new URL(this.#server.url);
    const upstream = connect(Number(port), hostname, () => {
      const { origin: _, ...headers } = request.headers;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      upstream.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join("")}\r\n`);
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
  }

  async #pass(request, response) {
    const polls = request.url.startsWith("/api/v1/changes");
    if (polls) this.polls += 1;
    const { host: _, connection: __, ...headers } = request.headers;
    const body = await new Response(request).text();
    const answer = await fetch(this.#server.url + request.url, {
      method: request.method,
      headers,
      ...(body === "" ? {} : { body }),
    }).catch(() => new Response(null, { status: 502 }));
    if (polls && answer.status === 304) this.unchanged += 1;
    const { "transfer-encoding": ___, "content-encoding": ____, ...passed } = Object.fromEntries(answer.headers);
    response.writeHead(answer.status, passed).end(Buffer.from(await answer.arrayBuffer()));
  }
}
