import { basename, dirname } from 'node:path';
import { compareVersions } from '../native/platform.js';
import type { CheckState, DoctorCheck, DoctorFacts, FoundBinaries, FoundLibtorch } from './doctor.js';
import { capabilityProblem } from './gpus.js';

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function line(topic: string, state: CheckState, text: string, cure: string | null = null): DoctorCheck {
  return { topic, state, text: text.replaceAll(/\s*\n\s*/g, ' '), cure };
}

const ok = (topic: string, text: string): DoctorCheck => line(topic, 'ok', text);
const note = (topic: string, text: string): DoctorCheck => line(topic, 'note', text);
const problem = (topic: string, text: string, cure: string): DoctorCheck =>
  line(topic, 'problem', text, cure);

/**
 * The command that the sentences of lib/native name as the first cure: in single quotes, with a folder to delete before it,
 * or a variable to unset. Null where they name none.
 */
export function cureIn(text: string): string | null {
  const wrong = /(SPIKENODE_[A-Z_]+) must be |limit \d+ \((SPIKENODE_\w+)\)/
    .exec(text)
    ?.slice(1)
    .find(Boolean);
  if (wrong !== undefined) return `unset ${wrong}`;
  const quoted = /(?:[Dd]elete (\S+), then )?'((?:npm|npx|python) (?!spikenode doctor)[^']+)'/.exec(text);
  const unset = /or unset (?:it|(SPIKENODE_[A-Z_]+))/.exec(text);
  if (quoted !== null && (unset === null || quoted.index < unset.index)) {
    const [, folder, command = ''] = quoted;
    return folder === undefined ? command : `rm -rf ${folder} && ${command}`;
  }
  if (unset === null) return null;
  const name =
    unset[1] ??
    text
      .slice(0, unset.index)
      .match(/SPIKENODE_[A-Z_]+/g)
      ?.at(-1);
  return name === undefined ? null : `unset ${name}`;
}

/** The sentences without the list of what was tried, which has lines of its own here, and without the pointer to us. */
function withoutList(text: string): string {
  return text
    .replace(/Tried:\n(?: .*\n)*/, '')
    .replace(/ ?'npx spikenode doctor' shows the whole state\./, '')
    .trim();
}

function cureOfSystem({ platform, arch, glibc }: DoctorFacts['system']): string {
  if (platform === 'win32') return 'wsl --install';
  if (platform === 'linux' && arch === 'x64' && glibc !== null && compareVersions(glibc, '2.28') >= 0)
    return 'nvm install --lts';
  return 'docker run --rm -it --platform linux/amd64 node:22-slim bash';
}

function installation({ spikenode, node, system, packages }: DoctorFacts): DoctorCheck[] {
  const { version, folder, isClone } = spikenode;
  const missing = packages.filter((entry) => entry.version === null).map(({ name }) => name);
  const others = packages.filter((entry) => entry.version !== null && entry.version !== version);
  const install = 'npm install --include=optional spikenode';
  return [
    ok('spikenode', `${version}, ${isClone ? 'a clone' : 'installed by a package manager'}, in '${folder}'`),
    ok('Node.js', `${node.version} (${node.program})`),
    system.problem === null
      ? ok('system', `${system.name}, ${system.platform} ${system.arch}, glibc ${system.glibc}`)
      : problem('system', system.problem, cureOfSystem(system)),
    ...others.map((entry) =>
      problem('packages', `${entry.name} is ${entry.version} beside spikenode ${version}`, install),
    ),
    ...packages
      .filter((entry) => entry.version === version)
      .map((entry) => ok('packages', `${entry.name} ${entry.version}`)),
    ...(missing.length === 0 || isClone || system.problem !== null
      ? []
      : [note('packages', `not installed: ${missing.join(', ')}`)]),
  ];
}

function processorCheck({ processor, loading }: DoctorFacts): DoctorCheck {
  const { name, avx2, avx512 } = processor;
  const has = avx512 ? 'AVX-512' : avx2 ? 'AVX2' : 'neither AVX2 nor AVX-512';
  const runs = loading.kernels === null ? '' : `; the kernels for ${loading.kernels} run`;
  return line('processor', avx2 ? 'ok' : 'note', `${name} with ${has}${runs}`);
}

function binariesCheck({
  folder,
  origin,
  torch,
  cuda,
  glibc,
  used,
  problem: why,
}: FoundBinaries): DoctorCheck {
  if (why !== null) return note('native', `'${folder}' (${origin}) cannot be used: ${why}`);
  const gpu = cuda === null ? 'CPU only' : `CUDA ${cuda.version} for ${cuda.architectures.join(', ')}`;
  const needs = glibc === null ? '' : `, glibc ${glibc} or newer`;
  return ok('native', `'${folder}' (${origin}): torch ${torch}, ${gpu}${needs}${used ? '; used' : ''}`);
}

function libtorchCheck({ folder, origin, version, cuda, bytes, used, reason }: FoundLibtorch): DoctorCheck {
  const kind = cuda === null ? 'CPU' : `CUDA ${cuda}`;
  const what = version === null ? '' : `: torch ${version}, ${kind}`;
  const size = bytes === null ? '' : `, ${gibibytes(bytes)}`;
  return used
    ? ok('libtorch', `'${folder}' (${origin})${what}${size}; used`)
    : note('libtorch', `'${folder}' (${origin})${what}${size}; not used: ${reason}`);
}

function found({ binaries, libtorch }: DoctorFacts): DoctorCheck[] {
  return [
    ...binaries.map(binariesCheck),
    ...(binaries.length === 0 ? [note('native', 'no native files of spikenode were found')] : []),
    ...libtorch.map(libtorchCheck),
    ...(libtorch.length === 0 ? [note('libtorch', 'none was found')] : []),
  ];
}

// Names after their folder, which is said once for those that follow each other.
function byFolder(paths: readonly string[]): string {
  return paths
    .map((path, i) => {
      const folder = dirname(path);
      const before = paths[i - 1];
      return before !== undefined && dirname(before) === folder
        ? `, ${basename(path)}`
        : `${i === 0 ? '' : '; '}'${folder}': ${basename(path)}`;
    })
    .join('');
}

function loadingCheck(facts: DoctorFacts): DoctorCheck[] {
  const { loading, system, spikenode } = facts;
  if (system.problem !== null) return [];
  if (loading.error === null)
    return [
      ok('loading', `torch ${loading.torch} and the native files were loaded, and a neuron was computed`),
      ok('loading', `opened in this order: ${byFolder(loading.libraries)}`),
    ];
  const text = withoutList(loading.error);
  const usual = spikenode.isClone ? 'npm run setup' : 'npm install --include=optional spikenode';
  return [problem('loading', text, cureIn(text) ?? usual)];
}

// Without a GPU, and without a wish for one, the CPU is all that is expected.
function withoutGpu({ cuda, libtorch }: DoctorFacts, why: string): DoctorCheck {
  const { driver, requested } = cuda;
  if (requested === 'cuda') return problem('GPU', why, cureIn(why) ?? 'unset SPIKENODE_DEVICE');
  if (driver === null) return note('GPU', 'no NVIDIA driver is on this machine; the CPU computes');
  const isExpected =
    requested === null && libtorch.some(({ used, cuda: version }) => used && version !== null);
  if (isExpected) return problem('GPU', why, cureIn(why) ?? 'nvidia-smi');
  return line('GPU', 'note', why, cureIn(why));
}

function gpuChecks(facts: DoctorFacts): DoctorCheck[] {
  const { cuda, loading, binaries } = facts;
  const { driver, gpus, listingProblem, problem: why } = cuda;
  const architectures = binaries.find(({ used }) => used)?.cuda?.architectures ?? null;
  const rebuild = 'npx spikenode build --cuda';
  const checks = gpus.map((gpu) => {
    const misfit = architectures === null ? null : capabilityProblem(gpu, architectures);
    const text = `${gpu.name}, compute capability ${gpu.computeCapability}, ${gibibytes(gpu.memoryBytes)}, driver ${driver}`;
    return misfit === null ? ok('GPU', text) : problem('GPU', misfit, rebuild);
  });
  if (listingProblem !== null) checks.push(note('GPU', `NVIDIA driver ${driver}, but ${listingProblem}`));
  if (loading.gpuError !== null) {
    const known = checks.some(({ state }) => state === 'problem');
    if (!known) checks.push(problem('GPU', loading.gpuError, cureIn(loading.gpuError) ?? rebuild));
  } else if (loading.gpus > 0) {
    checks.push(
      ok(
        'GPU',
        `libtorch uses ${loading.gpus === 1 ? 'it' : `${loading.gpus} of them`}; a neuron was computed there`,
      ),
    );
  } else if (loading.torch !== null && why !== null) {
    checks.push(withoutGpu(facts, why));
  }
  return checks;
}

function threadsCheck({ threads, loading }: DoctorFacts): DoctorCheck {
  const { machine, processors, quota, requested, used } = threads;
  if (used === null)
    return problem(
      'threads',
      `SPIKENODE_NUM_THREADS must be an integer from 1 to 1024, got '${requested}'`,
      'unset SPIKENODE_NUM_THREADS',
    );
  const limit = quota === null ? 'no quota' : `a quota of ${quota} processors`;
  const asked = requested === null ? '' : `, SPIKENODE_NUM_THREADS=${requested}`;
  const text = `${loading.threads ?? used} used: the machine has ${machine} processors, this process may run on ${processors}, ${limit}${asked}`;
  return line('threads', used > processors ? 'note' : 'ok', text);
}

function memoryCheck({ memory, loading }: DoctorFacts): DoctorCheck {
  const { machine, quota, requested } = memory;
  const limit = quota === null ? 'no limit of its group' : `a limit of its group of ${gibibytes(quota)}`;
  const asked = requested === null ? '' : `, SPIKENODE_MEMORY_LIMIT=${requested}`;
  const used = loading.memoryLimit === null ? '' : `tensors may take ${gibibytes(loading.memoryLimit)}: `;
  return ok('memory', `${used}the machine has ${gibibytes(machine)}, this process ${limit}${asked}`);
}

function cacheCheck({ cache }: DoctorFacts): DoctorCheck {
  const { folder, realFolder, problem: why, free } = cache;
  const link = realFolder === null ? '' : ` (really '${realFolder}')`;
  const room = free === null ? '' : `, ${gibibytes(free)} free on its disk`;
  if (why === null) return ok('cache', `'${folder}'${link} can be written${room}`);
  return note(
    'cache',
    `'${folder}'${link}: ${why}, so nothing can be installed there and each first load is tried anew; set SPIKENODE_CACHE to a folder that can be written`,
  );
}

function environmentChecks({ environment }: DoctorFacts): DoctorCheck[] {
  return environment.map(({ name, value, nearest }) =>
    nearest === null
      ? ok('environment', `${name}=${value}`)
      : problem(
          'environment',
          `${name} is not a variable of spikenode; the nearest is ${nearest}`,
          `unset ${name}`,
        ),
  );
}

/** The lines of the report; each problem has the command that cures it. */
export function checksOf(facts: DoctorFacts): DoctorCheck[] {
  return [
    ...installation(facts),
    processorCheck(facts),
    ...found(facts),
    ...loadingCheck(facts),
    ...gpuChecks(facts),
    threadsCheck(facts),
    memoryCheck(facts),
    cacheCheck(facts),
    ...environmentChecks(facts),
  ];
}
