// Runs the compiled tests, one process a file (node --test takes no globs before Node 21).
// `--long` adds *.long.test.js and the full counts; other words filter the paths.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const long = process.argv.includes('--long');
const filters = process.argv.slice(2).filter((word) => !word.startsWith('--'));

const files = readdirSync(join(root, 'dist', 'test'), { recursive: true })
  .map((name) => relative(root, join(root, 'dist', 'test', name)))
  .filter((name) => name.endsWith('.test.js') && (long || !name.endsWith('.long.test.js')))
  .filter((name) => filters.length === 0 || filters.some((word) => name.includes(word)))
  .sort();

if (files.length === 0) {
  console.error('test: no test file matches');
  process.exit(1);
}
const result = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...files], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, ...(long ? { SPIKENODE_TEST_LONG: '1' } : {}) },
});
process.exit(result.status ?? 1);
