import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { DownloadError, download } from '../../lib/setup/download.js';
import { connections } from '../../lib/setup/network.js';
import { sendBeginning, sendFile, serve } from './server.js';
import { describeFile, noise } from './wheel.js';

const folder = mkdtempSync(join(tmpdir(), 'spikenode-download-'));
after(() => rmSync(folder, { recursive: true }));
for (const name of ['http_proxy', 'https_proxy', 'no_proxy']) {
  delete process.env[name];
  delete process.env[name.toUpperCase()];
}
beforeEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
});

const bytes = noise(100_000, 7);
const name = 'torch-1+cpu.whl';
const limits = { connect: 2000, idle: 400, retries: 3, backOff: 1 };

// Ends the connection of a server that stopped in the middle, once its bytes are written.
const half = 40_000;
let breakOff = (): void => {};

function sendAndBreak(response: ServerResponse, content: Buffer): void {
  breakOff = sendBeginning(response, content, half);
}

interface Call {
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number) => unknown;
}

/** Downloads the file from a server; what was retried and why. */
async function fetchFrom(
  url: string,
  { signal, onProgress = (done) => done === half && breakOff() }: Call = {},
): Promise<string[]> {
  const dispatcher = connections(limits);
  const retries: string[] = [];
  try {
    const file = describeFile(name, bytes, `${url}/${encodeURIComponent(name)}`);
    const onRetry = (reason: string): number => retries.push(reason);
    const path = await download(file, file.url, folder, { dispatcher, limits, onProgress, onRetry, signal });
    assert.equal(path, join(folder, name));
    assert.ok(readFileSync(path).equals(bytes));
    assert.deepEqual(readdirSync(folder), [name]);
  } finally {
    await dispatcher.destroy();
  }
  return retries;
}

type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** The error that a download from such a server ends with. */
async function failureOf(answer: Answer, requests: number): Promise<string> {
  await using server = await serve(answer);
  let message = '';
  await assert.rejects(fetchFrom(server.url), (error: Error) => {
    assert.ok(error instanceof DownloadError, String(error));
    message = error.message;
    return true;
  });
  assert.equal(server.requests.length, requests, message);
  return message;
}

const ranges = (requests: readonly IncomingMessage[]): (string | undefined)[] =>
  requests.map(({ headers }) => headers.range);

test('a file arrives, by its escaped name and without compression', async () => {
  await using server = await serve((request, response) => sendFile(request, response, bytes));
  assert.deepEqual(await fetchFrom(server.url), []);
  assert.equal(server.requests[0]!.url, '/torch-1%2Bcpu.whl');
  assert.equal(server.requests[0]!.headers['accept-encoding'], 'identity');
});

test('a transfer that breaks off goes on where it stopped', async () => {
  await using server = await serve((request, response, count) => {
    if (count === 0) sendAndBreak(response, bytes);
    else sendFile(request, response, bytes);
  });
  assert.equal((await fetchFrom(server.url)).length, 1);
  assert.deepEqual(ranges(server.requests), [undefined, 'bytes=40000-']);
  assert.equal(server.requests[1]!.headers['if-range'], '"1"');
});

test('a server that ignores the range, or has another version, starts over', async () => {
  const answers: Answer[] = [
    (_, response) => response.writeHead(200, { 'content-length': bytes.length }).end(bytes),
    (request, response) => sendFile(request, response, bytes, '"2"'),
  ];
  for (const answer of answers) {
    rmSync(join(folder, name), { force: true });
    const other = noise(bytes.length, 8);
    await using server = await serve((request, response, count) => {
      if (count === 0) sendAndBreak(response, other);
      else answer(request, response, count);
    });
    await fetchFrom(server.url);
    assert.deepEqual(ranges(server.requests), [undefined, 'bytes=40000-']);
  }
});

test('a server that goes on with another version in spite of the condition is asked from the beginning', async () => {
  await using server = await serve((request, response, count) => {
    if (count === 0) sendAndBreak(response, noise(bytes.length, 8));
    else {
      delete request.headers['if-range'];
      sendFile(request, response, bytes, '"2"');
    }
  });
  await fetchFrom(server.url);
  assert.deepEqual(ranges(server.requests), [undefined, 'bytes=40000-', undefined]);
});

test('a range that the server cannot give is asked for from the beginning', async () => {
  writeFileSync(join(folder, `${name}.part`), noise(40_000, 8));
  await using server = await serve((request, response) => {
    if (request.headers.range) response.writeHead(416).end();
    else sendFile(request, response, bytes);
  });
  await fetchFrom(server.url);
  assert.deepEqual(ranges(server.requests), ['bytes=40000-', undefined]);
});

test('a whole part is not asked for again, a longer one is thrown away', async () => {
  await using server = await serve((request, response) => sendFile(request, response, bytes));
  writeFileSync(join(folder, `${name}.part`), bytes);
  await fetchFrom(server.url);
  assert.equal(server.requests.length, 0);
  rmSync(join(folder, name));
  writeFileSync(join(folder, `${name}.part`), noise(bytes.length + 1, 9));
  await fetchFrom(server.url);
  assert.deepEqual(ranges(server.requests), [undefined]);
});

test('wrong bytes are removed, and both sums are told', async () => {
  const message = await failureOf(
    (request, response) => sendFile(request, response, noise(bytes.length, 8)),
    1,
  );
  const sums = message.match(/[0-9a-f]{64}/g) ?? [];
  assert.equal(sums.length, 2);
  assert.equal(sums[1], describeFile(name, bytes, '').sha256);
  assert.deepEqual(readdirSync(folder), []);
});

test('a refusal is a sentence with the address and other ways, at once', async () => {
  for (const status of [401, 403, 404, 410, 418]) {
    const message = await failureOf((_, response) => response.writeHead(status).end('<html>'), 1);
    assert.match(message, new RegExp(`answers ${status} for 'http://127.*torch-1%2Bcpu.whl'`));
    for (const way of ['--from FILE', 'SPIKENODE_MIRROR', 'SPIKENODE_LIBTORCH'])
      assert.ok(message.includes(way));
  }
});

test('a server in trouble is asked again, three times', async () => {
  await using server = await serve((request, response, count) => {
    if (count < 2) response.writeHead(count === 0 ? 500 : 429).end();
    else sendFile(request, response, bytes);
  });
  assert.deepEqual(await fetchFrom(server.url), ['the server answers 500', 'the server answers 429']);
  rmSync(join(folder, name));
  const message = await failureOf((_, response) => response.writeHead(503).end(), 4);
  assert.match(message, /failed again and again: the server answers 503\./);
});

test('a file of another length is refused, announced or not', async () => {
  const announced = await failureOf(
    (_, response) => response.writeHead(200, { 'content-length': 5 }).end('12345'),
    1,
  );
  assert.match(announced, /gives 5 bytes or more, expected 100000/);
  const longer = Buffer.concat([bytes, bytes]);
  assert.match(await failureOf((_, response) => response.writeHead(200).end(longer), 1), /expected 100000/);
  rmSync(join(folder, `${name}.part`), { force: true });
  const short = await failureOf((_, response) => response.writeHead(200).end(bytes.subarray(0, 10)), 4);
  assert.match(short, /the server ends after 10 of 100000 bytes/);
});

test('a server that falls silent is given up or gone on with', async () => {
  const never = await failureOf(() => {}, 4);
  assert.match(never, /no answer in time/);
  await using server = await serve((request, response, count) => {
    if (count > 0) sendFile(request, response, bytes);
    else sendBeginning(response, bytes, half);
  });
  assert.deepEqual(await fetchFrom(server.url, { onProgress() {} }), ['no answer in time']);
  assert.deepEqual(ranges(server.requests), [undefined, 'bytes=40000-']);
});

test('redirects are followed with the range, not for ever', async () => {
  await using server = await serve((request, response, count) => {
    if (count === 0) response.writeHead(302, { location: '/elsewhere' }).end();
    else if (count === 1) sendAndBreak(response, bytes);
    else if (count === 2) response.writeHead(307, { location: '/elsewhere' }).end();
    else sendFile(request, response, bytes);
  });
  await fetchFrom(server.url);
  assert.deepEqual(ranges(server.requests), [undefined, undefined, 'bytes=40000-', 'bytes=40000-']);
  rmSync(join(folder, name));
  const message = await failureOf(
    (request, response) => response.writeHead(302, { location: request.url! }).end(),
    6,
  );
  assert.match(message, /redirected more than 5 times/);
});

test('where nobody answers, nothing is repeated', async () => {
  const listener = createServer();
  await new Promise<void>((done) => listener.listen(0, '127.0.0.1', done));
  const { port } = listener.address() as { port: number };
  await new Promise((done) => listener.close(done));
  for (const url of [`http://127.0.0.1:${port}`, 'http://no-such-host.invalid']) {
    await assert.rejects(fetchFrom(url), (error: Error) => {
      assert.ok(error instanceof DownloadError);
      assert.ok(error.message.startsWith(`'${new URL(url).host}' cannot be reached: `), error.message);
      return true;
    });
  }
});

test('an interrupted download keeps its part, and the next call goes on with it', async () => {
  await using server = await serve((request, response, count) => {
    if (count > 0) sendFile(request, response, bytes);
    else sendBeginning(response, bytes, half);
  });
  const controller = new AbortController();
  const onProgress = (done: number): void => {
    if (done === half) controller.abort();
  };
  await assert.rejects(fetchFrom(server.url, { signal: controller.signal, onProgress }), {
    name: 'AbortError',
  });
  assert.equal(readFileSync(join(folder, `${name}.part`)).length, 40_000);
  await fetchFrom(server.url);
  assert.deepEqual(ranges(server.requests), [undefined, 'bytes=40000-']);
});

test('a proxy is used where the environment names one', async (context) => {
  await using server = await serve((request, response) => sendFile(request, response, bytes));
  await using proxy = await serve(
    (_, response) => response.writeHead(400).end(),
    (request, socket) => {
      const [host, port] = request.url!.split(':');
      const target = connect(Number(port), host!, () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        target.pipe(socket).pipe(target);
      });
      socket.on('error', () => target.destroy());
      target.on('error', () => socket.destroy());
    },
  );
  await using closed = await serve(
    () => {},
    (_, socket) => socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'),
  );
  context.after(() => {
    delete process.env['HTTP_PROXY'];
    delete process.env['NO_PROXY'];
  });
  const warnings: Error[] = [];
  process.on('warning', (warning) => warnings.push(warning));
  process.env['HTTP_PROXY'] = proxy.url;
  await fetchFrom(server.url);
  assert.deepEqual(
    proxy.requests.map(({ method, url }) => [method, url]),
    [['CONNECT', new URL(server.url).host]],
  );
  process.env['NO_PROXY'] = '127.0.0.1';
  rmSync(join(folder, name));
  await fetchFrom(server.url);
  assert.equal(proxy.requests.length, 1);
  assert.equal(server.requests.length, 2);

  delete process.env['NO_PROXY'];
  rmSync(join(folder, name));
  process.env['HTTP_PROXY'] = closed.url;
  await assert.rejects(fetchFrom(server.url), /answers 407 .*the proxy wants to know who asks/);
  for (const wrong of ['socks5://user:secret@host:1', 'not an address']) {
    process.env['HTTP_PROXY'] = wrong;
    await assert.rejects(fetchFrom(server.url), (error: Error) => {
      assert.match(error.message, /^HTTP_PROXY: expected the address of a proxy/);
      assert.ok(!error.message.includes('secret'));
      return true;
    });
  }
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(warnings, []);
  assert.ok(!existsSync(join(folder, name)));
});
