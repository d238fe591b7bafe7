import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const example = join(root, 'examples', 'python', 'lif.py');
const binaries = join(root, 'build', 'Release');
const python = process.env['SPIKENODE_TEST_PYTHON'] || 'python3';

/** Why the example cannot run here, or null. */
function obstacle(): string | null {
  const found = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  if (found.status !== 0) return `'${python}' has no torch (SPIKENODE_TEST_PYTHON names another Python)`;
  if (!existsSync(join(binaries, 'libspikenode.so'))) return `'${binaries}' has no libspikenode.so`;
  const { torch } = JSON.parse(readFileSync(join(binaries, 'build.json'), 'utf8')) as { torch: string };
  const minor = `${torch.split('.').slice(0, 2).join('.')}.`;
  return found.stdout.startsWith(minor)
    ? null
    : `'${python}' has torch ${found.stdout.trim()}, the build is for ${minor}*`;
}

test('Python runs the LIF operator with the gradients of a plain loop, without Node', (context) => {
  const reason = obstacle();
  if (reason !== null) return context.skip(reason);
  // The folder of the interpreter only, so that no Node is in PATH.
  const env = { PATH: '/usr/bin:/bin', HOME: tmpdir() };
  const given = spawnSync(python, [example, join(binaries, 'libspikenode.so')], {
    cwd: tmpdir(),
    env,
    encoding: 'utf8',
  });
  assert.equal(given.status, 0, given.stdout + given.stderr);
  for (const dtype of ['float32', 'float64'])
    for (const name of ['spikes', 'membrane', 'grad x', 'grad v'])
      assert.match(given.stdout, new RegExp(`torch\\.${dtype} ${name} .*largest difference`));
  assert.match(given.stdout, /gradcheck: True\nthe operator and the plain loop agree\n$/);
  assert.equal(given.stderr, '');
});
