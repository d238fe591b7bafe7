import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { download } from '../../lib/setup/download.js';
import { type InstallOptions, installLibtorch } from '../../lib/setup/install.js';
import { listInstalled, removeLibtorch } from '../../lib/setup/installed.js';
import { withLock } from '../../lib/setup/lock.js';
import { connections } from '../../lib/setup/network.js';
import { releases } from '../../lib/setup/releases.js';
import { sendBeginning, sendFile, serve, type TestServer } from './server.js';
import { cpuRelease, cudaRelease, type FakeRelease } from './wheel.js';

// The path has a space on purpose.
const base = mkdtempSync(join(tmpdir(), 'spikenode install-'));
after(() => rmSync(base, { recursive: true }));
const child = fileURLToPath(new URL('install-child.js', import.meta.url));
let cache = '';
let count = 0;

beforeEach(() => {
  cache = join(base, `${count++}`);
  process.env['SPIKENODE_CACHE'] = cache;
  delete process.env['SPIKENODE_MIRROR'];
});

const said: string[] = [];
const limits = { connect: 2000, idle: 2000, retries: 1, backOff: 1 };

async function install({ release }: FakeRelease, more: Partial<InstallOptions> = {}): Promise<string> {
  said.length = 0;
  const report = { say: (text: string): unknown => said.push(text), progress() {} };
  return installLibtorch(release, { headers: false, force: false, from: null, report, limits, ...more });
}

/** A server that has the wheels of these releases. */
function server(...fakes: FakeRelease[]): Promise<TestServer> {
  return serve((request, response) => {
    const name = decodeURIComponent(request.url!.slice(1));
    const bytes = fakes.flatMap(({ wheels }) => wheels.get(name) ?? [])[0];
    if (bytes) sendFile(request, response, bytes);
    else response.writeHead(404).end();
  });
}

/** Writes the wheels into a folder and gives their paths. */
function save({ wheels }: FakeRelease, folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  return [...wheels].map(([name, bytes]) => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  });
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

const cpuFiles = [
  'lib/libc10.so',
  'lib/libgomp.so.1',
  'lib/libtorch_cpu.so',
  'licenses/LICENSE',
  'licenses/third_party/x/NOTICE.txt',
  'version.json',
];

test('a release of the CPU is downloaded and unpacked: libraries and licences', async () => {
  await using wheels = await server(cpuRelease(''));
  const fake = cpuRelease(wheels.url);
  const folder = await install(fake);
  assert.equal(folder, join(cache, 'libtorch', '9.8.7-cpu-linux-x64'));
  assert.deepEqual(
    files(cache),
    [...cpuFiles.map((name) => join('libtorch/9.8.7-cpu-linux-x64', name))].sort(),
  );
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'version.json'), 'utf8')), {
    torch: '9.8.7',
    cuda: null,
  });
  assert.match(said.join('\n'), /^installing libtorch 9\.8\.7 \(CPU\) in '.*': 0\.\d+ MB|kB to download/);
  assert.equal(await install(fake), folder);
  assert.deepEqual(said, []);
  assert.equal(wheels.requests.length, 1);
  const [found] = await listInstalled();
  assert.ok(found!.bytes > 50_000);
  assert.deepEqual(
    { ...found, bytes: 0 },
    { id: '9.8.7-cpu', folder, bytes: 0, headers: false, whole: true },
  );
});

test('with headers it is unpacked again, in place of the one without', async () => {
  await using wheels = await server(cpuRelease(''));
  const fake = cpuRelease(wheels.url);
  await install(fake);
  const folder = await install(fake, { headers: true });
  const more = ['include/ATen/ATen.h', 'share/cmake/Torch/TorchConfig.cmake'];
  assert.deepEqual(files(folder), [...cpuFiles, ...more].sort());
  await install(fake);
  assert.equal(wheels.requests.length, 2);
  writeFileSync(join(folder, 'lib/libc10.so'), 'damaged');
  // It keeps its headers, which builds may need.
  await install(fake, { force: true });
  assert.deepEqual(files(folder), [...cpuFiles, ...more].sort());
  assert.equal(readFileSync(join(folder, 'lib/libc10.so')).length, 3000);
  assert.deepEqual(readdirSync(join(cache, 'libtorch')), ['9.8.7-cpu-linux-x64']);
});

test('a release with CUDA keeps torch and nvidia beside each other', async () => {
  await using wheels = await server(cudaRelease(''));
  const folder = await install(cudaRelease(wheels.url));
  assert.equal(folder, join(cache, 'libtorch', '9.9.0-cu130-linux-x64', 'torch'));
  const expected = [
    'nvidia/cu13/lib/libcublas.so.13',
    'torch/lib/libtorch_cpu.so',
    'torch/lib/libtorch_cuda.so',
    'torch/licenses/LICENSE',
    'torch/licenses/nvidia_cublas/License.txt',
    'torch/version.json',
    'torch/version.py',
  ];
  assert.deepEqual(files(dirname(folder)), expected);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'version.json'), 'utf8')), {
    torch: '9.9.0',
    cuda: '13.0',
  });
  const withHeaders = await install(cudaRelease(wheels.url), { headers: true });
  const headers = ['nvidia/cu13/include/cublas.h', 'torch/include/ATen/ATen.h'];
  assert.deepEqual(files(dirname(withHeaders)), [...expected, ...headers].sort());
  assert.deepEqual(
    (await listInstalled()).map(({ id, whole }) => [id, whole]),
    [['9.9.0-cu130', true]],
  );
});

test('given files are known by their checksums, whatever their names; missing ones are listed', async () => {
  const fake = cudaRelease('https://nowhere.invalid');
  const [torch, cublas] = save(fake, join(cache, 'given'));
  const renamed = join(cache, 'given', 'renamed');
  cpSync(cublas!, renamed);
  rmSync(cublas!);
  await assert.rejects(install(fake, { from: [torch!] }), (error: Error) => {
    assert.match(error.message, /these files of 9\.9\.0-cu130 are missing:\n {2}nvidia_cublas\S+ \(/);
    assert.ok(error.message.includes(fake.release.files[1]!.url));
    assert.ok(!error.message.includes('torch-9.9.0-cp311'));
    return true;
  });
  writeFileSync(join(cache, 'given', 'other.whl'), 'other');
  const damaged = Buffer.from(fake.wheels.get(fake.release.files[1]!.name)!);
  damaged[100]! ^= 1;
  writeFileSync(cublas!, damaged);
  await assert.rejects(install(fake, { from: [torch!, cublas!] }), /missing:\n {2}nvidia_cublas/);
  assert.match(said.at(-1)!, /nvidia_cublas.*is not the published file of this name/);
  const folder = await install(fake, { from: [torch!, renamed, join(cache, 'given', 'other.whl')] });
  assert.ok(existsSync(join(folder, 'lib', 'libtorch_cuda.so')));
  assert.match(said.at(-1)!, /other\.whl' is none of the files of 9\.9\.0-cu130/);
  assert.ok(existsSync(renamed), 'a given file was removed');
  await assert.rejects(
    install(fake, { from: [join(cache, 'none.whl')], force: true }),
    /none\.whl' is no file/,
  );
});

test('a mirror replaces the servers: another server, or a folder', async () => {
  const fake = cudaRelease('https://nowhere.invalid');
  await using wheels = await server(fake);
  process.env['SPIKENODE_MIRROR'] = `${wheels.url}`;
  await install(fake);
  assert.equal(wheels.requests.length, 2);
  const folder = join(cache, 'a mirror');
  const [first] = save(fake, folder);
  process.env['SPIKENODE_MIRROR'] = pathToFileURL(folder).href;
  await install(fake, { force: true });
  assert.ok(existsSync(first!));
  writeFileSync(first!, 'other');
  await assert.rejects(
    install(fake, { force: true }),
    /SPIKENODE_MIRROR: '.*torch-9.* has not the SHA-256 [0-9a-f]{64}/,
  );
  rmSync(first!);
  await assert.rejects(install(fake, { force: true }), /the folder '.*a mirror' has no 'torch-9\.9\.0/);
  for (const wrong of ['/folder', 'ftp://host/x', 'host.name']) {
    process.env['SPIKENODE_MIRROR'] = wrong;
    await assert.rejects(
      install(fake, { force: true }),
      /SPIKENODE_MIRROR: expected an address like .*, got '/,
    );
  }
  assert.ok((await listInstalled())[0]!.whole, 'a failure damaged the installed copy');
});

test('what an installation is, a copy of an earlier set-up without version.json is too', async () => {
  const fake = cpuRelease('https://nowhere.invalid');
  const folder = join(cache, 'libtorch', '9.8.7-cpu-linux-x64');
  for (const name of ['lib/libtorch_cpu.so', 'include/ATen/ATen.h']) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), '');
  }
  assert.equal(await install(fake, { headers: true }), folder);
  assert.equal(await install(fake), folder);
  rmSync(join(folder, 'include'), { recursive: true });
  assert.equal((await listInstalled())[0]!.whole, false);
  await assert.rejects(install(fake), /nowhere\.invalid' cannot be reached/);
});

test('wheels that lack the main library leave nothing behind', async () => {
  const whole = cudaRelease('');
  const fake = { ...whole, release: { ...whole.release, files: whole.release.files.slice(1) } };
  const from = save(whole, join(cache, 'given'));
  await assert.rejects(install(fake, { from }), /the wheels of libtorch 9\.9\.0 \(CUDA 13\.0\) lack files/);
  assert.deepEqual(readdirSync(join(cache, 'libtorch')), []);
});

test('a folder that cannot be written is a sentence that names SPIKENODE_CACHE', async () => {
  await using wheels = await server(cpuRelease(''));
  const fake = cpuRelease(wheels.url);
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, 'file'), '');
  for (const place of [join(cache, 'file', 'below'), join(cache, 'file'), '/proc/nowhere/below']) {
    process.env['SPIKENODE_CACHE'] = place;
    await assert.rejects(install(fake), (error: NodeJS.ErrnoException) => {
      assert.equal(error.code, 'ERR_SPIKENODE_SETUP', error.stack);
      assert.match(error.message, /^'.*' cannot be written: .*\. Set SPIKENODE_CACHE to a folder /);
      return true;
    });
  }
  assert.equal(wheels.requests.length, 0);
});

test('a cache behind a symbolic link works', async () => {
  await using wheels = await server(cpuRelease(''));
  mkdirSync(join(cache, 'real'), { recursive: true });
  symlinkSync(join(cache, 'real'), join(cache, 'link'));
  process.env['SPIKENODE_CACHE'] = join(cache, 'link');
  await install(cpuRelease(wheels.url));
  assert.deepEqual(files(join(cache, 'real', 'libtorch', '9.8.7-cpu-linux-x64')), cpuFiles);
});

test('a full disk is a sentence, before the download or in it, and leaves nothing half-made', async (context) => {
  mkdirSync(cache, { recursive: true });
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', cache]);
  if (mount.status !== 0) return context.skip('needs the right to mount a tmpfs');
  context.after(() => spawnSync('umount', [cache]));
  const bytes = 300_000;
  await using wheels = await server(cpuRelease('', bytes));
  const fake = cpuRelease(wheels.url, bytes);
  await assert.rejects(install(fake), (error: Error) => {
    assert.match(
      error.message,
      /^libtorch 9\.8\.7 \(CPU\) needs .* kB on the disk of '.*', which has .* kB left\. /,
    );
    return true;
  });
  assert.equal(wheels.requests.length, 0);
  // A table that promises too little, so that the disk fills up on the way: when unpacking, then in a download.
  const [file] = fake.release.files;
  const promises = { ...fake.release, files: [{ ...file!, libraries: 0, headers: 0 }] };
  const from = save(fake, join(base, 'wheels'));
  const full = /cannot be written: the disk is full \(ENOSPC\)/;
  await assert.rejects(install({ ...fake, release: promises }, { from }), full);
  assert.deepEqual(readdirSync(join(cache, 'libtorch')), []);
  const dispatcher = connections(limits);
  const nothing = (): void => {};
  const options = { dispatcher, limits, onProgress: nothing, onRetry: nothing };
  await assert.rejects(download(file!, file!.url, cache, options), { code: 'ENOSPC' });
  await dispatcher.destroy();
  assert.equal(wheels.requests.length, 1);
});

function start({ release }: FakeRelease, end?: string): ChildProcess & { text: () => string } {
  const args = [child, JSON.stringify(release), ...(end === undefined ? [] : [end])];
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  started.stdout!.setEncoding('utf8').on('data', (more) => {
    text += more;
  });
  return Object.assign(started, { text: () => text });
}

test('of two processes one works and the other waits for it', async () => {
  const fake = cpuRelease('');
  const wheel = [...fake.wheels.values()][0]!;
  let go: (() => void) | undefined;
  // Nothing is answered until the second process said that it waits.
  await using wheels = await serve((request, response) => {
    go = () => sendFile(request, response, wheel);
  });
  const mine = cpuRelease(wheels.url);
  const first = start(mine);
  while (go === undefined) await new Promise((done) => setImmediate(done));
  const second = start(mine);
  while (!second.text().includes('waiting')) await once(second.stdout!, 'data');
  assert.match(
    second.text(),
    new RegExp(`^process ${first.pid} installs or removes 9\\.8\\.7-cpu; waiting for it\n`),
  );
  go();
  const codes = await Promise.all([once(first, 'close'), once(second, 'close')]);
  assert.deepEqual(
    codes.map(([code]) => code),
    [0, 0],
  );
  assert.equal(wheels.requests.length, 1);
  for (const one of [first, second]) assert.match(one.text(), /done .*9\.8\.7-cpu-linux-x64\n$/);
  assert.deepEqual(readdirSync(join(cache, 'libtorch')), ['9.8.7-cpu-linux-x64']);
});

test('after a kill in the middle nothing half-made is seen, and the next call goes on', async () => {
  const fake = cpuRelease('', 200_000);
  const wheel = [...fake.wheels.values()][0]!;
  await using wheels = await serve((request, response: ServerResponse, number) => {
    if (number === 0) sendBeginning(response, wheel, 100_000);
    else sendFile(request, response, wheel);
  });
  const mine = cpuRelease(wheels.url, 200_000);
  for (const end of ['torch-', 'unpacking']) {
    const killed = start(mine, end);
    assert.deepEqual((await once(killed, 'close')).slice(0, 2), [null, 'SIGKILL']);
    assert.deepEqual(await listInstalled(), []);
    const left = readdirSync(join(cache, 'libtorch'));
    assert.ok(left.includes('9.8.7-cpu-linux-x64.lock'), `${left}`);
    if (end === 'unpacking') assert.ok(left.some((name) => name.startsWith('.9.8.7-cpu-linux-x64.partial-')));
  }
  assert.match(wheels.requests[1]!.headers.range!, /^bytes=[1-9]\d*-$/);
  const folder = await install(mine);
  assert.deepEqual(said.slice(1), []);
  assert.deepEqual(files(folder), cpuFiles);
  assert.deepEqual(readdirSync(join(cache, 'libtorch')), ['9.8.7-cpu-linux-x64']);
  assert.equal(wheels.requests.length, 2);
});

test('copies are removed by their names', async () => {
  const said: string[] = [];
  const say = (text: string): unknown => said.push(text);
  await assert.rejects(
    removeLibtorch(['1.0.0-cpu'], say),
    /'1\.0\.0-cpu' is not installed in '.*'; nothing is installed/,
  );
  await using wheels = await server(cpuRelease(''), cudaRelease(''));
  await install(cpuRelease(wheels.url));
  await install(cudaRelease(wheels.url));
  for (const wrong of ['../libtorch', '9.8.7', ''])
    await assert.rejects(removeLibtorch([wrong], say), /; installed: 9\.8\.7-cpu, 9\.9\.0-cu130$/);
  await removeLibtorch(['9.8.7-cpu'], say);
  assert.deepEqual(readdirSync(join(cache, 'libtorch')), ['9.9.0-cu130-linux-x64']);
  writeFileSync(join(cache, 'downloads', 'x.part'), '');
  await removeLibtorch(null, say);
  assert.deepEqual(files(cache), []);
  assert.deepEqual(said, ['removed 9.8.7-cpu', 'removed 9.9.0-cu130']);
});

test('a lock is taken over from a dead owner, not from one of another machine that gives signs of life', async () => {
  mkdirSync(cache);
  const lock = join(cache, 'a.lock');
  const owned = (owner: object): void => {
    mkdirSync(lock);
    writeFileSync(join(lock, 'owner'), JSON.stringify(owner));
  };
  const dead = spawnSync('true').pid;
  const { hostname } = await import('node:os');
  const enter = (signal?: AbortSignal): Promise<string> =>
    withLock(
      lock,
      (owner) => said.push(owner),
      async () => 'inside',
      signal,
    );
  said.length = 0;
  for (const owner of [
    { pid: dead, host: hostname(), started: null },
    // The number of a process that lives, but began at another time.
    { pid: process.pid, host: hostname(), started: '1' },
  ]) {
    owned(owner);
    assert.equal(await enter(), 'inside');
  }
  mkdirSync(lock);
  assert.equal(await enter(), 'inside');
  assert.deepEqual(said, []);
  owned({ pid: dead, host: 'another-host', started: null });
  const controller = new AbortController();
  const waiting = enter(controller.signal);
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  assert.deepEqual(said, [`process ${dead} on another-host`]);
  const { utimesSync } = await import('node:fs');
  utimesSync(join(lock, 'owner'), 0, 0);
  assert.equal(await enter(), 'inside');
  assert.deepEqual(readdirSync(cache), []);
});

test('the table of releases is well-formed', () => {
  assert.deepEqual(new Set(releases.map(({ cuda }) => cuda === null)), new Set([true, false]));
  for (const { id, torch, cuda, files: wheels } of releases) {
    assert.equal(id, `${torch}-${cuda === null ? 'cpu' : `cu${cuda.replace('.', '')}`}`);
    assert.ok(wheels.some(({ name }) => name.startsWith(`torch-${torch}`)));
    assert.equal(new Set(wheels.map(({ name }) => name)).size, wheels.length);
    for (const { name, sha256, url, size, libraries } of wheels) {
      assert.match(sha256, /^[0-9a-f]{64}$/);
      assert.ok(url.startsWith('https://') && decodeURIComponent(url).endsWith(`/${name}`), url);
      assert.ok(size > 0 && libraries > 0, name);
    }
  }
});
