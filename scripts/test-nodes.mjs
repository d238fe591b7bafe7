// Runs the compiled tests on several versions of Node with the same native build; words choose versions or filter tests:
//   npm run test:nodes -- 20.12.0 26.10.0 cli
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NODES, nodeProgram } from './nodes.mjs';
import { table } from './table.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const words = process.argv.slice(2);
const chosen = words.filter((word) => /^\d+\.\d+\.\d+$/.test(word));
const filters = words.filter((word) => !chosen.includes(word));
const logs = join(root, 'build', 'test-nodes');
mkdirSync(logs, { recursive: true });

let failed = false;
const rows = [];
for (const version of chosen.length > 0 ? chosen : NODES) {
  const node = nodeProgram(version);
  process.stderr.write(`test:nodes: Node ${version}\n`);
  const result = spawnSync(node, [join(root, 'scripts', 'test.mjs'), ...filters], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  const log = join(logs, `${version}.log`);
  writeFileSync(log, result.stdout + result.stderr);
  // The summary of `node --test`, as TAP before Node 23 and as text since.
  const count = (what) => result.stdout.match(new RegExp(`^(?:#|ℹ) ${what} (\\d+)$`, 'm'))?.[1] ?? '?';
  rows.push([
    version,
    ...['tests', 'pass', 'fail', 'skipped'].map(count),
    result.status === 0 ? 'ok' : `FAILED: ${log}`,
  ]);
  failed ||= result.status !== 0 || !(Number(count('pass')) > 0);
}
console.log(table([['Node', 'tests', 'pass', 'fail', 'skipped', ''], ...rows]));
process.exitCode = failed ? 1 : 0;
