// The declarations as a user's compiler reads them: in a project of its own, with nothing skipped.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../lib/native/platform.js';

const root = packageRoot();
const base = mkdtempSync(join(tmpdir(), 'spikenode-types-'));
after(() => rmSync(base, { recursive: true }));

const names = readFileSync(join(root, 'test', 'types', 'exports.txt'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => line.replace(/ .*/, ''))
  .filter((name) => !name.includes('.'));

function compile(folder: string, source: string, options: object): string {
  const project = join(base, folder);
  mkdirSync(join(project, 'node_modules'), { recursive: true });
  symlinkSync(root, join(project, 'node_modules', 'spikenode'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(project, 'main.ts'), source);
  const compilerOptions = {
    target: 'ES2022',
    module: 'nodenext',
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    ...options,
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { stdout, stderr } = spawnSync(process.execPath, [tsc, '-p', '.'], {
    cwd: project,
    encoding: 'utf8',
  });
  return stdout + stderr;
}

const everything = `import { ${names.join(', ')} } from 'spikenode';\n`;

test('an empty project compiles with all names, without the declarations of Node', () => {
  assert.equal(compile('strict', everything, {}), '');
});

test('so it does with the strictest options, and may dispose of tensors', () => {
  const use = `
    export function sums(values: readonly number[]): number[] {
      using x = tensor(values);
      const options: TensorOptions = { dtype: 'float64' };
      return [x.sum().item() as number, tensor([1], options).numel];
    }\n`;
  const strictest = {
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noPropertyAccessFromIndexSignature: true,
    isolatedModules: true,
  };
  assert.equal(
    compile('strictest', `import { tensor, type TensorOptions } from 'spikenode';\n${use}`, strictest),
    '',
  );
});

test('errors of such a project are seen', () => {
  assert.match(
    compile('wrong', `import { LIFNod } from 'spikenode';\n`, {}),
    /has no exported member .*LIFNod/,
  );
});
