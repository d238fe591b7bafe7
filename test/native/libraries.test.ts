// What the native libraries name (NEEDED) and import, read with binutils; skipped where there are none.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const binaries = join(root, 'build', 'Release');
/** What `npm run check:cuda` builds. */
const cudaBinaries = join(root, 'build-cuda');
const hasBinutils = spawnSync('readelf', ['--version']).status === 0;

function dynamicSection(file: string): string {
  const { status, stdout, stderr } = spawnSync('readelf', ['-dW', file], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The libraries that a file needs, without those of the compiler and the C library. */
function needed(file: string): string[] {
  const all = [...dynamicSection(file).matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name = '']) => name);
  assert.ok(all.includes('libc.so.6'), `${file} needs ${all}`);
  const system = /^(libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+|ld-linux-x86-64)\.so\.\d+$/;
  return all.filter((name) => !system.test(name)).sort();
}

function skipWithout(context: TestContext, folder: string): boolean {
  if (hasBinutils && existsSync(join(folder, 'spikenode.node'))) return false;
  context.skip(
    hasBinutils ? `'${folder}' is not built ('npm run check:cuda' does it)` : 'there is no readelf in PATH',
  );
  return true;
}

for (const folder of [binaries, cudaBinaries]) {
  test(`the core names no CUDA library, so one addon serves every machine: ${folder}`, (context) => {
    if (skipWithout(context, folder)) return;
    const libtorch = ['libc10.so', 'libgomp.so.1', 'libtorch_cpu.so'];
    assert.deepEqual(needed(join(folder, 'loader.node')), []);
    assert.deepEqual(needed(join(folder, 'libspikenode.so')), libtorch);
    assert.deepEqual(needed(join(folder, 'spikenode.node')), [...libtorch, 'libspikenode.so'].sort());
    for (const name of ['loader.node', 'libspikenode.so', 'spikenode.node']) {
      const section = dynamicSection(join(folder, name));
      // Opened by absolute path; a wrong libtorch fails at once; never unloaded.
      assert.doesNotMatch(section, /\((RPATH|RUNPATH)\)/, name);
      assert.match(section, /\(FLAGS_1\).*NOW.*NODELETE/, name);
    }
  });
}

test('libspikenode_cuda is what names the CUDA libraries', (context) => {
  if (skipWithout(context, cudaBinaries)) return;
  const names = needed(join(cudaBinaries, 'libspikenode_cuda.so'));
  const runtime = names.filter((name) => /^libcudart\.so\.\d+$/.test(name));
  assert.equal(runtime.length, 1, `${names}`);
  assert.deepEqual(
    names.filter((name) => !runtime.includes(name)),
    ['libc10.so', 'libc10_cuda.so', 'libtorch_cpu.so', 'libtorch_cuda.so'],
  );
});

test('the committed list of what is imported from libtorch is current', (context) => {
  if (skipWithout(context, binaries)) return;
  const script = join(root, 'scripts', 'check-symbols.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--current'], { encoding: 'utf8' });
  // Other compilers inline otherwise, and another minor has other names.
  if (status === 3) return context.skip(stdout.trim());
  assert.equal(status, 0, `node scripts/check-symbols.mjs --write\n${stdout}${stderr}`);
});
