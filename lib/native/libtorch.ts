import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The torch minor that this build of the addon was compiled against. */
export const TORCH_MINOR = '2.13';

/** A folder with `lib/libtorch_cpu.so`, and where it was found. */
export interface LibtorchCandidate {
  readonly folder: string;
  readonly origin: string;
}

/** The root folder of this package: the first one upwards that has a package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

function cached(): LibtorchCandidate[] {
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'spikenode', 'libtorch');
  if (!existsSync(cache)) return [];
  return readdirSync(cache)
    .filter(
      (name) => name.startsWith(`${TORCH_MINOR}.`) && existsSync(join(cache, name, 'lib', 'libtorch_cpu.so')),
    )
    .sort()
    .reverse()
    .map((name) => ({ folder: join(cache, name), origin: 'the cache of spikenode' }));
}

/** torch of the active virtual environment or conda environment. */
function activePython(): LibtorchCandidate[] {
  const environment = process.env['VIRTUAL_ENV'] ?? process.env['CONDA_PREFIX'];
  const lib = environment === undefined ? '' : join(environment, 'lib');
  if (!existsSync(lib)) return [];
  return readdirSync(lib)
    .filter((name) => name.startsWith('python3'))
    .map((name) => join(lib, name, 'site-packages', 'torch'))
    .filter((folder) => existsSync(join(folder, 'version.py')))
    .filter((folder) => readFileSync(join(folder, 'version.py'), 'utf8').includes(`'${TORCH_MINOR}.`))
    .map((folder) => ({ folder, origin: 'the active Python environment' }));
}

/**
 * Where libtorch is looked for, first match wins: `SPIKENODE_LIBTORCH`, the one that this checkout was
 * built against, the cache of spikenode, the active Python's torch.
 */
export function libtorchCandidates(buildFolder: string): LibtorchCandidate[] {
  const given = process.env['SPIKENODE_LIBTORCH'];
  if (given) return [{ folder: resolve(given), origin: 'SPIKENODE_LIBTORCH' }];
  const stamp = join(dirname(buildFolder), '.built');
  const built = existsSync(stamp)
    ? [{ folder: readFileSync(stamp, 'utf8'), origin: 'the source build' }]
    : [];
  return [...built, ...cached(), ...activePython()];
}
