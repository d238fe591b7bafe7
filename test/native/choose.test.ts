import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { type Binaries, inspectBinaries, surveyBinaries } from '../../lib/native/binaries.js';
import { type Chosen, choose, cudaMismatch, type DeviceRequest, pair } from '../../lib/native/choose.js';
import { cudaAdvice, cudaSentence } from '../../lib/native/cuda.js';
import { nothingFits, probeFailure, reinstall, type Surroundings } from '../../lib/native/explain.js';
import { inspectLibtorch, type Libtorch, libtorchPlaces, minorOf } from '../../lib/native/libtorch.js';
import { packageRoot } from '../../lib/native/platform.js';

const scratch = mkdtempSync(join(tmpdir(), 'spikenode-choose-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const saved = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
  Object.assign(process.env, saved);
});

/** Files with these contents below `folder`; the folder. */
function files(folder: string, contents: Record<string, string>): string {
  for (const [name, text] of Object.entries(contents)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function binaries(torch: string, rest: Partial<Binaries> = {}): Binaries {
  const folder = `/binaries/${torch}`;
  return { folder, origin: 'SPIKENODE_BINARIES', torch, cuda: null, glibc: null, libtorch: null, ...rest };
}

function libtorch(version: string | null, cuda: string | null = null): Libtorch {
  return { folder: `/torch/${version}${cuda ?? ''}`, origin: 'SPIKENODE_LIBTORCH', version, cuda };
}

const cuda13 = { version: '13.0', architectures: ['80', '90'] };

test('the version of a libtorch is read from our file, Python, the archive or the headers', () => {
  const library = { 'lib/libtorch_cpu.so': '' };
  const headers = '#define TORCH_VERSION \\\n  "2.12.1"\n';
  const cases: readonly [Record<string, string>, string | null, string | null][] = [
    [{ 'version.json': '{ "torch": "2.13.0", "cuda": null }' }, '2.13.0', null],
    [{ 'version.py': "__version__ = '2.14.1+cu130'\n", 'lib/libtorch_cuda.so': '' }, '2.14.1', '13.0'],
    [{ 'build-version': '2.11.0+cu128\n', 'lib/libtorch_cuda.so': '' }, '2.11.0', '12.8'],
    [{ 'include/torch/headeronly/version.h': headers, 'lib/libtorch_cuda.so': '' }, '2.12.1', 'unknown'],
    [{ 'version.json': 'damaged', 'build-version': '2.13.0+cpu' }, '2.13.0', null],
    [{}, null, null],
  ];
  for (const [i, [contents, version, cuda]] of cases.entries()) {
    const found = inspectLibtorch(files(join(scratch, `torch-${i}`), { ...library, ...contents }), 'here');
    assert.deepEqual([found.version, found.cuda], [version, cuda]);
  }
  assert.throws(
    () => inspectLibtorch(join(scratch, 'none'), 'here'),
    /lib\/libtorch_cpu\.so' does not exist/,
  );
  assert.equal(minorOf('2.14.1+cu130'), '2.14');
});

test('the order of libtorch: given, built against, CUDA where it can be used, cache newest first, Python, CUDA last', () => {
  const cache = files(join(scratch, 'cache'), {
    'libtorch/2.9.1-cpu-linux-x64/lib/libtorch_cpu.so': '',
    'libtorch/2.13.0-cpu-linux-x64/lib/libtorch_cpu.so': '',
    'libtorch/2.14.1-cu130-linux-x64/torch/lib/libtorch_cpu.so': '',
    'libtorch/2.14.1-cpu-linux-x64.partial-1/lib/libtorch_cpu.so': '',
  });
  const python = files(join(scratch, 'venv'), {
    'lib/python3.11/site-packages/torch/lib/libtorch_cpu.so': '',
  });
  Object.assign(process.env, { SPIKENODE_CACHE: cache, VIRTUAL_ENV: python, SPIKENODE_DEVICE: '' });
  delete process.env['SPIKENODE_LIBTORCH'];
  const own = binaries('2.12.0', { libtorch: '/built/against' });
  const order = (hasDriver: boolean): string[] =>
    libtorchPlaces([own], hasDriver)
      .map(({ folder }) => folder)
      .filter((folder) => folder.startsWith(scratch) || folder === '/built/against')
      .map((folder) => folder.replace(`${cache}/libtorch/`, '').replace(python, 'python'));
  const cuda = '2.14.1-cu130-linux-x64/torch';
  const rest = ['2.13.0-cpu-linux-x64', '2.9.1-cpu-linux-x64', 'python/lib/python3.11/site-packages/torch'];
  assert.deepEqual(order(true), ['/built/against', cuda, ...rest]);
  assert.deepEqual(order(false), ['/built/against', ...rest, cuda]);
  process.env['SPIKENODE_DEVICE'] = 'cpu';
  assert.deepEqual(order(true), ['/built/against', ...rest, cuda]);
  const checkout = readFileSync(join(packageRoot(), 'build', '.built'), 'utf8').trim();
  assert.equal(libtorchPlaces([own], false)[0]?.folder, checkout);
  process.env['SPIKENODE_LIBTORCH'] = '/only this';
  assert.deepEqual(libtorchPlaces([own], true), [{ folder: '/only this', origin: 'SPIKENODE_LIBTORCH' }]);
});

test('the order of binaries: given, the checkout, what was built; damaged ones are named and left out', () => {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  const set = (torch: string): Record<string, string> => ({
    'loader.node': '',
    'libspikenode.so': '',
    'spikenode.node': '',
    'build.json': JSON.stringify({ torch, cuda: cuda13, glibc: '2.34' }),
  });
  const cache = join(scratch, 'built');
  for (const [name, torch] of [
    ['torch-2.9-cpu', '2.9.0'],
    ['torch-2.14-cu130', '2.14.1'],
  ] as const)
    files(join(cache, 'binaries', version, name), set(torch));
  files(join(cache, 'binaries', version, 'torch-2.11-cpu'), { ...set('2.11.0'), 'build.json': '{' });
  Object.assign(process.env, { SPIKENODE_CACHE: cache });
  delete process.env['SPIKENODE_BINARIES'];
  const { binaries: found, unusable } = surveyBinaries();
  assert.equal(found[0]?.folder, join(packageRoot(), 'build', 'Release'));
  assert.deepEqual(
    found.filter(({ origin }) => origin === "'spikenode build'").map(({ torch }) => torch),
    ['2.14.1', '2.9.0'],
  );
  assert.deepEqual([found.at(-1)?.glibc, found.at(-1)?.cuda], ['2.34', cuda13]);
  assert.match(unusable.map(({ reason }) => reason).join(), /torch-2\.11-cpu\/build\.json' cannot be read/);
  process.env['SPIKENODE_BINARIES'] = join(cache, 'none');
  assert.deepEqual(surveyBinaries().binaries, []);
  assert.match(surveyBinaries().unusable[0]?.reason ?? '', /none\/loader\.node' does not exist/);
  const incomplete = files(join(scratch, 'incomplete'), { ...set('2.13.0'), 'build.json': '{}' });
  assert.throws(() => inspectBinaries(incomplete, 'here'), /does not say for which torch/);
});

test('a libtorch is paired with binaries of its minor, of any patch; CUDA only where both have the same major', () => {
  const of = (
    found: readonly Libtorch[],
    all: readonly Binaries[],
    device: DeviceRequest = '',
    glibc: string | null = '2.36',
  ): string => {
    const { choice, rejected } = pair(found, all, device, glibc);
    if (choice === null) return rejected.map(({ reason }) => reason).join('\n');
    return `${choice.libtorch.version} ${choice.binaries.torch} ${choice.withCuda}`;
  };
  const all = [binaries('2.13.0'), binaries('2.14.1'), binaries('2.14.1', { cuda: cuda13 })];
  assert.equal(of([libtorch('2.13.2')], all), '2.13.2 2.13.0 false');
  assert.equal(of([libtorch(null)], all), 'null 2.13.0 false');
  assert.equal(of([libtorch('2.12.0'), libtorch('2.14.0')], all), '2.14.0 2.14.1 false');
  assert.equal(of([libtorch('2.14.0', '13.0')], all), '2.14.0 2.14.1 true');
  assert.equal(of([libtorch('2.14.0', 'unknown')], all), '2.14.0 2.14.1 true');
  assert.equal(of([libtorch('2.14.0', '13.0')], all, 'cpu'), '2.14.0 2.14.1 false');
  assert.equal(of([libtorch('2.14.0', '12.8')], all), '2.14.0 2.14.1 false');
  assert.equal(of([libtorch('2.13.0'), libtorch('2.14.0', '13.2')], all, 'cuda'), '2.14.0 2.14.1 true');
  assert.match(of([libtorch('2.12.0')], all), /^it is torch 2\.12\.0; .* are for 2\.13, 2\.14$/);
  assert.match(
    of([libtorch('2.13.0')], all, 'cuda'),
    /SPIKENODE_DEVICE=cuda needs CUDA: .* a build for the CPU/,
  );
  assert.match(of([libtorch('2.13.0', '13.0')], all, 'cuda'), /have no libspikenode_cuda\.so/);
  const newer = [binaries('2.13.0', { glibc: '2.34' })];
  assert.match(of([libtorch('2.13.0')], newer, '', '2.28'), /need glibc 2\.34, this system has 2\.28/);
  assert.equal(of([libtorch('2.13.0')], newer, '', '2.34'), '2.13.0 2.13.0 false');
});

test('a wrong SPIKENODE_DEVICE is refused; what is chosen here fits', () => {
  process.env['SPIKENODE_DEVICE'] = 'gpu';
  assert.throws(() => choose(), /SPIKENODE_DEVICE must be 'cpu', 'cuda' or empty, got 'gpu'/);
  process.env['SPIKENODE_DEVICE'] = 'cpu';
  const { choice } = choose();
  assert.ok(choice !== null && existsSync(join(choice.libtorch.folder, 'lib', 'libtorch_cpu.so')));
  assert.equal(minorOf(choice.libtorch.version ?? ''), minorOf(choice.binaries.torch));
});

test('where nothing fits, the error names what was tried, the cause and one command', () => {
  const around: Surroundings = {
    env: {},
    isClone: false,
    target: 'linux-x64',
    hasBinariesPackage: true,
    hasLibtorchPackage: true,
  };
  const unusable = [{ folder: '/b', origin: 'the package @spikenode/linux-x64', reason: 'no build.json' }];
  const none: Chosen = { choice: null, rejected: [], unusable: [], binaries: [] };
  const some = { ...none, binaries: [binaries('2.13.0')] };
  const other = {
    ...some,
    rejected: [{ libtorch: libtorch('2.12.0'), reason: 'it is torch 2.12.0; the native files are for 2.13' }],
  };
  const old = {
    ...some,
    rejected: [{ libtorch: libtorch('2.13.0'), reason: 'they need glibc 2.34, here 2.28' }],
  };
  const gpu = {
    ...some,
    rejected: [{ libtorch: libtorch('2.13.0', '13.0'), reason: 'no libspikenode_cuda.so' }],
  };
  const cases: readonly [Chosen, Partial<Surroundings>, RegExp][] = [
    [none, { isClone: true }, /native files.*'npm run setup'/],
    [
      none,
      { hasBinariesPackage: false },
      /@spikenode\/linux-x64 is not installed: .*--omit=optional.*lockfile.*'npm install --include=optional spikenode'/,
    ],
    [
      { ...none, unusable: unusable },
      {},
      /Tried:\n {2}native files in '\/b' .*no build\.json\nCure: delete node_modules\/@spikenode\/linux-x64/,
    ],
    [none, {}, /'npx spikenode build'/],
    [none, { env: { SPIKENODE_BINARIES: '/b' } }, /Correct SPIKENODE_BINARIES/],
    [some, { isClone: true }, /torch 2\.13\).*'npm run setup'/],
    [
      some,
      { hasLibtorchPackage: false },
      /@spikenode\/libtorch-linux-x64 is not installed: .*'npx spikenode libtorch install'/,
    ],
    [some, {}, /'npx spikenode libtorch install'/],
    [other, {}, /it is torch 2\.12\.0[\s\S]*'npx spikenode build --libtorch \/torch\/2\.12\.0'/],
    [other, { env: { SPIKENODE_LIBTORCH: '/t' } }, /Set SPIKENODE_LIBTORCH to a folder .* of torch 2\.13/],
    [old, {}, /glibc[\s\S]*'npx spikenode build --libtorch/],
    [some, { env: { SPIKENODE_DEVICE: 'cuda' } }, /'npx spikenode libtorch install --cuda'/],
    [gpu, { env: { SPIKENODE_DEVICE: 'cuda' } }, /'npx spikenode build --cuda --libtorch/],
  ];
  const texts = cases.map(([chosen, facts, expected]) => {
    const text = nothingFits(chosen, { ...around, ...facts });
    assert.match(text, expected);
    assert.match(text, /'npx spikenode doctor' shows the whole state\.$/);
    return text;
  });
  assert.equal(new Set(texts).size, cases.length);
});

test('damaged files have the command that replaces them, by where they lie', () => {
  const of = (origin: string, cuda: string | null = null): string =>
    reinstall({ ...libtorch('2.13.0', cuda), origin });
  assert.match(
    of('the package @spikenode/libtorch-linux-x64'),
    /node_modules\/@spikenode\/libtorch-linux-x64/,
  );
  assert.match(of('the cache of spikenode'), /'npx spikenode libtorch install --force'/);
  assert.match(of('the cache of spikenode', '13.0'), /--force --cuda'/);
  assert.match(of('the active Python environment'), /pip install --force-reinstall torch/);
  assert.match(of('SPIKENODE_LIBTORCH'), /Correct SPIKENODE_LIBTORCH/);
  assert.match(of('a usual place'), /Replace that libtorch/);
  for (const origin of surveyBinaries().binaries.map((one) => one.origin))
    assert.match(of(origin), /'npm run build'|'npx spikenode build'/);
});

test('a trial that crashes, hangs or runs out of memory says which and what to do', () => {
  const text = (end: string | number, output = ''): string =>
    probeFailure(binaries('2.13.0'), libtorch('2.13.0'), end, output);
  assert.match(text('SIGILL'), /'\/torch\/2\.13\.0'.*ended with SIGILL: this processor lacks an instruction/);
  assert.match(
    text('SIGSEGV'),
    /SIGSEGV: one of the files is damaged.*Correct SPIKENODE_LIBTORCH.*SPIKENODE_BINARIES/,
  );
  assert.match(text('SIGKILL'), /memory is short/);
  assert.match(text('timeout'), /within a minute.*SPIKENODE_PROBE=off/);
  assert.match(
    text(134, 'a\nb\nc\nterminate called\n'),
    /exit code 134\. [\s\S]*\nIts last words: b\nc\nterminate called$/,
  );
});

test('why a GPU cannot be used: driver, libtorch, binaries, versions, environment', () => {
  const plain = { binaries: binaries('2.13.0'), libtorch: libtorch('2.13.0'), withCuda: false };
  const core = { ...plain, libtorch: libtorch('2.13.0', '13.0') };
  const full = {
    binaries: binaries('2.13.0', { cuda: cuda13 }),
    libtorch: libtorch('2.13.0', '13.0'),
    withCuda: true,
  };
  const old = { ...full, libtorch: libtorch('2.13.0', '12.8') };
  const why = (
    choice: typeof plain,
    hasDriver = true,
    devices: number | null = null,
    device: DeviceRequest = '',
  ): string => cudaSentence({ choice, hasDriver, devices, device }) ?? 'nothing';
  assert.match(why(plain), /a build for the CPU: 'npx spikenode libtorch install --cuda'/);
  assert.match(why(core), /have no libspikenode_cuda\.so: 'npx spikenode build --cuda --libtorch "\/torch/);
  assert.match(
    why(old),
    /is for CUDA 12\.8, libspikenode_cuda\.so in .* for CUDA 13\.0: 'npx spikenode build/,
  );
  assert.match(why(full, false), /^No NVIDIA driver is on this machine/);
  assert.match(why(core, false), /^No NVIDIA driver[\s\S]*libspikenode_cuda\.so/);
  assert.match(why(full, true, 0), /older than CUDA 13\.0 needs \(580 or newer\), or CUDA_VISIBLE_DEVICES/);
  assert.match(why(full, true, 1, 'cpu'), /SPIKENODE_DEVICE=cpu/);
  assert.equal(why(full, true, 1), 'nothing');
  assert.equal(cudaMismatch(full.binaries, full.libtorch), null);
  process.env['SPIKENODE_DEVICE'] = 'cpu';
  const never = (): number => assert.fail('counted');
  assert.equal(cudaAdvice('add: sizes do not match', never), null);
  assert.match(
    cudaAdvice('add: CUDA error: no kernel image is available', never) ?? '',
    /compute capability/,
  );
  assert.equal(
    cudaAdvice('add: CUDA error: an illegal memory access', () => 1),
    null,
  );
  assert.match(cudaAdvice('ones: not linked with CUDA', () => 0) ?? '', /SPIKENODE_DEVICE=cpu/);
});
