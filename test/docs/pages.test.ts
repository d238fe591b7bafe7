import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../lib/native/platform.js';
import type { ParameterTable } from '../../lib/parameters.js';
import { surrogates } from '../../lib/surrogate/index.js';
import { optimizers, schedulers } from '../../lib/training/index.js';

// What the pages say of themselves and of the parameters must be so.

const root = packageRoot();
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

// As GitHub makes it of a heading.
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

for (const page of pages) {
  test(`${page}: links lead somewhere`, () => {
    for (const [, target = ''] of textOf(page).matchAll(/\]\(([^)]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const path = file === '' ? page : join(dirname(page), file);
      assert.ok(existsSync(join(root, path)), `${page}: ${target}`);
      if (anchor === undefined) continue;
      const anchors = [...textOf(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));
      assert.ok(anchors.includes(anchor), `${page}: ${target}`);
    }
  });
}

// The second cell of the row of a class.
function cellOf(page: string, name: string): string {
  const row = textOf(page).match(new RegExp(`^\\| \`${name}\` \\|([^|]*)\\|`, 'm'));
  assert.ok(row, `${page} has no row for ${name}`);
  return row[1] ?? '';
}

function parsed(text: string): unknown {
  const [, over, under] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  return over === undefined ? JSON.parse(text) : Number(over) / Number(under);
}

// Accepted for PyTorch's configurations, for functions, or what every one of them has.
const unlisted = new Set(['foreach', 'fused', 'capturable', 'differentiable', 'scale_fn', 'spiking']);

function checkCell(cell: string, table: ParameterTable, isInCode: boolean, what: string): void {
  const entries = Object.entries(table).filter(([, { toml }]) => !unlisted.has(toml));
  const names = entries.map(([name, { toml }]) => (isInCode ? name : toml));
  for (const [, name = ''] of cell.matchAll(/`(\w+)`/g)) {
    assert.ok(names.includes(name), `${what} has no parameter ${name}`);
  }
  for (const [i, [, { check }]] of entries.entries()) {
    const name = names[i]!;
    assert.ok(cell.includes(`\`${name}\``), `${what}: ${name} is not there`);
    const outcome = check.safeParse(undefined);
    if (outcome.success && outcome.data === null) continue;
    const [, told = ''] = cell.match(new RegExp(`\`${name}\` (\\[[^\\]]*\\]|"[^"]*"|[\\w./+-]+)`)) ?? [];
    if (!outcome.success) assert.equal(told, 'required', `${what}: ${name}`);
    else assert.deepEqual(parsed(told), outcome.data, `${what}: ${name}`);
  }
}

test('docs/experiments.md has all optimizers and schedulers with their parameters and defaults', () => {
  for (const registry of [optimizers, schedulers]) {
    for (const name of registry.names()) {
      const { parameters } = registry.find(name, []);
      checkCell(cellOf('docs/experiments.md', name), parameters, false, name);
    }
  }
});

test('docs/neurons.md has all surrogates with their parameters and defaults', () => {
  for (const name of surrogates.names()) {
    checkCell(cellOf('docs/neurons.md', name), surrogates.find(name, []).parameters, true, name);
  }
});
