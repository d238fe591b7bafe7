import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { renderReport } from '../../lib/cli/doctor.js';
import { type Chosen, choose } from '../../lib/native/choose.js';
import { cudaSentence } from '../../lib/native/cuda.js';
import { nothingFits, probeFailure, reinstall } from '../../lib/native/explain.js';
import { packageRoot, platformSentence } from '../../lib/native/platform.js';
import { type DoctorFacts, type DoctorReport, reportOf } from '../../lib/setup/doctor.js';
import { cureIn } from '../../lib/setup/doctor-checks.js';
import { writingProblem } from '../../lib/setup/doctor-facts.js';
import { environmentFacts, VARIABLES, withoutSecrets } from '../../lib/setup/environment.js';
import { capabilityProblem, cudaRuntime, driverVersion, parseGpus } from '../../lib/setup/gpus.js';

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'spikenode doctor-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const gpu = { name: 'NVIDIA H100', computeCapability: '9.0', memoryBytes: 80 * 2 ** 30 };
const architectures = ['80', '90'];
const cpuBinaries = {
  folder: '/p/torch-2.13',
  origin: 'the package @spikenode/linux-x64',
  torch: '2.13.0',
  cuda: null,
  glibc: '2.28',
  used: true,
  problem: null,
};
const cpuLibtorch = {
  folder: '/l',
  origin: 'the package @spikenode/libtorch-linux-x64',
  version: '2.13.0',
  cuda: null,
  bytes: null,
  used: true,
  reason: null,
};
const cudaBinaries = { ...cpuBinaries, torch: '2.14.1', cuda: { version: '13.0', architectures } };
const cudaLibtorch = { ...cpuLibtorch, version: '2.14.1', cuda: '13.0' };

// A machine on which all is well, without a GPU.
const healthy: DoctorFacts = {
  spikenode: { version: '0.1.0', folder: '/app/node_modules/spikenode', isClone: false },
  node: { version: '22.12.0', program: '/usr/bin/node' },
  system: { platform: 'linux', arch: 'x64', name: 'Debian GNU/Linux 12', glibc: '2.36', problem: null },
  processor: { name: 'A processor', avx2: true, avx512: false },
  packages: ['@spikenode/linux-x64', '@spikenode/libtorch-linux-x64'].map((name) => ({
    name,
    version: '0.1.0',
  })),
  binaries: [cpuBinaries],
  libtorch: [cpuLibtorch],
  loading: {
    error: null,
    libraries: ['/l/lib/libtorch_cpu.so'],
    torch: '2.13.0',
    kernels: 'avx2',
    threads: 4,
    memoryLimit: 2 ** 33,
    gpus: 0,
    gpuError: null,
  },
  cuda: {
    driver: null,
    gpus: [],
    listingProblem: null,
    requested: null,
    problem: 'No NVIDIA driver is on this machine.',
  },
  threads: { machine: 8, processors: 8, quota: 4, requested: null, used: 4 },
  memory: { machine: 2 ** 34, quota: null, requested: null },
  cache: { folder: '/home/u/.cache/spikenode', realFolder: null, problem: null, free: 2 ** 36 },
  environment: [],
};
const onGpu: DoctorFacts = {
  ...healthy,
  binaries: [cudaBinaries],
  libtorch: [cudaLibtorch],
  loading: { ...healthy.loading, gpus: 1 },
  cuda: { driver: '580.82.07', gpus: [gpu], listingProblem: null, requested: null, problem: null },
};

function problems(report: DoctorReport): string[] {
  for (const { state, text, cure, topic } of report.checks) {
    assert.doesNotMatch(text, /\n|undefined|\bnull\b|NaN|\[object/, text);
    if (state === 'problem') assert.ok(cure !== null && cure !== '', `${topic}: ${text}`);
  }
  return report.checks
    .filter(({ state }) => state === 'problem')
    .map(({ topic, cure }) => `${topic}: ${cure}`);
}

test('a healthy machine has no problem, on the CPU and on a GPU', () => {
  for (const facts of [healthy, onGpu]) {
    const report = reportOf(facts);
    assert.deepEqual(problems(report), []);
    assert.equal(report.works, true);
  }
  const text = renderReport(reportOf(onGpu), false);
  assert.match(text, /H100, compute capability 9\.0, 80\.0 GiB, driver 580\.82\.07/);
  assert.match(
    text,
    /4 used: the machine has 8 processors, this process may run on 8, a quota of 4 processors/,
  );
  assert.match(text, /Computing works here\.\n$/);
  assert.equal(stripVTControlCharacters(text), text);
  const coloured = renderReport(reportOf(onGpu), true);
  assert.notEqual(coloured, text);
  assert.equal(stripVTControlCharacters(coloured), text);
});

test('systems on which computing does not work have the sentence of the loader and a command', () => {
  const cases = [
    ['win32', 'x64', null, '22.0.0', /Windows/, 'wsl --install'],
    ['darwin', 'arm64', null, '22.0.0', /macOS/, /docker run .*linux\/amd64/],
    ['darwin', 'x64', null, '22.0.0', /Intel/, /docker run/],
    ['linux', 'x64', null, '22.0.0', /musl/, /docker run/],
    ['linux', 'arm64', '2.36', '22.0.0', /arm64/, /docker run/],
    ['linux', 'x64', '2.17', '22.0.0', /2\.17/, /docker run/],
    ['linux', 'x64', '2.36', '18.0.0', /18\.0\.0/, 'nvm install --lts'],
  ] as const;
  for (const [platform, arch, glibc, node, says, cure] of cases) {
    const problem = platformSentence({ platform, arch, glibc, node });
    const loading = {
      ...healthy.loading,
      libraries: [],
      torch: null,
      kernels: null,
      threads: null,
      memoryLimit: null,
    };
    const system = { ...healthy.system, platform, arch, glibc, problem };
    const report = reportOf({ ...healthy, system, binaries: [], libtorch: [], loading });
    assert.equal(report.works, false);
    assert.equal(problems(report).length, 1, platform);
    const check = report.checks.find(({ topic, state }) => topic === 'system' && state === 'problem');
    assert.match(check?.text ?? '', says);
    if (typeof cure === 'string') assert.equal(check?.cure, cure);
    else assert.match(check?.cure ?? '', cure);
  }
});

const nothing: Chosen = { choice: null, rejected: [], unusable: [], binaries: [] };
const around = {
  env: {},
  isClone: false,
  target: 'linux-x64',
  hasBinariesPackage: true,
  hasLibtorchPackage: true,
};
const { choice } = choose();
assert.ok(choice !== null);
const [own, lib] = [choice.binaries, choice.libtorch];

test('every sentence of the loader has a command, which is the cure', () => {
  const other = { libtorch: lib, reason: 'it is torch 2.9.0' };
  const texts: readonly (readonly [string, string])[] = [
    [nothingFits(nothing, { ...around, isClone: true }), 'npm run setup'],
    [
      nothingFits(nothing, { ...around, hasBinariesPackage: false }),
      'npm install --include=optional spikenode',
    ],
    [nothingFits(nothing, around), 'npx spikenode build'],
    [nothingFits(nothing, { ...around, env: { SPIKENODE_BINARIES: '/x' } }), 'unset SPIKENODE_BINARIES'],
    [
      nothingFits({ ...nothing, unusable: [{ folder: '/x', origin: 'y', reason: 'z' }] }, around),
      'rm -rf node_modules/@spikenode/linux-x64 && npm install --include=optional spikenode',
    ],
    [nothingFits({ ...nothing, binaries: [own] }, { ...around, isClone: true }), 'npm run setup'],
    [
      nothingFits({ ...nothing, binaries: [own] }, { ...around, hasLibtorchPackage: false }),
      'npm install --include=optional spikenode',
    ],
    [nothingFits({ ...nothing, binaries: [own] }, around), 'npx spikenode libtorch install'],
    [
      nothingFits(
        { ...nothing, binaries: [own], rejected: [other] },
        { ...around, env: { SPIKENODE_LIBTORCH: '/x' } },
      ),
      'unset SPIKENODE_LIBTORCH',
    ],
    [
      nothingFits({ ...nothing, binaries: [own] }, { ...around, env: { SPIKENODE_DEVICE: 'cuda' } }),
      'npx spikenode libtorch install --cuda',
    ],
    [reinstall({ ...own, origin: "'spikenode build'" }), 'npx spikenode build'],
    [reinstall({ ...lib, origin: 'the cache of spikenode' }), 'npx spikenode libtorch install --force'],
    [
      reinstall({ ...lib, origin: 'the active Python environment' }),
      'python -m pip install --force-reinstall torch',
    ],
    [
      reinstall({ ...lib, origin: 'the package @spikenode/libtorch-linux-x64' }),
      'rm -rf node_modules/@spikenode/libtorch-linux-x64 && npm install --include=optional spikenode',
    ],
    [reinstall({ ...lib, origin: 'SPIKENODE_LIBTORCH' }), 'unset SPIKENODE_LIBTORCH'],
  ];
  for (const [text, cure] of texts) assert.equal(cureIn(text), cure, text);
  for (const text of [
    ...texts.map(([one]) => one),
    probeFailure(own, lib, 'SIGSEGV', ''),
    probeFailure(own, lib, 'timeout', 'slow'),
  ]) {
    const report = reportOf({ ...healthy, loading: { ...healthy.loading, error: text } });
    assert.equal(report.works, false);
    assert.equal(problems(report).length, 1);
    assert.doesNotMatch(
      report.checks.find(({ state }) => state === 'problem')!.text,
      /Tried:|spikenode doctor/,
    );
  }
});

test('a GPU that the kernels are not compiled for is a problem', () => {
  const on = (computeCapability: string, ...compiled: string[]): string | null =>
    capabilityProblem({ ...gpu, computeCapability }, compiled);
  assert.equal(on('9.0', '80', '90'), null);
  assert.equal(on('8.9', '80', '90'), null); // the same major, and newer
  assert.match(on('7.5', '80', '90') ?? '', /capability 7\.5, which is older than .* \(8\.0, 9\.0\)/);
  assert.match(on('8.0', '86') ?? '', /older/);
  assert.match(on('12.0', '80', '90') ?? '', /12\.0, which is not among/);
  assert.equal(on('12.0', '80', '90-virtual'), null);
  assert.equal(on('10.3', '100'), null);
  const cuda = { ...onGpu.cuda, gpus: [{ ...gpu, computeCapability: '12.0' }] };
  const loading = { ...onGpu.loading, gpuError: 'no kernel image is available' };
  const report = reportOf({ ...onGpu, cuda, loading });
  assert.deepEqual(problems(report), ['GPU: npx spikenode build --cuda']);
  assert.equal(report.works, true); // on the CPU
  assert.equal(reportOf({ ...onGpu, cuda: { ...cuda, requested: 'cuda' }, loading }).works, false);
});

test('GPUs that are there, demanded or hidden, and a driver that does not answer', () => {
  const cpuBuild = cudaSentence({ device: '', choice: choice!, hasDriver: true, devices: 0 });
  const unused = { ...healthy, cuda: { ...onGpu.cuda, problem: cpuBuild } };
  assert.deepEqual(problems(reportOf(unused)), []);
  const hint = reportOf(unused).checks.find(({ cure }) => cure !== null);
  assert.deepEqual(
    [hint?.topic, hint?.state, hint?.cure],
    ['GPU', 'note', 'npx spikenode libtorch install --cuda'],
  );
  const demanded = reportOf({ ...unused, cuda: { ...unused.cuda, requested: 'cuda' } });
  assert.deepEqual(problems(demanded), ['GPU: npx spikenode libtorch install --cuda']);
  assert.equal(demanded.works, false);
  const oldDriver = {
    ...onGpu,
    loading: { ...onGpu.loading, gpus: 0 },
    cuda: { ...onGpu.cuda, problem: 'The NVIDIA driver offers no GPU.' },
  };
  assert.deepEqual(problems(reportOf(oldDriver)), ['GPU: nvidia-smi']);
  const silent = { ...onGpu.cuda, gpus: [], listingProblem: 'nvidia-smi did not answer within 5 seconds' };
  const report = reportOf({ ...onGpu, cuda: silent });
  assert.ok(report.checks.some(({ state, text }) => state === 'note' && text.includes('did not answer')));
});

test("the driver's own words are read", () => {
  const open =
    'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (dvs-builder@U22)';
  const closed =
    'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc 12.2.0';
  assert.deepEqual(
    [driverVersion(open), driverVersion(closed), driverVersion('')],
    ['580.82.07', '535.183.01', null],
  );
  const lines =
    'NVIDIA H100 80GB HBM3, 9.0, 580.82.07, 81559 MiB\nTesla, T4, 7.5, 580.82.07, 15360 MiB\n[Unknown Error]\n';
  assert.deepEqual(parseGpus(lines), {
    driver: '580.82.07',
    gpus: [
      { name: 'NVIDIA H100 80GB HBM3', computeCapability: '9.0', memoryBytes: 81559 * 2 ** 20 },
      { name: 'Tesla, T4', computeCapability: '7.5', memoryBytes: 15360 * 2 ** 20 },
    ],
  });
  assert.deepEqual(parseGpus('No devices were found\n'), { driver: null, gpus: [] });
});

test('nvidia-smi may list, fail, hang or be missing', { skip: process.platform !== 'linux' }, () => {
  const folder = join(scratch, 'bin');
  mkdirSync(folder);
  const search = process.env['PATH'];
  const says = (script: string): ReturnType<typeof cudaRuntime> => {
    writeFileSync(join(folder, 'nvidia-smi'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return cudaRuntime(true, 300);
  };
  try {
    process.env['PATH'] = `${folder}:${search}`;
    const listed = says("echo 'NVIDIA H100, 9.0, 580.82.07, 81920 MiB'");
    assert.deepEqual(listed, { driver: '580.82.07', gpus: [gpu], listingProblem: null });
    assert.match(
      says("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18").listingProblem ?? '',
      /^nvidia-smi lists no GPU \(exit code 18\): Failed to initialize NVML/,
    );
    assert.match(says('exec sleep 60').listingProblem ?? '', /did not answer within 0\.3 seconds/);
    process.env['PATH'] = scratch;
    assert.match(cudaRuntime(true).listingProblem ?? '', /^nvidia-smi cannot be run \(ENOENT\)/);
    assert.deepEqual(cudaRuntime(false), { driver: null, gpus: [], listingProblem: null });
  } finally {
    process.env['PATH'] = search;
  }
});

test('versions, threads and variables that do not fit are told', () => {
  const packages = [{ name: '@spikenode/linux-x64', version: '0.0.9' }, healthy.packages[1]!];
  assert.deepEqual(problems(reportOf({ ...healthy, packages })), [
    'packages: npm install --include=optional spikenode',
  ]);
  const threads = { ...healthy.threads, requested: 'many', used: null };
  assert.deepEqual(problems(reportOf({ ...healthy, threads })), ['threads: unset SPIKENODE_NUM_THREADS']);
  const environment = environmentFacts({
    SPIKENODE_NUM_THREAD: '2',
    PATH: '/bin',
    SPIKENODE_DEVICE: '',
    SPIKENODE_ISA: 'avx2',
  });
  assert.deepEqual(environment, [
    { name: 'SPIKENODE_ISA', value: 'avx2', nearest: null },
    { name: 'SPIKENODE_NUM_THREAD', value: '2', nearest: 'SPIKENODE_NUM_THREADS' },
  ]);
  const report = reportOf({ ...healthy, environment });
  assert.deepEqual(problems(report), ['environment: unset SPIKENODE_NUM_THREAD']);
  assert.match(
    renderReport(report, false),
    /not a variable of spikenode; the nearest is SPIKENODE_NUM_THREADS/,
  );
});

test('passwords in addresses are not shown', () => {
  assert.equal(withoutSecrets('http://user:secret@proxy:8080'), 'http://***@proxy:8080');
  assert.equal(withoutSecrets('user:secret@proxy:8080'), '***@proxy:8080');
  assert.equal(withoutSecrets('http://proxy:8080/a@b'), 'http://proxy:8080/a@b');
  assert.equal(withoutSecrets('localhost,127.0.0.1'), 'localhost,127.0.0.1');
  const found = environmentFacts({ https_proxy: 'http://u:p@h:1' });
  assert.deepEqual(found, [{ name: 'https_proxy', value: 'http://***@h:1', nearest: null }]);
});

test('every variable that the sources read is known', () => {
  const read = ['lib', 'native', 'bench', 'test'].flatMap((folder) =>
    readdirSync(join(packageRoot(), folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|cc|h)$/.test(name))
      .flatMap((name) => [
        ...readFileSync(join(packageRoot(), folder, name), 'utf8').matchAll(
          /(?:getenv\("|env\[')(SPIKENODE_[A-Z_]+)/g,
        ),
      ])
      .map(([, name]) => name!),
  );
  assert.ok(read.length > 10);
  assert.deepEqual(
    read.filter((name) => !VARIABLES.includes(name)),
    [],
  );
});

test('a folder that cannot be written or made has a reason', () => {
  const file = join(scratch, 'file');
  writeFileSync(file, '');
  const link = join(scratch, 'dangling');
  symlinkSync(join(scratch, 'nowhere'), link);
  assert.equal(writingProblem(join(scratch, 'new', 'deeper')), null);
  assert.match(writingProblem(join(file, 'x')) ?? '', /is a file$/);
  assert.match(writingProblem(link) ?? '', /is a link to nothing$/);
  assert.match(writingProblem('/proc/none/deeper') ?? '', /^'\/proc' cannot be written/);
});

function run(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'doctor', ...args], {
    cwd: scratch,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  assert.doesNotMatch(stdout + stderr, /^\s+at /m);
  return { code: status, out: stdout, err: stderr };
}

test('here computing works, from a cache that is a link, with spaces in its path, behind a proxy that does not exist', () => {
  mkdirSync(join(scratch, 'real cache'));
  const cache = join(scratch, 'linked cache');
  symlinkSync(join(scratch, 'real cache'), cache);
  const { code, out, err } = run(['--json'], {
    SPIKENODE_CACHE: cache,
    HTTPS_PROXY: 'http://u:p@127.0.0.1:9',
    SPIKENODE_LIBTORCH: lib.folder,
  });
  assert.deepEqual([code, err], [0, '']);
  const report = JSON.parse(out) as DoctorReport;
  assert.deepEqual(Object.keys(report), ['works', ...Object.keys(healthy), 'checks']);
  for (const key of ['node', 'system', 'processor', 'loading', 'cuda', 'threads', 'memory', 'cache'] as const)
    assert.deepEqual(Object.keys(report[key]).sort(), Object.keys(healthy[key]).sort(), key);
  assert.equal(report.works, true);
  assert.deepEqual([report.cache.folder, report.cache.realFolder], [cache, join(scratch, 'real cache')]);
  assert.deepEqual(
    report.libtorch.map(({ folder, used }) => [folder, used]),
    [[lib.folder, true]],
  );
  assert.ok(report.loading.libraries.at(-1)?.endsWith('libspikenode.so'));
  assert.match(report.loading.kernels ?? '', /^(baseline|avx2|avx512)$/);
  assert.ok((report.loading.memoryLimit ?? 0) > 0);
  assert.doesNotMatch(out, /u:p/);
});

test('wrong variables are problems with a command, and the exit code 1', () => {
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [
      { SPIKENODE_DEVICE: 'gpu' },
      /problem +loading .*SPIKENODE_DEVICE must be[\s\S]*cure: unset SPIKENODE_DEVICE/,
    ],
    [{ SPIKENODE_NUM_THREADS: 'many' }, /cure: unset SPIKENODE_NUM_THREADS/],
    [
      { SPIKENODE_MEMORY_LIMIT: 'lots' },
      /problem +loading .*SPIKENODE_MEMORY_LIMIT must be[\s\S]*cure: unset SPIKENODE_MEMORY_LIMIT/,
    ],
    [{ SPIKENODE_BINARIES: join(scratch, 'none') }, /cure: unset SPIKENODE_BINARIES/],
    [{ SPIKENODE_LIBTORCH: join(scratch, 'none') }, /cure: unset SPIKENODE_LIBTORCH/],
  ];
  for (const [env, says] of cases) {
    const { code, out, err } = run([], env);
    assert.deepEqual([code, err], [1, ''], out);
    assert.match(out, says);
    assert.match(out, /Computing does not work here; \d problems?\.\n$/);
  }
});

test('a truncated libtorch and a home that is a file', () => {
  const folder = join(scratch, 'truncated');
  mkdirSync(join(folder, 'lib'), { recursive: true });
  copyFileSync(join(lib.folder, 'lib', 'libgomp.so.1'), join(folder, 'lib', 'libgomp.so.1'));
  for (const name of ['libc10.so', 'libtorch_cpu.so']) {
    const whole = readFileSync(join(lib.folder, 'lib', 'libc10.so'));
    writeFileSync(join(folder, 'lib', name), whole.subarray(0, whole.length / 2));
  }
  writeFileSync(join(scratch, 'home'), '');
  const { code, out } = run([], {
    SPIKENODE_LIBTORCH: folder,
    SPIKENODE_CACHE: join(scratch, 'home', 'cache'),
  });
  assert.equal(code, 1);
  assert.match(out, /problem +loading .*libc10\.so/);
  assert.match(out, /note +cache .*home' is a file/);
});
