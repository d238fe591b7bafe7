// clang-format, Biome, type checks, the floors and the workflows; every check runs, then the exit code says.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { floorProblems } from './floors.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const fix = process.argv.includes('--fix');
let failed = false;

function step(name, command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  console.log(`lint: ${name} ${result.status === 0 ? 'ok' : 'FAILED'}`);
  failed ||= result.status !== 0;
}

if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
  step('npm packages', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}
const bin = (name) => join(root, 'node_modules', '.bin', name);
const sources = ['native', 'bench'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => /\.(h|cc|cpp|cu|cuh)$/.test(name))
    .map((name) => join(folder, name)),
);
step('clang-format', bin('clang-format'), [...(fix ? ['-i'] : ['--dry-run', '--Werror']), ...sources]);
step('biome', bin('biome'), ['check', '--error-on-warnings', ...(fix ? ['--write'] : [])]);
step('types', process.execPath, [
  join(root, 'node_modules/typescript/bin/tsc'),
  '-p',
  root,
  '--noEmit',
  '--incremental',
  'false',
]);
// Not before the npm packages are there.
const { workflowProblems } = await import('./workflows.mjs');
for (const [name, problems] of [
  ['floors', floorProblems(root)],
  ['workflows', await workflowProblems(root)],
]) {
  for (const problem of problems) console.error(problem);
  console.log(`lint: ${name} ${problems.length === 0 ? 'ok' : 'FAILED'}`);
  failed ||= problems.length > 0;
}
process.exit(failed ? 1 : 0);
