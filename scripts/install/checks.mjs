// What must hold in a folder where spikenode was installed; each check throws a sentence.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tool } from '../tools.mjs';
import { snapshot } from './place.mjs';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The lowest test accuracy that docs/experiments.md reports for the example, over its seeds. */
export function expectedAccuracy() {
  const page = readFileSync(join(root, 'docs', 'experiments.md'), 'utf8');
  const row = page.match(/^\| shuffled, 4, crossentropy \|\s*\| [\d.]+ \| ([\d.]+) \|/m);
  if (row === null) throw new Error("docs/experiments.md has no row 'shuffled, 4, crossentropy'");
  return Number(row[1]) / 100;
}

/** Writes the example, trains it, returns its test accuracy; the installed files must stay as they are. */
export function trains(place, runner = ['npx', '--no-install']) {
  const [command, ...before] = runner;
  const modules = join(place.project, 'node_modules');
  const installed = snapshot(modules);
  place.run(command, [...before, 'spikenode', 'init']);
  place.run(command, [...before, 'spikenode', 'train', 'digits.toml']);
  const metrics = readFileSync(join(place.project, 'runs', 'digits', 'smlp_r0', 'metrics.jsonl'), 'utf8');
  const accuracy = JSON.parse(metrics.trim().split('\n').at(-1)).test_acc;
  if (!(accuracy >= expectedAccuracy()))
    throw new Error(`the test accuracy is ${accuracy}, expected ${expectedAccuracy()} or more`);
  const after = snapshot(modules);
  const changed = [...new Set([...installed.keys(), ...after.keys()])].filter(
    (name) => installed.get(name) !== after.get(name),
  );
  if (changed.length > 0) throw new Error(`training changed node_modules: ${changed.slice(0, 3).join(', ')}`);
  return accuracy;
}

/** Only the project, the home's folders of npm and pnpm, and our own cache are written. */
export function writesOnlyWhereItMay(place) {
  const known = [
    'digits.toml',
    'node_modules',
    'package-lock.json',
    'package.json',
    'pnpm-lock.yaml',
    'runs',
    'check',
  ];
  const strange = [
    ...readdirSync(place.project).filter((name) => !known.includes(name)),
    ...readdirSync(place.temporary),
    ...readdirSync(place.home).filter((name) => !['.npm', '.cache', '.local', '.config'].includes(name)),
  ];
  const cache = join(place.home, '.cache');
  if (existsSync(cache))
    strange.push(...readdirSync(cache).filter((name) => !['spikenode', 'pnpm', 'node'].includes(name)));
  const ours = join(cache, 'spikenode');
  if (existsSync(ours)) strange.push(...readdirSync(ours).filter((name) => name !== 'probes'));
  if (strange.length > 0) throw new Error(`there are unexpected files: ${strange.join(', ')}`);
}

/** The command can be started, and `import` and, where Node has it, `require` give the package. */
export function canBeImported(place, node) {
  const command = join(place.project, 'node_modules', '.bin', 'spikenode');
  if ((statSync(command).mode & 0o111) !== 0o111) throw new Error(`'${command}' is not executable`);
  const use = `const sum = tensor([1, 2, 3]).sum().item();
if (sum !== 6) throw new Error('1 + 2 + 3 = ' + sum);
`;
  place.write('check/import.mjs', `import { tensor } from 'spikenode';\n${use}`);
  place.run('node', ['check/import.mjs']);
  const [major, minor] = node.split('.').map(Number);
  if (major < 22 || (major === 22 && minor < 12)) return;
  place.write('check/require.cjs', `const { tensor } = require('spikenode');\n${use}`);
  place.run('node', ['check/require.cjs']);
}

const SAMPLE = `import { Linear, LIFNode, type Tensor, tensor } from 'spikenode';
const layer: Linear = new Linear(3, 2);
const neuron = new LIFNode({ tau: 2, stepMode: 's' });
const spikes: Tensor = neuron.forward(layer.forward(tensor([[1, 2, 3]])));
export const values: number[] = spikes.tolist() as number[];
// @ts-expect-error: tau is a number
new LIFNode({ tau: 'two' });
`;

/** The declarations compile in a project that has nothing else, with both resolutions and both TypeScripts. */
export function typesCompile(place) {
  const compilers = [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), tool('tsc')];
  place.write('check/sample.mts', SAMPLE);
  for (const [module, moduleResolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ]) {
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      types: [],
      module,
      moduleResolution,
      exactOptionalPropertyTypes: true,
    };
    place.write('check/tsconfig.json', JSON.stringify({ compilerOptions, files: ['sample.mts'] }));
    for (const compiler of compilers) place.run('node', [compiler, '-p', 'check/tsconfig.json']);
  }
}

/** What is printed where the native packages are missing: it names one and the cure, and is no stack trace. */
export function saysWhatIsMissing(place) {
  place.run('npx', ['--no-install', 'spikenode', 'init']);
  place.run('npx', ['--no-install', 'spikenode', '--help']);
  const { status, stderr, stdout } = place.attempt('npx', [
    '--no-install',
    'spikenode',
    'train',
    'digits.toml',
  ]);
  const text = `${stdout}${stderr}`;
  if (status !== 1) throw new Error(`training gave exit code ${status}, expected 1: ${text}`);
  for (const words of ['@spikenode/linux-x64', 'npm install'])
    if (!text.includes(words)) throw new Error(`the error does not say '${words}': ${text.trim()}`);
  if (/^\s+at /m.test(text)) throw new Error(`the error shows a stack trace: ${text}`);
  place.write(
    'check/import.mjs',
    "import { LIFNode } from 'spikenode';\nif (typeof LIFNode !== 'function') throw new Error();\n",
  );
  place.run('node', ['check/import.mjs']);
  return text.trim().split('\n')[0];
}

/** Bytes of a folder, as files say it. */
export function sizeOf(folder) {
  return [...snapshot(folder).values()]
    .filter((line) => line !== 'folder')
    .reduce((sum, line) => sum + Number(line.split(' ')[0]), 0);
}
