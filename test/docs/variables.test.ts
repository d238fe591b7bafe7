// docs/install.md lists every variable of the environment that is read, and no other.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../lib/native/platform.js';

const root = packageRoot();

/** The variables that the sources below a folder read. */
function readBelow(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|cc|h|cu|cuh)$/.test(name))
    .flatMap((name) => [...readFileSync(join(root, folder, name), 'utf8').matchAll(pattern)])
    .map(([, name = '']) => name);
}

test('docs/install.md has a row for each variable that is read', () => {
  const read = new Set([
    ...readBelow('lib', /\benv\[?\.?'?(SPIKENODE_\w+)/g),
    ...readBelow('native', /getenv\("(SPIKENODE_\w+)"\)/g),
  ]);
  assert.ok(read.has('SPIKENODE_LIBTORCH') && read.has('SPIKENODE_ISA'));
  const page = readFileSync(join(root, 'docs', 'install.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `(SPIKENODE_\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(listed, [...read].sort());
});
