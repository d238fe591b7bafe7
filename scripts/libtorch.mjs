// Obtains the pinned libtorch for a source build: SPIKENODE_LIBTORCH if set, else the cache, else
// the CPU wheel (a zip), downloaded once and checked against its SHA-256.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { withLock } from './lock.mjs';

const VERSION = '2.13.0';
const WHEEL = {
  name: `torch-${VERSION}+cpu-cp311-cp311-manylinux_2_28_x86_64.whl`,
  sha256: '6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b',
};
const OFFICIAL = 'https://download.pytorch.org/whl/cpu';
const NEEDED = [
  'torch/lib/libtorch_cpu.so',
  'torch/lib/libc10.so',
  'torch/lib/libgomp.so.1',
  'torch/include',
  'torch/share/cmake',
];

/** The folder of libtorch copies of this user; the loader looks there too (lib/native/libtorch.ts). */
export function cacheFolder() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'spikenode', 'libtorch');
}

function isComplete(folder) {
  return (
    existsSync(join(folder, 'lib', 'libtorch_cpu.so')) &&
    existsSync(join(folder, 'include', 'ATen', 'ATen.h'))
  );
}

async function sha256(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** From PyTorch's own server; null when it cannot be reached within a few seconds. */
async function fromOfficialServer(folder, say) {
  const file = join(folder, WHEEL.name);
  try {
    const connected = new AbortController();
    const timer = setTimeout(() => connected.abort(), 4000);
    const response = await fetch(`${OFFICIAL}/${encodeURIComponent(WHEEL.name)}`, {
      signal: connected.signal,
    });
    clearTimeout(timer);
    if (!response.ok || !response.body) throw new Error(`HTTP status ${response.status}`);
    say(`downloading ${WHEEL.name} (192 MB) from PyTorch's server`);
    await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
    return file;
  } catch (error) {
    say(`PyTorch's server gives no ${WHEEL.name}: ${error.cause?.message ?? error.message}; trying pip`);
    return null;
  }
}

function fromPip(folder, say) {
  const base = [
    'download',
    '--no-deps',
    '--only-binary=:all:',
    '--python-version',
    '3.11',
    '--platform',
    'manylinux_2_28_x86_64',
    '--timeout',
    '10',
    '--retries',
    '1',
    '-d',
    folder,
    `torch==${VERSION}+cpu`,
  ];
  for (const extra of [[], ['--extra-index-url', OFFICIAL]]) {
    say(`pip ${[...base, ...extra].join(' ')}`);
    const result = spawnSync('python3', ['-m', 'pip', ...base, ...extra], { encoding: 'utf8' });
    const file = readdirSync(folder).find((name) => name.startsWith(`torch-${VERSION}`));
    if (result.status === 0 && file) return join(folder, file);
    say(`pip could not: ${(result.stderr ?? result.error?.message ?? '').trim().split('\n').at(-1)}`);
  }
  return null;
}

async function install(target, say) {
  const partial = mkdtempSync(`${target}.partial-`);
  try {
    const wheel = (await fromOfficialServer(partial, say)) ?? fromPip(partial, say);
    if (!wheel)
      throw new Error(
        `libtorch ${VERSION} could not be obtained. Set SPIKENODE_LIBTORCH to a folder that has lib/ and include/ of it.`,
      );
    const sum = await sha256(wheel);
    if (sum !== WHEEL.sha256) throw new Error(`${WHEEL.name} has SHA-256 ${sum}, expected ${WHEEL.sha256}`);
    say('unpacking libraries and headers');
    const unpacked = spawnSync('cmake', ['-E', 'tar', 'xf', wheel, ...NEEDED], {
      cwd: partial,
      encoding: 'utf8',
    });
    if (unpacked.status !== 0)
      throw new Error(
        `cmake -E tar could not unpack the wheel: ${unpacked.error?.message ?? unpacked.stderr}`,
      );
    if (!isComplete(join(partial, 'torch')))
      throw new Error('the wheel lacks files that were expected in it');
    rmSync(target, { recursive: true, force: true });
    renameSync(join(partial, 'torch'), target);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** The folder with lib/ and include/ of the pinned libtorch. */
export async function obtainLibtorch(say) {
  const given = process.env.SPIKENODE_LIBTORCH;
  if (given) {
    if (!isComplete(resolve(given)))
      throw new Error(`SPIKENODE_LIBTORCH='${given}' lacks lib/libtorch_cpu.so or include/ATen/ATen.h`);
    return resolve(given);
  }
  const cache = cacheFolder();
  const target = join(cache, `${VERSION}-cpu-linux-x64`);
  if (isComplete(target)) return target;
  mkdirSync(cache, { recursive: true });
  say(`libtorch ${VERSION} (CPU) is needed once, in ${cache}`);
  await withLock(
    `${target}.lock`,
    () => say('another process obtains libtorch; waiting'),
    async () => {
      if (!isComplete(target)) await install(target, say);
    },
  );
  return target;
}
