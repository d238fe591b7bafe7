// The floors of docs/architecture.md: a file may import its own floor and lower ones, and native
// folders may include lower ones only.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';

// Lowest first; folders on one line share a floor.
const FLOORS = [
  ['errors.ts', 'parameters.ts', 'registry.ts'],
  ['native'],
  ['setup'],
  ['tensor'],
  ['nn'],
  ['surrogate', 'neuron', 'layer', 'encoding', 'quantization', 'monitor'],
  ['snn.ts'],
  ['models'],
  ['data'],
  ['training'],
  ['experiment'],
  ['cli'],
];
const NATIVE_FLOORS = [['neuron'], ['cpu', 'cuda'], ['ops'], ['node']];
// The package's face gathers every floor but the CLI.
const FREE = new Set(['index.ts']);

function floorOf(floors, path) {
  const first = path.split(sep)[0];
  return floors.findIndex((names) => names.includes(first));
}

function check(base, floors, extension, pattern, resolve) {
  const problems = [];
  const files = readdirSync(base, { recursive: true }).filter(
    (name) => extension.test(name) && !FREE.has(name),
  );
  for (const file of files) {
    const floor = floorOf(floors, file);
    if (floor < 0) {
      problems.push(`${join(base, file)}: no floor is known for it; name it in scripts/floors.mjs`);
      continue;
    }
    for (const match of readFileSync(join(base, file), 'utf8').matchAll(pattern)) {
      const target = resolve(file, match[1]);
      if (target === undefined) continue;
      const targetFloor = floorOf(floors, target);
      if (targetFloor > floor || FREE.has(target))
        problems.push(`${join(base, file)}: imports the higher floor '${target}'`);
    }
  }
  return problems;
}

/** One line per import of a higher floor. */
export function floorProblems(root) {
  const lib = check(
    join(root, 'lib'),
    FLOORS,
    /\.ts$/,
    /(?:from|import)\s*\(?\s*'(\.[^']*)'/g,
    (file, target) => normalize(join(dirname(file), target)).replace(/\.js$/, '.ts'),
  );
  const native = check(
    join(root, 'native'),
    [...NATIVE_FLOORS, ['loader', 'addon.cmake', 'build-json.cmake', 'operators.cmake']],
    /\.(h|cc|cu|cuh)$/,
    /#include "([^"]+)"/g,
    (file, target) => (target.includes('/') ? target : join(dirname(file), target)),
  );
  return [...lib, ...native].map(
    (line) => relative(root, line.split(': ')[0]) + line.slice(line.indexOf(': ')),
  );
}
