// What a shared library asks of the machine it is loaded on, and what it shows of itself, read with binutils.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { compareVersions } from '../../dist/lib/native/platform.js';

/** Runs a program of binutils; throws what it says. */
export function binutils(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 30 });
  if (result.status === 0) return result.stdout;
  const reason = result.error?.code === 'ENOENT' ? 'it is not installed (package binutils)' : result.stderr;
  throw new Error(`'${command} ${args.join(' ')}' failed: ${reason}`);
}

/** Reads the output of `readelf -W -d --dyn-syms`. */
export function parseReadelf(text) {
  const dynamic = (tag) =>
    [...text.matchAll(new RegExp(`\\(${tag}\\).*?\\[(.*)\\]`, 'g'))].map((match) => match[1]);
  const imports = [];
  const exports = [];
  const symbol = /^\s*\d+: [0-9a-f]+\s+\S+ (\S+)\s+(GLOBAL|WEAK|UNIQUE)\s+(\S+)\s+(\S+) (\S+)/gm;
  for (const [, , bind, visibility, section, name] of text.matchAll(symbol)) {
    const [plain, version] = name.split(/@+/);
    if (section === 'UND') imports.push({ name: plain, version: version ?? null });
    else if (visibility === 'DEFAULT' || visibility === 'PROTECTED') exports.push({ name: plain, bind });
  }
  return {
    needed: dynamic('NEEDED'),
    searchPaths: [...dynamic('RPATH'), ...dynamic('RUNPATH')],
    bindsNow: /\(FLAGS_1\).*\bNOW\b/.test(text),
    staysLoaded: /\(FLAGS_1\).*\bNODELETE\b/.test(text),
    imports,
    exports,
  };
}

/** As `parseReadelf`, of a file. */
export function readElf(file) {
  return parseReadelf(binutils('readelf', ['-W', '-d', '--dyn-syms', file]));
}

/** The highest symbol version of a library such as `GLIBC` that is imported, and what is imported with it; null for none. */
export function highestVersion(imports, library) {
  let highest = null;
  for (const { name, version } of imports) {
    const number = version?.match(/^([A-Z]+)_([0-9.]+)$/);
    if (number?.[1] !== library) continue;
    const order = highest === null ? 1 : compareVersions(number[2], highest.version);
    if (order > 0) highest = { version: number[2], symbols: [name] };
    else if (order === 0) highest.symbols.push(name);
  }
  return highest;
}

// Of the linker, in every library.
const LINKER_SYMBOLS = new Set(['__bss_start', '_edata', '_end', '_init', '_fini']);

/**
 * What is wrong with one of our binaries, a sentence each. `expected` are the symbols that it must export; weak and unique
 * ones may come from inline code of other headers, never from ours.
 */
export function elfProblems(name, elf, expected) {
  const problems = [];
  if (!elf.bindsNow || !elf.staysLoaded) problems.push(`${name} is not linked with -z now and -z nodelete`);
  for (const path of elf.searchPaths) problems.push(`${name} has the search path '${path}' (RPATH)`);
  const strong = elf.exports.filter(
    ({ bind, name: symbol }) => bind === 'GLOBAL' && !LINKER_SYMBOLS.has(symbol),
  );
  for (const symbol of expected)
    if (!strong.some((found) => found.name === symbol)) problems.push(`${name} does not export ${symbol}`);
  for (const { name: symbol } of strong)
    if (!expected.includes(symbol)) problems.push(`${name} exports ${symbol}, which is to be hidden`);
  for (const { name: symbol, bind } of elf.exports)
    if (bind !== 'GLOBAL' && symbol.includes('9spikenode'))
      problems.push(`${name} exports ${symbol} of our own code, which is to be hidden`);
  return problems;
}

/** Absolute paths of the machine that built it, and of source files anywhere but in /usr. */
export function buildPaths(bytes, folders) {
  const text = bytes.toString('latin1');
  const sources = [...text.matchAll(/\/[\w.+-]+(?:\/[\w.+-]+)+\.(?:h|hpp|cuh|cu|cc|cpp)\b/g)]
    .filter((match) => !/[\w.+-]/.test(text[match.index - 1] ?? ''))
    .map((match) => match[0])
    .filter((path) => !path.startsWith('/usr/'));
  return [...new Set([...folders.filter((folder) => text.includes(folder)), ...sources])];
}

/** Imports that ask for more than the given versions, a sentence for each library. */
export function limitProblems(name, imports, limits) {
  return Object.entries(limits).flatMap(([library, limit]) => {
    const found = highestVersion(imports, library);
    if (found === null || compareVersions(found.version, limit) <= 0) return [];
    const symbols = imports
      .filter(({ version }) => version?.startsWith(`${library}_`))
      .filter(({ version }) => compareVersions(version.slice(library.length + 1), limit) > 0)
      .map((symbol) => `${symbol.name} (${symbol.version})`);
    return [`${name} needs ${library} ${found.version}, more than ${limit}: ${symbols.join(', ')}`];
  });
}

/** All that is wrong with one file of ours. */
export function fileProblems(file, expected, folders, limits) {
  const name = basename(file);
  const elf = readElf(file);
  const paths = buildPaths(readFileSync(file), folders);
  return [
    ...elfProblems(name, elf, expected),
    ...paths.slice(0, 3).map((path) => `${name} contains the build path '${path}'`),
    ...limitProblems(name, elf.imports, limits),
  ];
}
