import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../lib/native/platform.js';

interface Symbols {
  needed: string[];
  searchPaths: string[];
  bindsNow: boolean;
  staysLoaded: boolean;
  imports: { name: string; version: string | null }[];
  exports: { name: string; bind: string }[];
}

interface Elf {
  parseReadelf(text: string): Symbols;
  highestVersion(imports: Symbols['imports'], library: string): { version: string; symbols: string[] } | null;
  elfProblems(name: string, elf: Symbols, expected: string[]): string[];
  limitProblems(name: string, imports: Symbols['imports'], limits: Record<string, string>): string[];
  buildPaths(bytes: Buffer, folders: string[]): string[];
}

type Manifest = Record<string, unknown>;

interface Contents {
  unexpectedFiles(name: string, files: string[]): string[];
  mainManifest(source: Manifest): Manifest;
  binariesManifest(source: Manifest): Manifest;
  libtorchManifest(source: Manifest, torch: string): Manifest;
}

const root = packageRoot();
const load = (name: string): Promise<unknown> => import(pathToFileURL(join(root, 'scripts', name)).href);
const source = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

const readelf = `
Dynamic section at offset 0x8da8 contains 30 entries:
  Tag        Type                         Name/Value
 0x0000000000000001 (NEEDED)             Shared library: [libc10.so]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000001d (RUNPATH)            Library runpath: [/build/lib]
 0x000000006ffffffb (FLAGS_1)            Flags: NOW NODELETE

Symbol table '.dynsym' contains 8 entries:
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND
     1: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND dlopen@GLIBC_2.34 (5)
     2: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND memcpy@GLIBC_2.14 (6)
     3: 0000000000000000     0 FUNC    WEAK   DEFAULT  UND __cxa_finalize@GLIBC_2.2.5 (7)
     4: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND napi_throw
     5: 0000000000001a20    71 FUNC    GLOBAL DEFAULT   14 napi_register_module_v1
     6: 0000000000009018     0 NOTYPE  GLOBAL DEFAULT   24 _end
     7: 0000000000001b00    32 FUNC    WEAK   DEFAULT   14 _ZN9spikenode4leakEv
     8: 0000000000001c00    32 OBJECT  UNIQUE DEFAULT   14 _ZZN3c1010Dispatcher9singletonEvE1s
`;

test('what a library needs and shows is read from readelf', async () => {
  const { parseReadelf, highestVersion } = (await load('package/elf.mjs')) as Elf;
  const elf = parseReadelf(readelf);
  assert.deepEqual(elf.needed, ['libc10.so', 'libc.so.6']);
  assert.deepEqual(elf.searchPaths, ['/build/lib']);
  assert.ok(elf.bindsNow && elf.staysLoaded);
  assert.deepEqual(
    elf.imports.map(({ name, version }) => `${name} ${version}`),
    ['dlopen GLIBC_2.34', 'memcpy GLIBC_2.14', '__cxa_finalize GLIBC_2.2.5', 'napi_throw null'],
  );
  assert.equal(elf.exports.length, 4);
  assert.deepEqual(highestVersion(elf.imports, 'GLIBC'), { version: '2.34', symbols: ['dlopen'] });
  assert.equal(highestVersion(elf.imports, 'GLIBCXX'), null);
});

test('exports of our own, search paths and newer symbols are problems', async () => {
  const { parseReadelf, elfProblems, limitProblems } = (await load('package/elf.mjs')) as Elf;
  const elf = parseReadelf(readelf);
  const expected = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
  assert.deepEqual(elfProblems('a.node', elf, expected), [
    "a.node has the search path '/build/lib' (RPATH)",
    'a.node does not export node_api_module_get_api_version_v1',
    'a.node exports _ZN9spikenode4leakEv of our own code, which is to be hidden',
  ]);
  assert.deepEqual(limitProblems('a.node', elf.imports, { GLIBC: '2.28', GLIBCXX: '3.4.25' }), [
    'a.node needs GLIBC 2.34, more than 2.28: dlopen (GLIBC_2.34)',
  ]);
  assert.deepEqual(limitProblems('a.node', elf.imports, { GLIBC: '2.34' }), []);
  const lazy = parseReadelf(readelf.replace('NOW NODELETE', 'PIE'));
  assert.match(elfProblems('a.node', lazy, expected)[0]!, /not linked with -z now/);
});

test('paths of the machine that built a file are found, those of the system are not', async () => {
  const { buildPaths } = (await load('package/elf.mjs')) as Elf;
  const text =
    'at \0/srv/ci/native/ops/lif.cc\0/usr/include/c++/12/bits/stl_vector.h\0native/cpu/lif.cc\0/data/me/x\0';
  assert.deepEqual(buildPaths(Buffer.from(text), ['/data/me', '/elsewhere']), [
    '/data/me',
    '/srv/ci/native/ops/lif.cc',
  ]);
});

test('tests, sources of elsewhere and secrets do not get into a package', async () => {
  const { unexpectedFiles } = (await load('package/contents.mjs')) as Contents;
  const good = [
    'package.json',
    'dist/lib/index.js',
    'dist/lib/index.d.ts',
    'lib/index.ts',
    'native/ops/lif.cc',
    'docs/a/b.md',
  ];
  const bad = [
    '.npmrc',
    'dist/lib/index.js.map',
    'dist/test/a.js',
    'lib/a.test.ts',
    'examples/test/a.ts',
    'native/core',
  ];
  assert.deepEqual(unexpectedFiles('spikenode', [...good, ...bad]), bad);
  const libtorch = ['lib/libc10.so', 'licenses/pytorch/third_party/x/test/LICENSE', 'lib/libtorch_python.so'];
  assert.deepEqual(unexpectedFiles('@spikenode/libtorch-linux-x64', libtorch), ['lib/libtorch_python.so']);
});

test('published manifests run no script, and ask for exact versions of each other', async () => {
  const { mainManifest, binariesManifest, libtorchManifest } = (await load(
    'package/contents.mjs',
  )) as Contents;
  const main = mainManifest(source);
  for (const key of ['scripts', 'devDependencies', 'binary', 'private', 'files'])
    assert.ok(!(key in main), key);
  assert.deepEqual(main['optionalDependencies'], {
    '@spikenode/linux-x64': source['version'],
    '@spikenode/libtorch-linux-x64': source['version'],
  });
  assert.equal(main['gypfile'], false);
  assert.throws(
    () => mainManifest({ ...source, dependencies: { zod: '^4.0.0' } }),
    /must be exact: zod \^4\.0\.0/,
  );
  for (const manifest of [binariesManifest(source), libtorchManifest(source, '2.13.0')]) {
    assert.equal(manifest['version'], source['version']);
    assert.deepEqual([manifest['os'], manifest['cpu'], manifest['libc']], [['linux'], ['x64'], ['glibc']]);
    assert.equal(manifest['preferUnplugged'], true);
    assert.ok(!('scripts' in manifest) && !('dependencies' in manifest));
  }
});

test('the scripts of a release say what is wrong with their arguments', () => {
  const run = (...args: string[]): string => {
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
    assert.equal(status, 1);
    return stderr;
  };
  assert.match(
    run('scripts/test-install.mjs', 'nowhere'),
    /^test:install: no case 'nowhere'; there are npm, /,
  );
  const empty = join(root, 'data');
  assert.ok(readdirSync(empty).every((name) => !name.endsWith('.tgz')));
  assert.match(
    run('scripts/test-install.mjs', '--packages', empty),
    /has no spikenode-linux-x64-.*; run 'npm run package'/,
  );
});
