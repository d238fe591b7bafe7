import type { Binaries } from './binaries.js';
import type { Chosen } from './choose.js';
import type { Libtorch } from './libtorch.js';
import { minorOf } from './libtorch.js';

/** What the advice depends on besides what was found. */
export interface Surroundings {
  /** For the variables `SPIKENODE_*`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isClone: boolean;
  /** `linux-x64`, of the names of our packages. */
  readonly target: string;
  readonly hasBinariesPackage: boolean;
  readonly hasLibtorchPackage: boolean;
}

const DOCTOR = "'npx spikenode doctor' shows the whole state.";

/** The command that replaces damaged files, by where they lie; ends with the pointer to the doctor. */
export function reinstall(owner: Binaries | Libtorch): string {
  const cuda = 'version' in owner && owner.cuda !== null ? ' --cuda' : '';
  const package_ = /^the package (@\S+)$/.exec(owner.origin)?.[1];
  const advice: Readonly<Record<string, string>> = {
    'the build of this checkout': "Build it anew: 'npm run build'.",
    "'spikenode build'": `Build it anew: 'npx spikenode build'.`,
    'the cache of spikenode': `Install it anew: 'npx spikenode libtorch install --force${cuda}'.`,
    'the active Python environment': "Install it anew: 'python -m pip install --force-reinstall torch'.",
    SPIKENODE_BINARIES: 'Correct SPIKENODE_BINARIES, or unset it.',
    SPIKENODE_LIBTORCH: 'Correct SPIKENODE_LIBTORCH, or unset it.',
  };
  const cure =
    package_ === undefined
      ? (advice[owner.origin] ?? 'Replace that libtorch, or set SPIKENODE_LIBTORCH to another one.')
      : `Delete node_modules/${package_}, then 'npm install --include=optional spikenode'.`;
  return `${cure} ${DOCTOR}`;
}

function missingPackage(name: string): string {
  return (
    `The optional dependency ${name} is not installed: optional dependencies were left out (--omit=optional), or the ` +
    `lockfile was made on another operating system. Cure: 'npm install --include=optional spikenode' (if that changes ` +
    `nothing, delete node_modules and the lockfile first).`
  );
}

function cureOfBinaries({ unusable, binaries }: Chosen, around: Surroundings): string {
  if (around.env['SPIKENODE_BINARIES']) return 'Correct SPIKENODE_BINARIES, or unset it.';
  if (around.isClone) return "Cure: 'npm run setup' builds them in this clone.";
  if (!around.hasBinariesPackage) return missingPackage(`@spikenode/${around.target}`);
  return unusable.length > binaries.length
    ? `Cure: delete node_modules/@spikenode/${around.target}, then 'npm install --include=optional spikenode'.`
    : "Cure: 'npx spikenode build'.";
}

function cureOfLibtorch({ rejected, binaries, unusable }: Chosen, around: Surroundings): string {
  const minors = [...new Set(binaries.map(({ torch }) => minorOf(torch)))].join(' or ');
  const needsGlibc = rejected.find(({ reason }) => reason.includes(' need glibc '));
  if (needsGlibc !== undefined)
    return `Cure: build the native files on this system, 'npx spikenode build --libtorch ${quoted(needsGlibc.libtorch.folder)}'.`;
  if (around.env['SPIKENODE_DEVICE'] === 'cuda') {
    const noKernels = rejected.find(({ libtorch }) => libtorch.cuda !== null && libtorch.version !== null);
    return noKernels === undefined
      ? "Cure: 'npx spikenode libtorch install --cuda', or unset SPIKENODE_DEVICE to compute on the CPU."
      : `Cure: 'npx spikenode build --cuda --libtorch ${quoted(noKernels.libtorch.folder)}', or unset SPIKENODE_DEVICE to compute on the CPU.`;
  }
  const otherMinor = rejected.find(({ libtorch }) => libtorch.version !== null);
  const build =
    otherMinor === undefined
      ? ''
      : ` To use the one that is here, 'npx spikenode build --libtorch ${quoted(otherMinor.libtorch.folder)}'.`;
  if (around.env['SPIKENODE_LIBTORCH'])
    return `Set SPIKENODE_LIBTORCH to a folder with lib/libtorch_cpu.so of torch ${minors}, or unset it.${build}`;
  if (around.isClone) return `Cure: 'npm run setup' obtains one for this clone.${build}`;
  // The libtorch that is here may fit the files that are damaged.
  const damaged = unusable.find(({ origin }) => origin.startsWith('the package @'));
  if (damaged !== undefined)
    return `Cure: delete node_modules/@spikenode/${around.target}, then 'npm install --include=optional spikenode'.`;
  if (!around.hasLibtorchPackage)
    return `${missingPackage(`@spikenode/libtorch-${around.target}`)} Or 'npx spikenode libtorch install' without npm.${build}`;
  return `Cure: 'npx spikenode libtorch install'.${build}`;
}

function quoted(folder: string): string {
  return /^[\w./+-]+$/.test(folder) ? folder : `"${folder}"`;
}

/** Why nothing can be loaded: what was tried, the cause, one command. A pure function. */
export function nothingFits(chosen: Chosen, around: Surroundings): string {
  const { binaries, unusable, rejected } = chosen;
  // Without native files no libtorch could fit, whatever was found.
  const passedOver = binaries.length === 0 ? [] : rejected;
  const lines = [
    ...unusable.map(({ folder, origin, reason }) => `  native files in '${folder}' (${origin}): ${reason}`),
    ...passedOver.map(
      ({ libtorch, reason }) => `  libtorch in '${libtorch.folder}' (${libtorch.origin}): ${reason}`,
    ),
  ];
  const tried = lines.length > 0 ? `Tried:\n${lines.join('\n')}\n` : '';
  if (binaries.length === 0)
    return `The native files of spikenode were not found. ${tried}${cureOfBinaries(chosen, around)} ${DOCTOR}`;
  const minors = [...new Set(binaries.map(({ torch }) => minorOf(torch)))].join(' or ');
  return `No usable libtorch (torch ${minors}) was found. ${tried}${cureOfLibtorch(chosen, around)} ${DOCTOR}`;
}

const SIGNALS: Readonly<Record<string, string>> = {
  SIGSEGV: 'one of the files is damaged, or they do not belong together',
  SIGBUS: 'one of the files is damaged, or its disk cannot be read',
  SIGABRT: 'one of the files is damaged, or they do not belong together',
  SIGFPE: 'one of the files is damaged, or they do not belong together',
  SIGTRAP: 'one of the files is damaged, or they do not belong together',
  SIGILL: 'this processor lacks an instruction that they use, or one of the files is damaged',
  SIGKILL: 'the system ended it, which it does when memory is short',
  SIGSYS: 'this sandbox forbids a system call that they need',
};

/** Why a trial of loading in a process of its own failed. `end` is a signal's name, an exit code, or `timeout`. */
export function probeFailure(
  binaries: Binaries,
  libtorch: Libtorch,
  end: string | number,
  output: string,
): string {
  const what = `libtorch in '${libtorch.folder}' (${libtorch.origin}) and the native files of spikenode in '${binaries.folder}' (${binaries.origin})`;
  const said = output.trim().split('\n').slice(-3).join('\n').slice(-500);
  const tail = said === '' ? '' : `\nIts last words: ${said}`;
  if (end === 'timeout')
    return `A process that loaded ${what} for a trial did not finish within a minute. If this disk is just slow, set SPIKENODE_PROBE=off to load without a trial. ${DOCTOR}${tail}`;
  const how = typeof end === 'number' ? `exit code ${end}` : end;
  const why = typeof end === 'number' ? '' : `: ${SIGNALS[end] ?? 'they cannot be used here'}`;
  return `A process that loaded ${what} for a trial ended with ${how}${why}. ${replacement(binaries, libtorch)}${tail}`;
}

/** Both sets of files may be the bad one. */
function replacement(binaries: Binaries, libtorch: Libtorch): string {
  const [first, second] = [reinstall(libtorch), reinstall(binaries)];
  if (first === second) return first;
  if ([binaries, libtorch].every(({ origin }) => origin.startsWith('the package @')))
    return `Delete node_modules/@spikenode, then 'npm install --include=optional spikenode'. ${DOCTOR}`;
  return `For libtorch: ${first.replace(` ${DOCTOR}`, '')} For the native files: ${second}`;
}
