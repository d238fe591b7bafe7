// What our binaries import that nobody defines, for a libtorch that they were not built against: so a new patch release
// is checked before it comes to users. Names only: a struct that grew has the same symbols.
//   node scripts/check-symbols.mjs LIBTORCH [BINARIES]   the missing symbols; exit code 1 where there are any
//   node scripts/check-symbols.mjs --list [BINARIES]     what is imported from libtorch, demangled
//   node scripts/check-symbols.mjs --write | --current   writes that list to test/native, or compares (exit code 3: another
//                                                        compiler or minor than the list's, which say little about it)
// BINARIES is build/Release unless given. Needs nm, readelf and c++filt.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const OURS = ['spikenode.node', 'libspikenode.so', 'libspikenode_cuda.so'];

function run(command, args, input) {
  const result = spawnSync(command, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0)
    throw new Error(`'${command} ${args.join(' ')}' failed: ${result.error?.message ?? result.stderr}`);
  return result.stdout;
}

/** Symbols as nm prints them, `name` or `name@VERSION`; those that may stay undefined (weak) are left out. */
function symbols(file, option) {
  const lines = run('nm', ['-D', '--with-symbol-versions', option, file]).split('\n');
  return lines.flatMap((line) => {
    const found = /([A-Za-z]) (\S+)$/.exec(line);
    const isWeakImport = option === '--undefined-only' && found?.[1] !== 'U';
    return found === null || isWeakImport ? [] : [found[2].replace('@@', '@')];
  });
}

function needed(file) {
  return [...run('readelf', ['-dW', file]).matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]);
}

/** Path by SONAME of the system's libraries. */
function systemLibraries() {
  const ldconfig = ['/sbin/ldconfig', '/usr/sbin/ldconfig'].find((path) => existsSync(path)) ?? 'ldconfig';
  const lines = run(ldconfig, ['-p']).matchAll(/^\s+(\S+) \(libc6,x86-64.*\) => (\S+)$/gm);
  return new Map([...lines].map(([, name, path]) => [name, path]));
}

/** Folders with the libraries of a libtorch: its own, and those of the nvidia wheels beside it. */
function libraryFolders(libtorch) {
  const nvidia = join(libtorch, '..', 'nvidia');
  const wheels = existsSync(nvidia) ? readdirSync(nvidia).map((name) => join(nvidia, name, 'lib')) : [];
  return [join(libtorch, 'lib'), ...wheels];
}

/** Everything that a binary needs, directly or not, by SONAME: a path, or undefined where it is not there. */
function closure(file, folders, system) {
  const found = new Map();
  const waiting = needed(file);
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (found.has(name)) continue;
    const path =
      folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate)) ??
      system.get(name);
    found.set(name, path);
    if (path !== undefined) waiting.push(...needed(path));
  }
  return found;
}

/** What a file defines, with and without the version; a file is read once. */
const definitions = new Map();
function defines(path, symbol) {
  const file = realpathSync(path);
  if (!definitions.has(file)) {
    const names = symbols(file, '--defined-only');
    definitions.set(file, new Set([...names, ...names.map((name) => name.split('@')[0])]));
  }
  return definitions.get(file).has(symbol);
}

function demangled(names) {
  return names.length === 0 ? [] : run('c++filt', [], names.join('\n')).trimEnd().split('\n');
}

function binariesIn(folder) {
  const files = OURS.map((name) => join(folder, name)).filter((path) => existsSync(path));
  if (files.length === 0) throw new Error(`'${folder}' has none of ${OURS.join(', ')}`);
  return files;
}

/** Prints what a libtorch lacks; the number of symbols and libraries. */
function missing(libtorch, folder) {
  const system = systemLibraries();
  let count = 0;
  for (const file of binariesIn(folder)) {
    const libraries = closure(file, [folder, ...libraryFolders(libtorch)], system);
    const absent = [...libraries].filter(([, path]) => path === undefined).map(([name]) => name);
    // The interface of Node itself is defined by its executable.
    const providers = [...libraries.values(), process.execPath].filter((path) => path !== undefined);
    const imports = symbols(file, '--undefined-only');
    const lacking = imports.filter((symbol) => !providers.some((path) => defines(path, symbol)));
    console.log(
      `${file}: ${imports.length} symbols, ${lacking.length} missing; ${absent.length} libraries missing`,
    );
    for (const name of [...absent, ...demangled(lacking)]) console.log(`  ${name}`);
    count += lacking.length + absent.length;
  }
  return count;
}

/** What is imported from libtorch: neither versioned, as the symbols of the system's libraries are, nor Node's. */
function list(folder) {
  const imports = binariesIn(folder)
    .filter((file) => !file.endsWith('_cuda.so'))
    .flatMap((file) => symbols(file, '--undefined-only'))
    .filter((symbol) => !symbol.includes('@') && !/^(napi_|spikenode_)/.test(symbol));
  return demangled([...new Set(imports)]).sort();
}

function torchVersion(folder) {
  return JSON.parse(readFileSync(join(folder, 'build.json'), 'utf8')).torch;
}

/** The head of the list, which says what it was made of. */
function head(folder) {
  const compiler = /GCC: .*|.*clang version.*/.exec(
    run('readelf', ['-p', '.comment', join(folder, 'libspikenode.so')]),
  );
  return [
    '# What spikenode.node and libspikenode.so import from libtorch, by node scripts/check-symbols.mjs --write',
    `# torch ${torchVersion(folder).split('.').slice(0, 2).join('.')}, ${compiler?.[0].trim()}`,
  ];
}

/** 0: the committed list is current, 1: it is not, 3: it cannot be compared. */
function compare(file, folder) {
  const [expected, found] = [readFileSync(file, 'utf8').trimEnd().split('\n'), head(folder)];
  if (expected[1] !== found[1]) {
    console.log(`the list is of '${expected[1].slice(2)}', the binaries are of '${found[1].slice(2)}'`);
    return 3;
  }
  const [before, now] = [new Set(expected.slice(2)), new Set(list(folder))];
  const gone = [...before].filter((name) => !now.has(name));
  const added = [...now].filter((name) => !before.has(name));
  for (const name of gone) console.log(`- ${name}`);
  for (const name of added) console.log(`+ ${name}`);
  console.log(
    `${now.size} symbols, ${added.length} not in '${file}', ${gone.length} of it no longer imported`,
  );
  return gone.length + added.length > 0 ? 1 : 0;
}

const [first, second] = process.argv.slice(2);
const folder = resolve(second ?? join(root, 'build', 'Release'));
const listFile = () =>
  join(root, 'test', 'native', `symbols-${torchVersion(folder).split('.').slice(0, 2).join('.')}.txt`);
try {
  if (first === undefined) throw new Error('LIBTORCH, --list, --write or --current is expected');
  if (first === '--list') console.log(list(folder).join('\n'));
  else if (first === '--write')
    writeFileSync(listFile(), `${[...head(folder), ...list(folder)].join('\n')}\n`);
  else if (first === '--current') {
    if (existsSync(listFile())) process.exitCode = compare(listFile(), folder);
    else {
      console.log(`there is no list for torch ${torchVersion(folder)}`);
      process.exitCode = 3;
    }
  } else process.exitCode = missing(resolve(first), folder) > 0 ? 1 : 0;
} catch (error) {
  console.error(`check-symbols: ${error.message}`);
  process.exitCode = 2;
}
