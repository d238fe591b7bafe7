import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { choose } from '../../lib/native/choose.js';
import { elfProblem } from '../../lib/native/elf.js';
import { hasNvidiaDriver, packageRoot } from '../../lib/native/platform.js';
import { defaultThreadCount } from '../../lib/native/threads.js';

const library = new URL('../../lib/tensor/index.js', import.meta.url).href;
const binaries = join(packageRoot(), 'build', 'Release');
const libtorch = choose().choice?.libtorch.folder ?? '';
const scratch = mkdtempSync(join(tmpdir(), 'spikenode-loader-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const sum = 'console.log(t.ones([2]).sum().item())';

/** Runs `body` with the tensor library as `t` in a process of its own. `probes` counts what it started as trials. */
function run(
  body: string,
  env: Record<string, string> = {},
  spawned = 'real(...args)',
): { stdout: string; stderr: string; probes: number } {
  const script = `
    import process from 'node:process';
    import children from 'node:child_process';
    import { syncBuiltinESMExports } from 'node:module';
    const real = children.spawnSync;
    let probes = 0;
    children.spawnSync = (...args) => { probes++; return ${spawned}; };
    syncBuiltinESMExports();
    const t = await import('${library}');
    try { ${body} } catch (e) { console.log(e.name, e.code); console.log(e.message); }
    console.error('probes ' + probes);`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, SPIKENODE_CACHE: join(scratch, 'cache'), ...env },
  });
  assert.equal(result.status, 0, `${result.signal} ${result.stderr}`);
  return { ...result, probes: Number(/probes (\d+)/.exec(result.stderr)?.[1]) };
}

function verdicts(cache: string): string[] {
  return readdirSync(join(cache, 'probes'));
}

/** A copy of our binaries. */
function copyBinaries(name: string): string {
  const copy = join(scratch, name);
  mkdirSync(copy);
  for (const file of ['libspikenode.so', 'loader.node', 'spikenode.node', 'build.json'])
    copyFileSync(join(binaries, file), join(copy, file));
  return copy;
}

/** Fills the executable segment of a library, so that its first instruction is one of `bytes`. */
function overwriteCode(file: string, bytes: readonly number[]): void {
  const content = readFileSync(file);
  const [programs, count] = [Number(content.readBigUInt64LE(32)), content.readUInt16LE(56)];
  for (let i = 0; i < count; i++) {
    const at = programs + 56 * i;
    const isCode = content.readUInt32LE(at) === 1 && (content.readUInt32LE(at + 4) & 1) !== 0;
    if (!isCode) continue;
    const begin = Number(content.readBigUInt64LE(at + 8));
    content.fill(Buffer.from(bytes), begin, begin + Number(content.readBigUInt64LE(at + 32)));
  }
  writeFileSync(file, content);
}

test('a folder without libtorch is a NativeLoadError that names it and the cure', () => {
  const { stdout, probes } = run('t.ones([1])', { SPIKENODE_LIBTORCH: scratch });
  assert.match(stdout, /^NativeLoadError ERR_SPIKENODE_NATIVE_LOAD\n/);
  assert.ok(stdout.includes(`'${scratch}/lib/libtorch_cpu.so' does not exist`), stdout);
  assert.match(stdout, /Set SPIKENODE_LIBTORCH to a folder .*spikenode doctor/);
  assert.equal(probes, 0);
});

test('missing binaries are a NativeLoadError', () => {
  const { stdout } = run('t.ones([1])', { SPIKENODE_BINARIES: join(scratch, 'none') });
  assert.match(stdout, /NativeLoadError[\s\S]*none\/loader\.node' does not exist[\s\S]*SPIKENODE_BINARIES/);
});

test('a file shorter than its headers say is seen before it is opened', () => {
  const original = join(binaries, 'libspikenode.so');
  assert.equal(elfProblem(original), null);
  assert.equal(elfProblem(join(libtorch, 'lib', 'libtorch_cpu.so')), null);
  const { size } = statSync(original);
  const copy = join(scratch, 'cut.so');
  for (const length of [size - 1, Math.floor(size / 2), 5000, 100, 10, 0]) {
    copyFileSync(original, copy);
    truncateSync(copy, length);
    assert.match(elfProblem(copy) ?? 'null', length < 64 ? /no shared library/ : /is truncated/);
  }
  writeFileSync(copy, 'x'.repeat(1000));
  assert.match(elfProblem(copy) ?? 'null', /no shared library of 64 bits/);
  const other = readFileSync(original);
  other.writeUInt16LE(183, 18);
  writeFileSync(copy, other);
  assert.match(elfProblem(copy) ?? 'null', /another processor/);
  assert.match(elfProblem(join(scratch, 'none')) ?? 'null', /cannot be read: ENOENT/);
  assert.match(elfProblem(scratch) ?? 'null', /no shared library|cannot be read/);
});

test('a truncated libtorch is a NativeLoadError, not a crash', () => {
  const folder = join(scratch, 'truncated');
  const lib = join(folder, 'lib');
  mkdirSync(lib, { recursive: true });
  for (const name of ['libc10.so', 'libgomp.so.1']) symlinkSync(join(libtorch, 'lib', name), join(lib, name));
  // Its headers and a hole in place of the rest: the real one is large.
  const head = Buffer.alloc(65536);
  const whole = join(libtorch, 'lib', 'libtorch_cpu.so');
  readSync(openSync(whole, 'r'), head);
  const cut = join(lib, 'libtorch_cpu.so');
  writeFileSync(cut, head);
  truncateSync(cut, statSync(whole).size - 4096);
  const { stdout, probes } = run('t.ones([1])', { SPIKENODE_LIBTORCH: folder });
  assert.match(
    stdout,
    /^NativeLoadError.*\n.*libtorch_cpu\.so' \(SPIKENODE_LIBTORCH\) is truncated: it has \d+ bytes/,
  );
  assert.equal(probes, 0);
});

test('libtorch works from a folder with spaces; the trial is made once, again when the verdict is damaged', () => {
  const moved = join(scratch, 'moved here');
  mkdirSync(join(moved, 'lib'), { recursive: true });
  for (const name of ['libtorch_cpu.so', 'libc10.so', 'libgomp.so.1'])
    symlinkSync(join(libtorch, 'lib', name), join(moved, 'lib', name));
  writeFileSync(join(moved, 'version.json'), '{ "torch": "2.13.0", "cuda": null }');
  const real = join(scratch, 'real cache');
  mkdirSync(real);
  const cache = join(scratch, 'link to cache');
  symlinkSync(real, cache);
  // What this process preloads is not for the trial: there it would end it.
  const preload = join(scratch, 'preload.cjs');
  writeFileSync(preload, "if (process.argv[1]?.endsWith('probe-child.js')) process.exit(9);");
  const env = {
    SPIKENODE_LIBTORCH: moved,
    SPIKENODE_CACHE: cache,
    LD_LIBRARY_PATH: '',
    NODE_OPTIONS: `--require=${preload}`,
  };
  const first = run(sum, env);
  assert.deepEqual([first.stdout, first.probes], ['2\n', 1], first.stderr);
  assert.equal(verdicts(cache).length, 1);
  assert.deepEqual([run(sum, env).probes], [0]);
  const [name = ''] = verdicts(cache);
  writeFileSync(join(cache, 'probes', name), 'damaged');
  const again = run(sum, env);
  assert.deepEqual([again.stdout, again.probes], ['2\n', 1]);
  assert.deepEqual(verdicts(cache), [name]);
  assert.match(readFileSync(join(cache, 'probes', name), 'utf8'), /libtorch_cpu\.so/);
});

test('a crash in the trial is a NativeLoadError with the signal, and is not remembered', () => {
  for (const [signal, bytes] of [
    ['SIGSEGV', [0]],
    ['SIGILL', [0x0f, 0x0b]],
  ] as const) {
    const copy = copyBinaries(`crash ${signal}`);
    overwriteCode(join(copy, 'spikenode.node'), bytes);
    const cache = join(scratch, `cache of ${signal}`);
    const { stdout, probes } = run('t.ones([1])', { SPIKENODE_BINARIES: copy, SPIKENODE_CACHE: cache });
    assert.match(stdout, new RegExp(`^NativeLoadError.*\\n.*for a trial ended with ${signal}: `));
    assert.ok(stdout.includes(copy) && stdout.includes('SPIKENODE_BINARIES'), stdout);
    assert.equal(probes, 1);
    assert.throws(() => verdicts(cache), /ENOENT/);
  }
});

test('where Node.js may load no addons, the cure is its flag', () => {
  const script = `import('${library}').then((t) => t.ones([1])).catch((e) => console.log(e.name + ': ' + e.message))`;
  const { stdout } = spawnSync(process.execPath, ['--no-addons', '-e', script], { encoding: 'utf8' });
  assert.match(
    stdout,
    /^NativeLoadError: .*loader\.node' .*could not be loaded: .*[^.]\. .*'--allow-addons'/,
  );
});

test("the dynamic linker's refusal in the trial is told as such", () => {
  const copy = copyBinaries('refused');
  const file = join(copy, 'libspikenode.so');
  const content = readFileSync(file);
  // The name of a library that it needs.
  content.write('libtorch_xxx.so', content.indexOf('libtorch_cpu.so'), 'latin1');
  writeFileSync(file, content);
  const { stdout } = run('t.ones([1])', { SPIKENODE_BINARIES: copy });
  assert.match(stdout, /^NativeLoadError.*\n.*could not be opened: libtorch_xxx\.so: cannot open/);
});

test('a cache that cannot be written costs a trial each time; where none can be started, loading goes on', () => {
  const file = join(scratch, 'a file');
  writeFileSync(file, '');
  for (let i = 0; i < 2; i++) {
    const { stdout, probes } = run(sum, { SPIKENODE_CACHE: join(file, 'cache') });
    assert.deepEqual([stdout, probes], ['2\n', 1]);
  }
  const forbidden =
    "{ error: Object.assign(new Error('no'), { code: 'EPERM' }), status: null, signal: null }";
  const { stdout, probes } = run(sum, { SPIKENODE_CACHE: join(file, 'cache') }, forbidden);
  assert.deepEqual([stdout, probes], ['2\n', 1]);
  assert.equal(
    run(sum, { SPIKENODE_CACHE: join(file, 'cache') }, "(() => { throw new Error('no') })()").stdout,
    '2\n',
  );
  const off = run(sum, { SPIKENODE_CACHE: join(file, 'cache'), SPIKENODE_PROBE: 'off' });
  assert.deepEqual([off.stdout, off.probes], ['2\n', 0]);
});

test('optional packages are found where npm puts them, and named where they lack files', () => {
  const modules = join(scratch, 'node_modules');
  const native = join(modules, '@spikenode', 'linux-x64');
  const torch = join(modules, '@spikenode', 'libtorch-linux-x64');
  for (const folder of [join(native, 'torch-2.14'), join(native, 'torch-2.13'), torch])
    mkdirSync(folder, { recursive: true });
  for (const folder of [native, torch]) writeFileSync(join(folder, 'package.json'), '{}');
  const places = `
    const { surveyBinaries } = await import('${new URL('../../lib/native/binaries.js', import.meta.url).href}');
    const { libtorchPlaces } = await import('${new URL('../../lib/native/libtorch.js', import.meta.url).href}');
    const ours = ({ origin }) => origin.startsWith('the package');
    console.log(surveyBinaries().unusable.filter(ours).map(({ reason }) => reason).join('\\n'));
    console.log(libtorchPlaces().filter(ours).map(({ folder }) => folder).join());`;
  const { stdout } = run(places, { NODE_PATH: modules });
  const missing = ['torch-2.14', 'torch-2.13'].map(
    (name) => `'${join(native, name, 'loader.node')}' does not exist`,
  );
  assert.equal(stdout, `${[...missing, torch].join('\n')}\n`);
});

test('a worker may come first: it makes the trial, the main thread none', () => {
  const body = `
    const { Worker } = await import('node:worker_threads');
    const work = "import('${library}').then((t) => console.log(t.ones([3]).sum().item()))";
    await new Promise((done) => new Worker(work, { eval: true }).once('exit', done));
    ${sum}`;
  const cache = join(scratch, 'cache of a worker');
  const { stdout, probes } = run(body, { SPIKENODE_CACHE: cache });
  assert.deepEqual(stdout.split('\n').sort(), ['', '2', '3']);
  assert.equal(probes, 0);
  assert.equal(verdicts(cache).length, 1);
});

test('a second copy of our operators in one process is refused with both paths', () => {
  const copy = copyBinaries('copy');
  const second = `
    t.ones([1]);
    process.env.SPIKENODE_BINARIES = ${JSON.stringify(copy)};
    const again = await import('${new URL('../../lib/native/loader.js', import.meta.url).href}?second');
    again.nativeAddon();`;
  const { stdout } = run(second);
  assert.match(stdout, /^NativeLoadError/);
  assert.ok(stdout.includes(copy) && stdout.includes(binaries), stdout);
});

test('importing the package does not load libtorch', () => {
  const { stdout } = run(
    `const { readFileSync } = await import('node:fs'); console.log(readFileSync('/proc/self/maps', 'utf8').includes('libtorch_cpu'));`,
  );
  assert.equal(stdout, 'false\n');
});

test('a GPU that cannot be used is a TorchError with the reason and what to do', {
  skip: hasNvidiaDriver() && 'there is a driver',
}, () => {
  const { stdout } = run("t.ones([2], { device: 'cuda' })");
  assert.match(
    stdout,
    /^TorchError ERR_SPIKENODE_TORCH\nones: .*\. No NVIDIA driver is on this machine: .*\n$/,
  );
});

test('the thread count follows SPIKENODE_NUM_THREADS', () => {
  assert.equal(run('console.log(t.getNumThreads())', { SPIKENODE_NUM_THREADS: '1' }).stdout, '1\n');
  assert.match(run('t.ones([1])', { SPIKENODE_NUM_THREADS: 'many' }).stdout, /SPIKENODE_NUM_THREADS/);
  assert.ok(defaultThreadCount() >= 1);
});
