import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A server on this machine that remembers what it was asked. */
export interface TestServer {
  readonly url: string;
  readonly requests: IncomingMessage[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param answer gets the number of the request too, counted from 0 */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
  onConnect?: (request: IncomingMessage, socket: Socket) => void,
): Promise<TestServer> {
  const requests: IncomingMessage[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => answer(request, response, requests.push(request) - 1));
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
  if (onConnect) {
    server.on('connect', (request, socket) => {
      requests.push(request);
      onConnect(request, socket as Socket);
    });
  }
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Answers as a good server does: a range if one is asked for, and the version is still the same. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  etag = '"1"',
): void {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const condition = request.headers['if-range'];
  const headers = { etag, 'accept-ranges': 'bytes' };
  if (range === null || (condition !== undefined && condition !== etag)) {
    response.writeHead(200, { ...headers, 'content-length': bytes.length }).end(bytes);
    return;
  }
  const first = Number(range[1]);
  const contentRange = `bytes ${first}-${bytes.length - 1}/${bytes.length}`;
  response
    .writeHead(206, { ...headers, 'content-range': contentRange, 'content-length': bytes.length - first })
    .end(bytes.subarray(first));
}

/** Announces all bytes and sends the first ones; what it returns ends the connection. */
export function sendBeginning(response: ServerResponse, bytes: Buffer, count: number): () => void {
  response.writeHead(200, { etag: '"1"', 'content-length': bytes.length }).write(bytes.subarray(0, count));
  return () => response.socket?.destroy();
}
