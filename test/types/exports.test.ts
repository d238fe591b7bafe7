// The names that `spikenode` exports, so that a change of them is seen in review: `exports.txt` has a line for each.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as spikenode from '../../lib/index.js';
import { packageRoot } from '../../lib/native/platform.js';

const list = join(packageRoot(), 'test', 'types', 'exports.txt');
const entry = join(packageRoot(), 'dist', 'lib', 'index.d.ts');

type Kind = 'class' | 'function' | 'const' | 'type';

const declaration =
  /^export (?:declare )?(?:abstract )?(class|function|const|let|interface|type|enum) (\w+)/gm;
const passedOn = /^export (type )?(?:\*(?: as (\w+))?|\{([^}]*)\}) from '([^']+)';/gm;
const local = /^export (?:type )?\{[^}]*\w[^}]*\};/m;

function kindOf(word: string): Kind {
  if (word === 'class' || word === 'function') return word;
  return word === 'const' || word === 'let' ? 'const' : 'type';
}

/** What a declaration file exports, its own and what it passes on. The compiler writes few forms of it. */
function exportsOf(file: string): Map<string, Kind> {
  const text = readFileSync(file, 'utf8');
  assert.doesNotMatch(text, local, `${file}: a form of export that this test does not read`);
  const found = new Map<string, Kind>();
  for (const [, word = '', name = ''] of text.matchAll(declaration)) found.set(name, kindOf(word));
  for (const [, isType, namespace, names, target = ''] of text.matchAll(passedOn)) {
    const all = exportsOf(join(dirname(file), target.replace(/\.js$/, '.d.ts')));
    if (namespace !== undefined) {
      found.set(namespace, 'const');
      for (const [name, kind] of all) found.set(`${namespace}.${name}`, kind);
      continue;
    }
    if (names === undefined) {
      for (const [name, kind] of all) if (!isType || kind === 'type') found.set(name, kind);
      continue;
    }
    for (const one of names.split(',').map((part) => part.trim().replace(/^type /, ''))) {
      if (one === '') continue;
      const [name = '', alias = name] = one.split(' as ');
      const kind = all.get(name);
      assert.ok(kind, `${file}: ${name} is not in ${target}`);
      found.set(alias, kind);
    }
  }
  return found;
}

const found = exportsOf(entry);

test('the exported names are those of exports.txt', () => {
  const lines = [...found].map(([name, kind]) => `${name} ${kind}\n`).sort();
  if (process.argv.includes('--update')) writeFileSync(list, lines.join(''));
  const known = readFileSync(list, 'utf8');
  assert.equal(lines.join(''), known, '`node dist/test/types/exports.test.js --update` writes the new list');
});

test('what is read from the declarations is there at run time, and nothing else', () => {
  const declared = [...found].filter(([, kind]) => kind !== 'type').map(([name]) => name);
  const values: Record<string, unknown> = { ...spikenode };
  for (const [name, value] of Object.entries(spikenode.init)) values[`init.${name}`] = value;
  assert.deepEqual(declared.sort(), Object.keys(values).sort());
  for (const [name, kind] of found) {
    const value = values[name];
    if (kind === 'type') assert.equal(value, undefined, name);
    else assert.equal(typeof value === 'function', kind !== 'const', name);
  }
});

test('there is no default export', () => {
  assert.ok(!('default' in spikenode));
});
