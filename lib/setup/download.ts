import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { SetupError } from '../errors.js';
import { isDiskError, size } from './disk.js';
import { withoutSecrets } from './environment.js';
import type { ReleaseFile } from './releases.js';

/** How long a server is waited for, in milliseconds, and how often a broken transfer is taken up again. */
export interface Limits {
  readonly connect: number;
  /** Without a byte. */
  readonly idle: number;
  readonly retries: number;
  /** Before the first repetition; each further one waits twice as long. */
  readonly backOff: number;
}

export const defaultLimits: Limits = { connect: 5000, idle: 30_000, retries: 3, backOff: 1000 };

/** The server is to blame: it cannot be reached, refuses, or gives other bytes. */
export class DownloadError extends SetupError {
  /** A password in an address is not part of the message. */
  constructor(message: string) {
    super(withoutSecrets(message));
  }
}

// What a repetition may cure.
class Interruption extends Error {}

const alternatives =
  'Other ways: files that are there already (spikenode libtorch install --from FILE...), another server that has them ' +
  '(SPIKENODE_MIRROR), or the torch of an existing PyTorch (SPIKENODE_LIBTORCH).';
const maxRedirects = 5;
// A transfer that brought this much is no failure that counts towards the limit.
const progressBytes = 2 ** 20;

/** The SHA-256 of a file in hexadecimal digits. */
export async function sha256(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash, signal === undefined ? {} : { signal });
  return hash.digest('hex');
}

/** Bytes of a file; 0 when there is none. */
export async function bytesOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

function describe(error: unknown): string {
  const { code, message, cause } = error as NodeJS.ErrnoException & { cause?: unknown };
  if (cause !== undefined) return describe(cause);
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection in time';
  if (code === 'UND_ERR_BODY_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT') return 'no answer in time';
  return message || code || 'unknown failure';
}

const certificateCodes = /CERT|UNABLE_TO_|SELF_SIGNED/;

function unreachable(url: string, error: unknown): DownloadError {
  const { code = '' } = error as NodeJS.ErrnoException;
  const certificate = certificateCodes.test(code)
    ? ' If a proxy of this network signs for other servers, name its certificate in NODE_EXTRA_CA_CERTS.'
    : '';
  const { host } = new URL(url);
  return new DownloadError(`'${host}' cannot be reached: ${describe(error)}.${certificate} ${alternatives}`);
}

function refused(url: string, status: number): DownloadError {
  const meaning: Readonly<Record<number, string>> = {
    401: 'it wants to know who asks',
    403: 'it refuses',
    404: 'it has no such file',
    407: 'the proxy wants to know who asks (HTTPS_PROXY=http://user:password@host:port)',
    410: 'the file is gone',
  };
  return new DownloadError(
    `the server answers ${status} for '${url}'${meaning[status] ? `: ${meaning[status]}` : ''}. ${alternatives}`,
  );
}

interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Readable;
}

function header(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

async function follow(
  url: string,
  headers: Record<string, string>,
  dispatcher: Dispatcher,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const first = new URL(url);
  const who = `${decodeURIComponent(first.username)}:${decodeURIComponent(first.password)}`;
  const authorization = `Basic ${Buffer.from(who).toString('base64')}`;
  let target = url;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    // Its own server is told who asks, no other one that it redirects to.
    const isAsked = first.username !== '' && new URL(target).origin === first.origin;
    const sent = isAsked ? { ...headers, authorization } : headers;
    const answer = await request(target, { headers: sent, dispatcher, ...(signal && { signal }) });
    const location = answer.headers['location'];
    // The body may fail while nobody reads it yet; who reads it later is told then.
    answer.body.on('error', () => {});
    if (![301, 302, 303, 307, 308].includes(answer.statusCode) || typeof location !== 'string')
      return { status: answer.statusCode, headers: answer.headers, body: answer.body };
    await answer.body.dump();
    target = new URL(location, target).href;
  }
  throw new DownloadError(`'${url}' is redirected more than ${maxRedirects} times. ${alternatives}`);
}

/** One file on its way: the bytes so far, and the mark by which a server knows its version again. */
class Part {
  readonly path: string;
  readonly #mark: string;

  constructor(folder: string, name: string) {
    this.path = join(folder, `${name}.part`);
    this.#mark = `${this.path}.etag`;
  }

  bytes(): Promise<number> {
    return bytesOf(this.path);
  }

  async mark(): Promise<string | null> {
    return readFile(this.#mark, 'utf8').catch(() => null);
  }

  /** From the beginning again, with the version that this answer has. */
  async begin(answer: Answer): Promise<void> {
    await this.remove();
    const etag = header(answer, 'etag');
    // A weak one does not promise the same bytes.
    const mark = etag?.startsWith('"') ? etag : header(answer, 'last-modified');
    if (mark !== undefined) await writeFile(this.#mark, mark);
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await rm(this.#mark, { force: true });
  }

  async finish(target: string): Promise<void> {
    await rename(this.path, target);
    await rm(this.#mark, { force: true });
  }
}

// From which byte on this answer is written; an answer that is of no use throws.
async function firstByte(
  answer: Answer,
  part: Part,
  have: number,
  url: string,
  size: number,
): Promise<number> {
  if (answer.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(header(answer, 'content-range') ?? '');
    const etag = header(answer, 'etag');
    const mark = await part.mark();
    const isOther = etag?.startsWith('"') && mark?.startsWith('"') && etag !== mark;
    const total = range?.[2] === '*' ? size : Number(range?.[2]);
    if (range !== null && Number(range[1]) === have && total === size && !isOther) return have;
    await part.remove();
    throw new Interruption('the server has another version of the file than before');
  }
  if (answer.status === 416) {
    await part.remove();
    throw new Interruption('the server does not go on where the transfer stopped');
  }
  if (answer.status === 408 || answer.status === 429 || answer.status >= 500)
    throw new Interruption(`the server answers ${answer.status}`);
  if (answer.status !== 200) throw refused(url, answer.status);
  const length = header(answer, 'content-length');
  if (length !== undefined && Number(length) !== size) throw wrongLength(url, Number(length), size);
  await part.begin(answer);
  return 0;
}

function wrongLength(url: string, length: number, expected: number): DownloadError {
  return new DownloadError(
    `'${url}' gives ${length} bytes or more, expected ${expected}: it is another file, or the page of a proxy. ${alternatives}`,
  );
}

interface Transfer {
  readonly file: ReleaseFile;
  readonly url: string;
  readonly part: Part;
  readonly dispatcher: Dispatcher;
  readonly onProgress: (bytes: number) => void;
  readonly signal: AbortSignal | undefined;
}

async function transfer({ file, url, part, dispatcher, onProgress, signal }: Transfer): Promise<void> {
  const have = await part.bytes();
  if (have === file.size) return;
  const mark = have === 0 ? null : await part.mark();
  // Compressed on the way, a range would be one of other bytes.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (have > 0) headers['range'] = `bytes=${have}-`;
  if (mark !== null) headers['if-range'] = mark;
  const answer = await follow(url, headers, dispatcher, signal);
  try {
    let written = await firstByte(answer, part, have, url, file.size);
    const output = await open(part.path, written === 0 ? 'w' : 'a');
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        written += chunk.length;
        if (written > file.size) throw wrongLength(url, written, file.size);
        await output.writeFile(chunk);
        onProgress(written);
      }
      if (written < file.size)
        throw new Interruption(`the server ends after ${written} of ${file.size} bytes`);
      await output.sync();
    } finally {
      await output.close();
    }
  } finally {
    // After an error nobody reads it, and an unread body would hold its connection.
    answer.body.destroy();
  }
}

const connectCodes =
  /^(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/;

// An Interruption, if a repetition may help; else an error with a sentence.
function judge(error: unknown, url: string, wasReached: boolean): unknown {
  if (error instanceof SetupError || error instanceof Interruption || isDiskError(error)) return error;
  const { code = '', message = '' } = error as NodeJS.ErrnoException;
  const proxy = /^Proxy response \((\d+)\)/.exec(message);
  if (proxy) return refused(url, Number(proxy[1]));
  // A network that is not there is not waited for; one that was there a moment ago is.
  if (certificateCodes.test(code) || (connectCodes.test(code) && !wasReached)) return unreachable(url, error);
  return new Interruption(describe(error));
}

/** What `download` needs besides the file. */
export interface DownloadOptions {
  readonly dispatcher: Dispatcher;
  readonly limits: Limits;
  /** Bytes of the file that are there. */
  readonly onProgress: (bytes: number) => void;
  /** Why a transfer is taken up again. */
  readonly onRetry: (reason: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads a file into a folder and checks its SHA-256. Bytes of an earlier call that was interrupted, in `<name>.part`,
 * are not asked for again if the server still has the same file.
 * @returns the path of the file
 * @throws DownloadError when the server cannot be reached, refuses or gives other bytes; what the file system throws;
 *   the signal's reason
 */
export async function download(
  file: ReleaseFile,
  url: string,
  folder: string,
  { dispatcher, limits, onProgress, onRetry, signal }: DownloadOptions,
): Promise<string> {
  const part = new Part(folder, file.name);
  if ((await part.bytes()) > file.size) await part.remove();
  let wasReached = false;
  for (let failures = 0; ; ) {
    const before = await part.bytes();
    try {
      await transfer({ file, url, part, dispatcher, onProgress, signal });
      break;
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = judge(thrown, url, wasReached);
      if (!(error instanceof Interruption)) throw error;
      wasReached = true;
      if ((await part.bytes()) - before >= progressBytes) failures = 0;
      if (++failures > limits.retries) throw givenUp(file, url, error.message, await part.bytes());
      onRetry(error.message);
      await sleep(limits.backOff * 2 ** (failures - 1), undefined, { signal });
    }
  }
  const sum = await sha256(part.path, signal);
  if (sum !== file.sha256) {
    await part.remove();
    throw new DownloadError(
      `'${url}' gave bytes with the SHA-256 ${sum}, expected ${file.sha256}: they were damaged or exchanged on their way, ` +
        `or the server has another file of this name. They were removed; try again. ${alternatives}`,
    );
  }
  const target = join(folder, file.name);
  await part.finish(target);
  return target;
}

function givenUp(file: ReleaseFile, url: string, reason: string, bytes: number): DownloadError {
  const kept =
    bytes > 0 ? ` ${size(bytes)} of ${size(file.size)} are kept; the same command goes on there.` : '';
  return new DownloadError(
    `the download of '${url}' failed again and again: ${reason}.${kept} ${alternatives}`,
  );
}
