import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findLibtorch } from '../../lib/native/libtorch.js';
import { packageRoot } from '../../lib/native/platform.js';
import { defaultThreadCount } from '../../lib/native/threads.js';

const library = new URL('../../lib/tensor/index.js', import.meta.url).href;
const binaries = join(packageRoot(), 'build', 'Release');
const scratch = mkdtempSync(join(tmpdir(), 'spikenode-loader-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function run(
  body: string,
  env: Record<string, string>,
): { status: number | null; stdout: string; stderr: string } {
  const script = `const t = await import('${library}'); try { ${body} } catch (e) { console.log(e.name, e.code); console.log(e.message); }`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { status: result.status, stdout: result.stdout, stderr: result.stderr };
}

test('a folder without libtorch is a NativeLoadError that names it and the cure', () => {
  const result = run('t.ones([1])', { SPIKENODE_LIBTORCH: scratch });
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /^NativeLoadError ERR_SPIKENODE_NATIVE_LOAD\n/);
  assert.ok(result.stdout.includes(scratch) && result.stdout.includes('SPIKENODE_LIBTORCH'), result.stdout);
});

test('missing binaries are a NativeLoadError', () => {
  const result = run('t.ones([1])', { SPIKENODE_BINARIES: join(scratch, 'none') });
  assert.match(result.stdout, /NativeLoadError[\s\S]*npm run setup/);
});

test('a truncated libtorch is a NativeLoadError, not a crash', () => {
  const lib = join(scratch, 'truncated', 'lib');
  mkdirSync(lib, { recursive: true });
  for (const name of ['libtorch_cpu.so', 'libc10.so', 'libgomp.so.1'])
    writeFileSync(join(lib, name), 'not an ELF file');
  const result = run('t.ones([1])', { SPIKENODE_LIBTORCH: join(scratch, 'truncated') });
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /could not be opened/);
});

test('libtorch works from another folder, found by absolute path', () => {
  const [candidate] = findLibtorch();
  const moved = join(scratch, 'moved here');
  mkdirSync(moved);
  symlinkSync(join(candidate?.folder ?? '', 'lib'), join(moved, 'lib'));
  const result = run('console.log(t.ones([2]).sum().item())', {
    SPIKENODE_LIBTORCH: moved,
    LD_LIBRARY_PATH: '',
  });
  assert.equal(result.stdout, '2\n', result.stderr);
});

test('a second copy of our operators in one process is refused with both paths', () => {
  const copy = join(scratch, 'copy');
  mkdirSync(copy);
  for (const name of ['libspikenode.so', 'loader.node', 'spikenode.node'])
    copyFileSync(join(binaries, name), join(copy, name));
  const second = `
    t.ones([1]);
    process.env.SPIKENODE_BINARIES = ${JSON.stringify(copy)};
    const again = await import('${new URL('../../lib/native/loader.js', import.meta.url).href}?second');
    again.nativeAddon();`;
  const result = run(second, {});
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /^NativeLoadError/);
  assert.ok(result.stdout.includes(copy) && result.stdout.includes(binaries), result.stdout);
});

test('importing the package does not load libtorch', () => {
  const result = run(
    `const { readFileSync } = await import('node:fs'); console.log(readFileSync('/proc/self/maps', 'utf8').includes('libtorch_cpu'));`,
    {},
  );
  assert.equal(result.stdout, 'false\n', result.stderr);
});

test('the thread count follows SPIKENODE_NUM_THREADS', () => {
  assert.equal(run('console.log(t.getNumThreads())', { SPIKENODE_NUM_THREADS: '1' }).stdout, '1\n');
  assert.match(run('t.ones([1])', { SPIKENODE_NUM_THREADS: 'many' }).stdout, /SPIKENODE_NUM_THREADS/);
  assert.ok(defaultThreadCount() >= 1);
});
