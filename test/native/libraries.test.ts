// What the native libraries name (NEEDED) and import, read with binutils; skipped where there are none.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspectBinaries } from '../../lib/native/binaries.js';
import { type Choice, choose } from '../../lib/native/choose.js';
import { librariesOf } from '../../lib/native/libraries.js';
import { inspectLibtorch } from '../../lib/native/libtorch.js';
import { cacheRoot } from '../../lib/native/platform.js';

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
  if (hasBinutils && existsSync(join(folder, 'build.json'))) return false;
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

/**
 * Each library after what it needs, and nothing needed that is not opened, so that rpaths need not be right; but for
 * libtorch_nvshmem, which cannot be opened by itself.
 */
function checkOrder(choice: Choice): string[] {
  const paths = librariesOf(choice);
  const names = paths.map((path) => basename(path));
  for (const [i, path] of paths.entries())
    for (const name of needed(path).filter((one) => one !== 'libutil.so.1' && one !== 'libtorch_nvshmem.so'))
      assert.ok(names.indexOf(name) >= 0 && names.indexOf(name) < i, `${names[i]} needs ${name}: ${names}`);
  return names;
}

test('libraries are opened after what they need: a CPU build', (context) => {
  if (skipWithout(context, binaries)) return;
  const { choice } = choose();
  assert.ok(choice);
  const libtorch = ['libgomp.so.1', 'libc10.so', 'libtorch_cpu.so'];
  if (choice.libtorch.cuda !== null) return context.skip(`'${choice.libtorch.folder}' is a CUDA build`);
  assert.deepEqual(checkOrder(choice), [...libtorch, 'libspikenode.so']);
});

test('libraries are opened after what they need: a CUDA build, with and without its CUDA part', (context) => {
  if (skipWithout(context, cudaBinaries)) return;
  const libtorch = inspectLibtorch(
    join(cacheRoot(), 'libtorch', 'cuda-2.14.1', 'site-packages', 'torch'),
    'check:cuda',
  );
  const choice = { binaries: inspectBinaries(cudaBinaries, 'check:cuda'), libtorch };
  const all = checkOrder({ ...choice, withCuda: true });
  assert.ok(all.includes('libtorch_cuda.so') && all.at(-1) === 'libspikenode_cuda.so', `${all}`);
  const base = ['libgomp.so.1', 'libcudart.so.13', 'libcupti.so.13', 'libc10.so', 'libtorch_cpu.so'];
  assert.deepEqual(checkOrder({ ...choice, withCuda: false }), [...base, 'libspikenode.so']);
});

test('another patch release of the minor is used, another minor is not', (context) => {
  const { choice } = choose();
  assert.ok(choice);
  const { torch } = choice.binaries;
  const [major, minor, patch] = torch.split('.').map(Number);
  const scratch = mkdtempSync(join(tmpdir(), 'spikenode-patch-'));
  context.after(() => rmSync(scratch, { recursive: true }));
  const load = (version: string): { status: number | null; stdout: string } => {
    // The same libraries in a folder that says another version.
    const folder = join(scratch, version);
    mkdirSync(folder);
    symlinkSync(join(choice.libtorch.folder, 'lib'), join(folder, 'lib'));
    writeFileSync(join(folder, 'version.json'), JSON.stringify({ torch: version, cuda: null }));
    const tensors = new URL('../../lib/tensor/index.js', import.meta.url).href;
    const script = `const t = await import('${tensors}');
      try { console.log(t.ones([2]).sum().item()); } catch (error) { console.log(error.name, error.message); }`;
    const env = { ...process.env, SPIKENODE_LIBTORCH: folder, SPIKENODE_BINARIES: choice.binaries.folder };
    const options = { encoding: 'utf8', env: { ...env, SPIKENODE_PROBE: 'off' } } as const;
    return spawnSync(process.execPath, ['--input-type=module', '-e', script], options);
  };
  assert.equal(load(`${major}.${minor}.${patch! + 1}`).stdout, '2\n');
  const other = load(`${major}.${minor! + 1}.0`).stdout;
  assert.match(other, /^NativeLoadError /);
  assert.ok(other.includes(`torch ${major}.${minor! + 1}.0`), other);
});

test('a libtorch that says nothing, or something wrong, is asked itself', (context) => {
  const folder = join(cacheRoot(), 'libtorch', 'cuda-2.14.1', 'site-packages', 'torch');
  if (!existsSync(folder))
    return context.skip('there is no second libtorch (npm run check:cuda obtains one)');
  const { choice } = choose();
  assert.ok(choice);
  const other = inspectLibtorch(folder, 'check:cuda');
  if (other.version?.startsWith(`${choice.binaries.torch.split('.').slice(0, 2).join('.')}.`))
    return context.skip('both libtorch are of one minor');
  const scratch = mkdtempSync(join(tmpdir(), 'spikenode-liar-'));
  context.after(() => rmSync(scratch, { recursive: true }));
  // Every symbol that the binaries import is there, so nothing else would notice.
  mkdirSync(join(scratch, 'torch'));
  symlinkSync(join(folder, 'lib'), join(scratch, 'torch', 'lib'));
  symlinkSync(join(folder, '..', 'nvidia'), join(scratch, 'nvidia'));
  const text = JSON.stringify({ torch: choice.binaries.torch, cuda: null });
  writeFileSync(join(scratch, 'torch', 'version.json'), text);
  const tensors = new URL('../../lib/tensor/index.js', import.meta.url).href;
  const script = `const t = await import('${tensors}');
    try { t.ones([2]); console.log('loaded'); } catch (error) { console.log(error.name, error.message); }`;
  const env = {
    ...process.env,
    SPIKENODE_LIBTORCH: join(scratch, 'torch'),
    SPIKENODE_BINARIES: choice.binaries.folder,
    SPIKENODE_DEVICE: 'cpu',
    SPIKENODE_PROBE: 'off',
  };
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env,
  });
  assert.match(stdout, /^NativeLoadError .*is torch 2\.14\.1/);
});

test('the committed list of what is imported from libtorch is current', (context) => {
  if (skipWithout(context, binaries)) return;
  const script = join(root, 'scripts', 'check-symbols.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--current'], { encoding: 'utf8' });
  // Other compilers inline otherwise, and another minor has other names.
  if (status === 3) return context.skip(stdout.trim());
  assert.equal(status, 0, `node scripts/check-symbols.mjs --write\n${stdout}${stderr}`);
});
