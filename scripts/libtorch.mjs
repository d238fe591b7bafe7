// Obtains the pinned libtorch with headers for a source build: SPIKENODE_LIBTORCH if set, else what `spikenode libtorch
// install --headers` installs, with pip as the way around PyTorch's server. Comes after the TypeScript build.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DownloadError } from '../dist/lib/setup/download.js';
import { installLibtorch } from '../dist/lib/setup/install.js';
import { libtorchRoot } from '../dist/lib/setup/installed.js';
import { releases } from '../dist/lib/setup/releases.js';

const release = releases.find(({ cuda }) => cuda === null);

/** The folder of libtorch copies of this user. */
export function cacheFolder() {
  return libtorchRoot();
}

function pipDownload(folder, say) {
  const index = new URL('.', release.files[0].url).href;
  const base = ['download', '--no-deps', '--only-binary=:all:', '--python-version', '3.11'];
  const limits = ['--platform', 'manylinux_2_28_x86_64', '--timeout', '10', '--retries', '1', '-d', folder];
  const options = [...base, ...limits, `torch==${release.torch}+cpu`];
  for (const extra of [[], ['--extra-index-url', index]]) {
    say(`pip ${[...options, ...extra].join(' ')}`);
    const result = spawnSync('python3', ['-m', 'pip', ...options, ...extra], { encoding: 'utf8' });
    const file = readdirSync(folder).find((name) => name.startsWith(`torch-${release.torch}`));
    if (result.status === 0 && file) return join(folder, file);
    say(`pip could not: ${(result.stderr ?? result.error?.message ?? '').trim().split('\n').at(-1)}`);
  }
  return null;
}

/** The folder with lib/ and include/ of the pinned libtorch. */
export async function obtainLibtorch(say) {
  const given = process.env.SPIKENODE_LIBTORCH;
  if (given) {
    const needed = [join('lib', 'libtorch_cpu.so'), join('include', 'ATen', 'ATen.h')];
    if (!needed.every((name) => existsSync(join(given, name))))
      throw new Error(`SPIKENODE_LIBTORCH='${given}' lacks ${needed.join(' or ')}`);
    return resolve(given);
  }
  let tenths = '';
  const progress = (step, done, total) => {
    const line = `${step}: ${10 * Math.floor((10 * done) / total)} %`;
    if (line !== tenths) say(line);
    tenths = line;
  };
  const options = { headers: true, force: false, from: null, report: { say, progress } };
  try {
    return await installLibtorch(release, options);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    say(error.message);
  }
  const folder = mkdtempSync(join(tmpdir(), 'spikenode-wheel-'));
  try {
    const wheel = pipDownload(folder, say);
    if (wheel === null) throw new Error(`libtorch ${release.torch} could not be obtained`);
    return await installLibtorch(release, { ...options, from: [wheel] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
