// Builds everything, libspikenode_cuda too, against the CUDA build of libtorch and shows that it loads and
// computes on the CPU of a machine without a GPU: the core alone, then with the kernels, without a driver and with one
// that is too old. Needs nvcc, pip and about 10 GB in the cache. Set-up comes first (npm run setup), for the compiled
// TypeScript. SPIKENODE_CUDA_ARCHITECTURES (80;90 here, to save time) says for which GPUs.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from './libtorch.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const VERSION = '2.14.1';
// The CUDA libraries of that wheel, as its metadata names them.
const WHEELS = [
  `torch==${VERSION}`,
  'nvidia-cublas==13.1.1.3.*',
  'nvidia-cuda-nvrtc==13.0.88.*',
  'nvidia-cuda-runtime==13.0.96.*',
  'nvidia-cuda-cupti==13.0.85.*',
  'nvidia-cufft==12.0.0.61.*',
  'nvidia-cufile==1.15.1.6.*',
  'nvidia-curand==10.4.0.35.*',
  'nvidia-cusolver==12.0.4.66.*',
  'nvidia-cusparse==12.6.3.3.*',
  'nvidia-nvjitlink<14,>=13.0.88',
  'nvidia-nvtx==13.0.85.*',
  'nvidia-cudnn-cu13==9.24.0.43',
  'nvidia-cusparselt-cu13==0.8.1',
  'nvidia-nccl-cu13==2.30.7',
  'nvidia-nvshmem-cu13==3.4.5',
];
const PLATFORMS = [
  'manylinux_2_28',
  'manylinux_2_25',
  'manylinux_2_5',
  'manylinux1',
  'manylinux_2_27',
  'manylinux2014',
  'manylinux_2_18',
  'manylinux_2_17',
  'manylinux2010',
  'manylinux_2_12',
];

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (result.status !== 0) {
    console.error(
      `check:cuda: '${command} ${args[0]} ...' failed${result.error ? `: ${result.error.message}` : ''}`,
    );
    process.exit(1);
  }
}

/** Downloads one wheel and unpacks it beside the others; false when it cannot be had. */
function obtain(requirement, site) {
  const marker = join(site, `.${requirement.split(/[=<>]/)[0]}`);
  if (existsSync(marker)) return true;
  const folder = join(site, '.download');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const platforms = PLATFORMS.flatMap((name) => ['--platform', `${name}_x86_64`]);
  const options = ['--no-deps', '--only-binary=:all:', '--python-version', '3.11', ...platforms];
  const limits = ['--retries', '0', '--timeout', '20', '-d', folder];
  const result = spawnSync('python3', ['-m', 'pip', 'download', ...options, ...limits, requirement], {
    encoding: 'utf8',
  });
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (result.status !== 0 || !wheel) {
    console.log(`check:cuda: no wheel for ${requirement}`);
    return false;
  }
  console.log(`check:cuda: unpacking ${wheel}`);
  run('cmake', ['-E', 'tar', 'xf', join(folder, wheel)], { cwd: site });
  rmSync(folder, { recursive: true, force: true });
  writeFileSync(marker, wheel);
  return true;
}

const site = join(cacheFolder(), `cuda-${VERSION}`, 'site-packages');
mkdirSync(site, { recursive: true });
const missing = WHEELS.filter((requirement) => !obtain(requirement, site));
const torch = join(site, 'torch');
if (!existsSync(join(torch, 'lib', 'libtorch_cuda.so'))) {
  console.error(`check:cuda: torch ${VERSION} with CUDA could not be obtained`);
  process.exit(1);
}

const build = join(root, 'build-cuda');
const core = join(build, 'core');
const scratch = mkdtempSync(join(tmpdir(), 'spikenode-cuda-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

function compile(cuda) {
  const architectures = process.env.SPIKENODE_CUDA_ARCHITECTURES || '80;90';
  run('cmake', [
    ...['-S', root, '-B', build, '-G', 'Ninja', `-DSPIKENODE_LIBTORCH=${torch}`, `-DSPIKENODE_CUDA=${cuda}`],
    `-DSPIKENODE_CUDA_ARCHITECTURES=${architectures}`,
  ]);
  run('cmake', ['--build', build, '--parallel', '2']);
}

function fail(text) {
  console.error(`check:cuda: ${text}`);
  process.exit(1);
}

/** The core names no CUDA library, so that the same files serve a machine without any. */
function requireNoCudaNames(folder) {
  for (const name of ['loader.node', 'libspikenode.so', 'spikenode.node']) {
    const { stdout, error } = spawnSync('readelf', ['-dW', join(folder, name)], { encoding: 'utf8' });
    if (error) fail(`readelf: ${error.message}`);
    const libraries = [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]);
    if (libraries.length === 0) fail(`${name} names no library at all`);
    const wrong = libraries.filter((library) => /cuda|cudart|cupti|cublas|cudnn|nccl/.test(library));
    if (wrong.length > 0) fail(`${name} names ${wrong.join(', ')}`);
  }
  console.log('check:cuda: the core names no CUDA library');
}

const script = `
  import { readFileSync } from 'node:fs';
  import * as t from ${JSON.stringify(join(root, 'dist', 'lib', 'tensor', 'index.js'))};
  const message = (work) => { try { work(); return 'no error'; } catch (error) { return error.name + ': ' + error.message; } };
  const x = t.ones([4, 3]).mul(3);
  x.requiresGrad = true;
  const s = t.lif(x, t.zeros([3]), { surrogate: 'ATan' })[0];
  s.sum().backward();
  const maps = readFileSync('/proc/self/maps', 'utf8');
  console.log(JSON.stringify({
    version: t.libtorchVersion(), devices: t.cudaDeviceCount(), spikes: s.sum().item(), gradient: x.grad.isfinite().all().item(),
    torchCuda: maps.includes('/libtorch_cuda.so'), kernels: maps.includes('/libspikenode_cuda.so'),
    made: message(() => t.ones([1], { device: 'cuda' })), moved: message(() => x.to({ device: 'cuda' })),
  }));`;

/** What a process sees and is told; a crash, or a stack trace in a message, fails. */
function observe(binaries, env) {
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, SPIKENODE_BINARIES: binaries, SPIKENODE_LIBTORCH: torch, ...env },
  });
  if (result.status !== 0) fail(`the process ended with ${result.signal ?? result.status}: ${result.stderr}`);
  const seen = JSON.parse(result.stdout);
  for (const text of [seen.made, seen.moved])
    if (/^ {2,}at |frame #|^#\d/m.test(text)) fail(`not a sentence: ${text}`);
  return seen;
}

function expect(what, binaries, env, expected) {
  const seen = observe(binaries, env);
  console.log(`check:cuda: ${what}`);
  console.log(
    `  torch_cuda ${seen.torchCuda}, kernels ${seen.kernels}, devices ${seen.devices}; ${seen.made}`,
  );
  const always = { version: VERSION, devices: 0, spikes: 12, gradient: true };
  for (const [name, value] of Object.entries({ ...always, ...expected })) {
    const fits = value instanceof RegExp ? value.test(seen[name]) : seen[name] === value;
    if (!fits) fail(`${name} is ${JSON.stringify(seen[name])}, expected ${value}`);
  }
}

/** A training on the CPU with these binaries, through the command. */
function train(binaries, device) {
  const main = join(root, 'dist', 'lib', 'cli', 'main.js');
  const words = ['train', join(root, 'examples', 'digits.toml'), '--model.0.epochs=3', '--runs', scratch];
  const env = {
    ...process.env,
    SPIKENODE_BINARIES: binaries,
    SPIKENODE_LIBTORCH: torch,
    SPIKENODE_DEVICE: device,
  };
  const result = spawnSync(process.execPath, [main, ...words, '--json'], { encoding: 'utf8', env });
  if (result.status !== 0)
    fail(`the training ended with ${result.signal ?? result.status}: ${result.stderr}`);
  const accuracy = Number(/"test_acc":([\d.]+)/.exec(result.stdout)?.[1]);
  console.log(
    `check:cuda: trained 3 epochs with SPIKENODE_DEVICE='${device}', accuracy on the test part ${accuracy}`,
  );
  // 0.92 on every machine so far.
  if (!(accuracy > 0.88)) fail('expected an accuracy above 0.88');
}

/** A libcuda.so.1 as of a driver for CUDA 12.0, older than the libraries need. */
function oldDriver() {
  const source = `
    int cuInit(unsigned flags) { (void)flags; return 0; }
    int cuDriverGetVersion(int* version) { *version = 12000; return 0; }
    int cuDeviceGetCount(int* count) { *count = 0; return 0; }`;
  const file = join(scratch, 'libcuda.so.1');
  run('cc', ['-shared', '-fPIC', '-x', 'c', '-', '-o', file], {
    input: source,
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  return scratch;
}

const NOT_LOADED = /^TorchError: .*(has not loaded it|not linked with support for cuda)/;
// The first call is told by libtorch; the ones after it by the CUDA runtime, for which no driver is an old one.
const NO_DRIVER = /^TorchError: .*no NVIDIA driver/;
const INSUFFICIENT = /^TorchError: .*(no NVIDIA driver|driver version is insufficient)/;
const OLD_DRIVER = /^TorchError: .*driver.*(too old|insufficient)/i;

compile('OFF');
mkdirSync(core, { recursive: true });
for (const name of ['loader.node', 'libspikenode.so', 'spikenode.node', 'build.json'])
  copyFileSync(join(build, name), join(core, name));
requireNoCudaNames(core);
const cpuOnly = { SPIKENODE_DEVICE: 'cpu' };
const both = { SPIKENODE_DEVICE: '' };
const plain = { torchCuda: false, kernels: false, made: NOT_LOADED, moved: NOT_LOADED };
expect('the core alone, SPIKENODE_DEVICE=cpu', core, cpuOnly, plain);
expect('the core alone, which opens no CUDA library without its kernels', core, both, plain);
train(core, 'cpu');

compile('ON');
for (const name of readdirSync(core).filter((name) => name !== 'build.json'))
  if (!readFileSync(join(core, name)).equals(readFileSync(join(build, name))))
    fail(`${name} is another file where the kernels are built too`);
const withCuda = { torchCuda: true, kernels: true, made: NO_DRIVER, moved: INSUFFICIENT };
expect('with libspikenode_cuda, SPIKENODE_DEVICE=cpu', build, cpuOnly, plain);
expect('with libspikenode_cuda and the CUDA libraries', build, both, withCuda);
const old = { ...both, LD_LIBRARY_PATH: oldDriver() };
expect('the same with a driver for CUDA 12.0', build, old, {
  torchCuda: true,
  kernels: true,
  made: OLD_DRIVER,
  moved: OLD_DRIVER,
});
train(build, '');
if (missing.length > 0) console.log(`check:cuda: not to be had here: ${missing.join(', ')}`);
