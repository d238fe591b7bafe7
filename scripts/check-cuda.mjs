// Builds everything, libspikenode_cuda too, against the CUDA build of libtorch and shows that it loads and
// computes on the CPU of a machine without a GPU. Needs nvcc, pip and about 10 GB in the cache. Set-up comes first
// (npm run setup), for the compiled TypeScript.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
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
run('cmake', [
  '-S',
  root,
  '-B',
  build,
  '-G',
  'Ninja',
  `-DSPIKENODE_LIBTORCH=${torch}`,
  '-DSPIKENODE_CUDA=ON',
]);
run('cmake', ['--build', build, '--parallel', '2']);

const script = `
  import { readFileSync } from 'node:fs';
  import * as t from ${JSON.stringify(join(root, 'dist', 'lib', 'tensor', 'index.js'))};
  const s = t.lif(t.ones([4, 3]).mul(3), t.zeros([3]), { surrogate: 'ATan' })[0];
  const maps = readFileSync('/proc/self/maps', 'utf8');
  const has = (name) => maps.includes('/' + name);
  console.log('libtorch', t.libtorchVersion(), '- torch_cuda', has('libtorch_cuda.so'), '- libspikenode_cuda', has('libspikenode_cuda.so'));
  console.log('devices', t.cudaDeviceCount(), '- CPU lif, spikes', s.sum().item());
  try { t.ones([1], { device: 'cuda' }); console.log('a GPU tensor was made'); } catch (error) { console.log(error.name + ':', error.message.split('\\n')[0]); }`;
for (const device of ['cpu', '']) {
  console.log(device === 'cpu' ? 'check:cuda: SPIKENODE_DEVICE=cpu' : 'check:cuda: with the CUDA libraries');
  const env = {
    ...process.env,
    SPIKENODE_BINARIES: build,
    SPIKENODE_LIBTORCH: torch,
    SPIKENODE_DEVICE: device,
  };
  run(process.execPath, ['--input-type=module', '-e', script], { env });
}
if (missing.length > 0) console.log(`check:cuda: not to be had here: ${missing.join(', ')}`);
