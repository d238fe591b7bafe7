/** What a process pays before it computes: the command line, the import, the first tensor beside the bare libraries. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choose } from '../lib/native/choose.js';
import { librariesOf } from '../lib/native/libraries.js';
import { quartiles } from './statistics.js';

const rounds = 11;
const at = (path: string): string => new URL(`../${path}`, import.meta.url).href;
const command = new URL('../lib/cli/main.js', import.meta.url).pathname;

/** Milliseconds that a script prints. */
function printed(script: string, env: Readonly<Record<string, string>> = {}): number {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(stderr);
  return Number(stdout);
}

/** Milliseconds of a whole process. */
function whole(args: readonly string[]): number {
  const start = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}`);
  return performance.now() - start;
}

const timed = (statement: string, before: string = ''): string =>
  `${before} const start = performance.now(); ${statement}; console.log(performance.now() - start);`;

const importing = timed(`await import('${at('lib/index.js')}')`);
const firstTensor = timed(`t.ones([1]).item()`, `const t = await import('${at('lib/tensor/index.js')}');`);

/** Prints medians and quartiles of interleaved rounds. */
export function benchStartup(): void {
  const { choice } = choose();
  if (choice === null) throw new Error('nothing can be loaded here');
  const { folder } = choice.binaries;
  const bare = timed(
    `for (const path of ${JSON.stringify(librariesOf(choice))}) { const failure = loader.open(path); if (failure !== null) throw new Error(failure); }`,
    `import { createRequire } from 'node:module'; const loader = createRequire('/')(${JSON.stringify(join(folder, 'loader.node'))});`,
  );
  const empty = mkdtempSync(join(tmpdir(), 'spikenode-startup-'));
  const times = {
    node: [] as number[],
    help: [] as number[],
    importing: [] as number[],
    bare: [] as number[],
    first: [] as number[],
    more: [] as number[],
    cold: [] as number[],
  };
  printed(firstTensor);
  for (let i = 0; i < rounds; i++) {
    times.node.push(whole(['-e', '0']));
    times.help.push(whole([command, '--help']));
    times.importing.push(printed(importing));
    const libraries = printed(bare);
    const first = printed(firstTensor);
    times.bare.push(libraries);
    times.first.push(first);
    times.more.push(first - libraries);
    const env = { SPIKENODE_CACHE: join(empty, `${i}`), SPIKENODE_LIBTORCH: choice.libtorch.folder };
    times.cold.push(printed(firstTensor, env));
  }
  rmSync(empty, { recursive: true });
  const show = (what: string, values: readonly number[], aim: string = ''): void =>
    console.log(`  ${what.padEnd(46)} ${quartiles(values, 0)}${aim}`);
  console.log(`start-up, ms, median (quartiles) of ${rounds} interleaved rounds`);
  show('node -e 0, a whole process', times.node);
  show('spikenode --help, a whole process', times.help, '   aim 150');
  show('import of the package', times.importing, '   aim 100');
  show("dlopen of libtorch's and our libraries", times.bare);
  show('first tensor', times.first);
  show('first tensor: more than dlopen', times.more, '   aim 300');
  show('first tensor, never loaded before', times.cold);
}
