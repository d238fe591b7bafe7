import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const index = new URL('../../lib/index.js', import.meta.url).href;

const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;

// Tells on stderr of every module that is imported or required, and of libtorch, if the process has it mapped at its end.
const watch = dataUrl(`
  import { readFileSync, writeSync } from 'node:fs';
  import { createRequire, register } from 'node:module';
  register(${JSON.stringify(
    dataUrl(`
      import { writeSync } from 'node:fs';
      export async function load(url, context, next) {
        writeSync(2, 'module ' + url + '\\n');
        return next(url, context);
      }`),
  )});
  process.on('exit', () => {
    for (const path of Object.keys(createRequire('/').cache)) writeSync(2, 'module ' + path + '\\n');
    if (readFileSync('/proc/self/maps', 'utf8').includes('libtorch_cpu')) writeSync(2, 'libtorch\\n');
  });`);

function run(args: readonly string[]): {
  readonly out: string;
  readonly modules: string[];
  readonly hasLibtorch: boolean;
} {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', watch, ...args], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const lines = stderr.trim().split('\n');
  const modules = lines.flatMap((line) => (line.startsWith('module ') ? [line.slice('module '.length)] : []));
  return { out: stdout, modules, hasLibtorch: lines.includes('libtorch') };
}

const packages = /node_modules\/(?:zod|undici|yauzl|smol-toml|toml-eslint-parser|cli-progress)\//;

test('what is watched is seen', () => {
  const { modules, hasLibtorch } = run([
    '--input-type=module',
    '-e',
    `const s = await import('${index}'); s.ones([1]); new s.LIFNode();`,
  ]);
  assert.ok(hasLibtorch);
  assert.ok(
    modules.some((path) => path.includes('/node_modules/zod/')),
    modules.join('\n'),
  );
});

test('help and version load neither libtorch nor a package that they do not need', () => {
  for (const option of ['--help', '--version']) {
    const { out, modules, hasLibtorch } = run([main, option]);
    assert.notEqual(out, '');
    assert.ok(modules.some((path) => path.endsWith('/lib/cli/main.js')));
    assert.deepEqual(
      modules.filter((path) => packages.test(path)),
      [],
    );
    // Nor the library itself: the command line stands beside it.
    assert.deepEqual(
      modules.filter((path) => /\/lib\/(?:tensor|nn|training|experiment)\//.test(path)),
      [],
    );
    assert.equal(hasLibtorch, false);
  }
});

test('importing the package loads no package and not libtorch', () => {
  const { modules, hasLibtorch } = run(['--input-type=module', '-e', `await import('${index}')`]);
  assert.ok(modules.some((path) => path.endsWith('/lib/index.js')));
  assert.deepEqual(
    modules.filter((path) => path.includes('/node_modules/')),
    [],
  );
  assert.equal(hasLibtorch, false);
});
