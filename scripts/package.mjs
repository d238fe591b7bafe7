// Builds the tarballs of a release into a folder, and checks all that can be checked of them without installing them.
//   npm run package -- [--out DIR] [--binaries DIR]... [--libtorch DIR] [--licenses DIR] [--glibc 2.28] [--glibcxx 3.4.25]
// Each --binaries is a folder of one more build (its build.json says of which torch). --glibc and --glibcxx make it a
// failure that a binary needs more; without them what it needs is printed and written into its build.json.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { inspectLibtorch, minorOf } from '../dist/lib/native/libtorch.js';
import { compareVersions } from '../dist/lib/native/platform.js';
import { obtainLibtorch } from './libtorch.mjs';
import {
  BINARIES,
  binariesManifest,
  EXPORTS,
  LARGEST_TARBALL,
  LIBTORCH,
  libtorchManifest,
  MAIN,
  mainManifest,
  unexpectedFiles,
} from './package/contents.mjs';
import { binutils, fileProblems, highestVersion, readElf } from './package/elf.mjs';
import { table } from './table.mjs';
import { tool } from './tools.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const templates = join(root, 'scripts', 'package');
const problems = [];

const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: 'packages' },
    binaries: { type: 'string', multiple: true, default: [] },
    libtorch: { type: 'string' },
    licenses: { type: 'string' },
    glibc: { type: 'string' },
    glibcxx: { type: 'string' },
  },
});
const limits = {
  ...(options.glibc && { GLIBC: options.glibc }),
  ...(options.glibcxx && { GLIBCXX: options.glibcxx }),
};

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function writeJson(file, value) {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

/** JavaScript and declarations are compiled afresh, since dist/ keeps what deleted sources left. */
function stageMain(folder, source) {
  mkdirSync(folder, { recursive: true });
  const generated = join(root, 'docs', 'api');
  for (const name of source.files.filter((name) => name !== 'dist/lib'))
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: (path) => path !== generated });
  const compiled = mkdtempSync(join(folder, '..', 'compiled-'));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const result = spawnSync(
    process.execPath,
    [tsc, '-p', root, '--outDir', compiled, '--incremental', 'false'],
    {
      stdio: ['ignore', 2, 2],
    },
  );
  if (result.status !== 0) throw new Error('TypeScript does not compile');
  cpSync(join(compiled, 'lib'), join(folder, 'dist', 'lib'), { recursive: true });
  writeJson(join(folder, 'package.json'), mainManifest(source));
}

/** Strips and checks the binaries of one build; its build.json then says which glibc they need. */
function stageBuild(build, folder, libtorch, source) {
  const description = readBuild(build);
  if (description.spikenode !== source.version)
    throw new Error(
      `'${build}' is a build of spikenode ${description.spikenode}, not ${source.version}; build it again`,
    );
  const minor = minorOf(description.torch);
  const target = join(folder, `torch-${minor}`);
  if (existsSync(target)) throw new Error(`two builds are for torch ${minor}; one of them is '${build}'`);
  mkdirSync(target, { recursive: true });
  const names = Object.keys(EXPORTS).filter((name) => name !== 'libspikenode_cuda.so' || description.cuda);
  const rows = [];
  const needs = { GLIBC: '0', GLIBCXX: '0' };
  for (const name of names) {
    const file = join(target, name);
    cpSync(join(build, name), file);
    binutils('strip', ['--strip-unneeded', file]);
    const folders = [root, libtorch, `${homedir()}/`];
    problems.push(
      ...fileProblems(file, EXPORTS[name], folders, limits).map((line) => `torch-${minor}: ${line}`),
    );
    const { imports } = readElf(file);
    rows.push(needsRow(`torch-${minor}/${name}`, imports));
    for (const library of Object.keys(needs)) {
      const found = highestVersion(imports, library);
      if (found && compareVersions(found.version, needs[library]) > 0) needs[library] = found.version;
    }
  }
  // Where the libtorch of the build lies is of use on this machine only.
  const { libtorch: _, ...published } = description;
  writeJson(join(target, 'build.json'), { ...published, glibc: needs.GLIBC, glibcxx: needs.GLIBCXX });
  return { minor, rows };
}

function readBuild(folder) {
  const file = join(folder, 'build.json');
  if (!existsSync(file)) throw new Error(`'${folder}' has no build.json; build it with 'npm run build'`);
  return readJson(file);
}

/** What a library needs of glibc and libstdc++, with the symbols that cause it. */
function needsRow(name, imports) {
  const cells = ['GLIBC', 'GLIBCXX', 'CXXABI'].map((library) => {
    const found = highestVersion(imports, library);
    if (found === null) return '-';
    const names = binutils('c++filt', ['-p', ...found.symbols])
      .trim()
      .split('\n');
    const shown = names.slice(0, 2).map((text) => (text.length > 40 ? `${text.slice(0, 40)}...` : text));
    return `${found.version} (${shown.join(', ')}${names.length > 2 ? ` and ${names.length - 2} more` : ''})`;
  });
  return [name, ...cells];
}

function stageBinaries(folder, libtorch, licenses, source) {
  const rows = [];
  const minors = [];
  for (const build of [join(root, 'build', 'Release'), ...options.binaries.map((path) => resolve(path))]) {
    const staged = stageBuild(build, folder, libtorch, source);
    minors.push(staged.minor);
    rows.push(...staged.rows);
  }
  cpSync(join(templates, 'linux-x64.md'), join(folder, 'README.md'));
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  cpSync(join(licenses, 'LICENSE'), join(folder, 'licenses', 'pytorch', 'LICENSE'));
  writeJson(join(folder, 'package.json'), binariesManifest(source));
  return { minors, rows };
}

/** PyTorch's libraries stay byte for byte as they were released: MKL's licence asks for that, and anyone can compare them. */
function stageLibtorch(folder, libtorch, licenses, source, minors) {
  const { version: torch, cuda } = inspectLibtorch(libtorch, 'the package');
  if (torch === null || cuda !== null)
    throw new Error(`'${libtorch}' is no libtorch for the CPU that states its version`);
  if (!minors.includes(minorOf(torch)))
    throw new Error(`libtorch in '${libtorch}' is torch ${torch}; the binaries are for ${minors.join(', ')}`);
  const rows = [];
  for (const name of ['libtorch_cpu.so', 'libc10.so', 'libgomp.so.1']) {
    const file = join(folder, 'lib', name);
    cpSync(join(libtorch, 'lib', name), file);
    const { imports } = readElf(file);
    rows.push(needsRow(`libtorch/${name}`, imports));
  }
  writeJson(join(folder, 'version.json'), { torch, cuda: null });
  const readme = readFileSync(join(templates, 'libtorch-linux-x64.md'), 'utf8').replace('{torch}', torch);
  writeFileSync(join(folder, 'README.md'), readme);
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  cpSync(join(templates, 'licenses'), join(folder, 'licenses'), { recursive: true });
  cpSync(licenses, join(folder, 'licenses', 'pytorch'), { recursive: true });
  writeJson(join(folder, 'package.json'), libtorchManifest(source, torch));
  return rows;
}

/** PyTorch's licences: LICENSE and third_party/, as the wheel has them. */
function licensesOf(libtorch) {
  const folder = resolve(options.licenses ?? join(libtorch, 'licenses'));
  if (existsSync(join(folder, 'LICENSE')) && existsSync(join(folder, 'third_party'))) return folder;
  throw new Error(
    `'${folder}' has no LICENSE and third_party/ of PyTorch, which must be shipped with its libraries; ` +
      'give the folder *.dist-info/licenses of the unpacked wheel as --licenses',
  );
}

/** Packs a stage folder; its files and its size are checked. */
function pack(name, folder, out) {
  const unexpected = unexpectedFiles(name, filesBelow(folder));
  problems.push(
    ...unexpected.map(
      (file) => `${name} would contain '${file}', which no pattern of scripts/package/contents.mjs allows`,
    ),
  );
  const result = spawnSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (result.status !== 0) throw new Error(`npm could not pack ${name}: ${result.stderr}`);
  const [packed] = Object.values(JSON.parse(result.stdout));
  if (packed.size > LARGEST_TARBALL)
    problems.push(
      `${packed.filename} has ${megabytes(packed.size)}, more than ${megabytes(LARGEST_TARBALL)}`,
    );
  const missing = filesBelow(folder).filter((file) => !packed.files.some(({ path }) => path === file));
  problems.push(...missing.map((file) => `${packed.filename} lacks '${file}'`));
  return { file: join(out, packed.filename), packed };
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** One row for each folder and kind of file, since the whole list would be long. */
function listed(files) {
  const groups = new Map();
  for (const { path, size } of files) {
    const folder = path.startsWith('dist/lib/') ? 'dist/lib' : path.split('/').slice(0, -1)[0];
    const key = folder ? `${folder}/**${path.match(/(\.d)?\.[a-z]+$/i)?.[0] ?? ''}` : path;
    const group = groups.get(key) ?? { count: 0, size: 0 };
    groups.set(key, { count: group.count + 1, size: group.size + size });
  }
  return [...groups].map(([key, { count, size }]) => [`  ${key}`, count, megabytes(size)]);
}

function checkWith(name, args) {
  const result = spawnSync(tool(name), args, { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
  process.stdout.write(`\n${name} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  if (result.status !== 0) problems.push(`${name} ${args.join(' ')} failed`);
}

async function main() {
  const source = readJson(join(root, 'package.json'));
  const out = resolve(options.out);
  mkdirSync(out, { recursive: true });
  for (const name of readdirSync(out)) if (/^spikenode-.*\.tgz$/.test(name)) rmSync(join(out, name));
  const libtorch = options.libtorch
    ? resolve(options.libtorch)
    : await obtainLibtorch((text) => process.stderr.write(`package: ${text}\n`));
  const licenses = licensesOf(libtorch);
  const stage = mkdtempSync(join(out, '.stage-'));
  try {
    const folder = (name) => join(stage, name.replace('/', '-'));
    stageMain(folder(MAIN), source);
    const binaries = stageBinaries(folder(BINARIES), libtorch, licenses, source);
    const rows = [
      ...binaries.rows,
      ...stageLibtorch(folder(LIBTORCH), libtorch, licenses, source, binaries.minors),
    ];
    console.log(table([['file', 'GLIBC', 'GLIBCXX', 'CXXABI'], ...rows]));
    const tarballs = [MAIN, BINARIES, LIBTORCH].map((name) => pack(name, folder(name), out));
    const contents = tarballs.flatMap(({ file, packed }) => [
      [
        relative(out, file),
        packed.files.length,
        `${megabytes(packed.size)} packed, ${megabytes(packed.unpackedSize)} unpacked`,
      ],
      ...listed(packed.files),
    ]);
    console.log(`\n${table([['contents', 'files', 'size'], ...contents])}`);
    for (const { file } of tarballs) checkWith('publint', ['--strict', file]);
    checkWith('attw', ['--profile', 'esm-only', '--no-emoji', '--format', 'ascii', tarballs[0].file]);
    const minors = binaries.minors.join(', ');
    console.log(`\npackages of spikenode ${source.version} for torch ${minors} are in ${out}`);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  problems.push(error.message);
}
for (const problem of problems) console.error(`package: ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;
