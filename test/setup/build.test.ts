import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findLibtorch } from '../../lib/native/libtorch.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'spikenode-build-')));
after(() => rmSync(scratch, { recursive: true }));

const { version } = createRequire(import.meta.url)(join(root, 'package.json')) as { version: string };

interface Outcome {
  readonly code: number | null;
  readonly err: string;
}

function build(args: readonly string[], env: NodeJS.ProcessEnv = {}, program = main): Outcome {
  const { status, stderr } = spawnSync(process.execPath, [program, 'build', ...args], {
    cwd: scratch,
    env: { ...process.env, SPIKENODE_CACHE: join(scratch, 'cache'), CXX: '', CUDACXX: '', ...env },
    encoding: 'utf8',
  });
  return { code: status, err: stderr };
}

/** A folder that looks like a torch of pip, with empty files. */
function fakeTorch(torch: string, options: { headers?: boolean; cuda?: string } = {}): string {
  const { headers = true, cuda } = options;
  const folder = join(scratch, `torch-${torch}-${headers}-${cuda ?? 'cpu'}`, 'torch');
  for (const name of ['lib', join('include', 'ATen')]) mkdirSync(join(folder, name), { recursive: true });
  const files = [...(headers ? ['include/ATen/ATen.h'] : []), 'lib/libtorch_cpu.so', 'lib/libc10.so'];
  if (cuda !== undefined) files.push('lib/libtorch_cuda.so');
  for (const file of files) writeFileSync(join(folder, file), '');
  const quoted = cuda === undefined ? 'None' : `'${cuda}'`;
  writeFileSync(
    join(folder, 'version.py'),
    `__version__ = '${torch}'\ncuda: Optional[str] = ${quoted}\nhip: Optional[str] = None\n`,
  );
  return folder;
}

/** A folder for PATH with these programs only: a shell script, or true for the real one. */
function programs(name: string, scripts: Record<string, string | true>): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  for (const [program, script] of Object.entries(scripts)) {
    const file = join(folder, program);
    if (script === true) {
      const place = process.env['PATH']
        ?.split(delimiter)
        .map((one) => join(one, program))
        .find((path) => existsSync(path));
      assert.ok(place, `${program} is needed for this test`);
      symlinkSync(place, file);
      continue;
    }
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }
  return folder;
}

/** One sentence, or a few, and no stack trace. */
function refused(outcome: Outcome, ...expected: RegExp[]): void {
  assert.equal(outcome.code, 1, outcome.err);
  for (const pattern of expected) assert.match(outcome.err, pattern);
  assert.match(outcome.err, /^error: /m);
  assert.doesNotMatch(outcome.err, /^\s+at /m);
}

const cmake = 'echo "cmake version 3.25.1"';
const working = 'exit 0';

test('a libtorch that no build can use is refused before anything is compiled, with what would do', () => {
  const none = join(scratch, 'nothing');
  mkdirSync(none);
  refused(build(['--libtorch', none]), /nothing/, /libtorch_cpu\.so/);
  const bare = fakeTorch('2.13.0', { headers: false });
  refused(
    build(['--libtorch', bare]),
    /no include\/ATen\/ATen\.h/,
    /npx spikenode libtorch install --headers/,
  );
  for (const torch of ['2.10.0', '2.15.0+cpu', '1.13.1'])
    refused(
      build(['--libtorch', fakeTorch(torch)]),
      /written for torch 2\.11 to 2\.14/,
      new RegExp(torch.split('+')[0] ?? ''),
      /--force/,
    );
  const cache = readdirSync(scratch).includes('cache');
  assert.equal(cache, false, 'nothing is written for a build that cannot begin');
});

test('without --libtorch the first one with headers is taken, and what was found without is named', () => {
  const bare = fakeTorch('2.12.1', { headers: false });
  refused(
    build([], { SPIKENODE_LIBTORCH: bare }),
    /no libtorch to build against was found/,
    /torch 2\.12\.1/,
    /no headers/,
  );
  const cpu = fakeTorch('2.12.0');
  refused(build(['--cuda'], { SPIKENODE_LIBTORCH: cpu }), /that has CUDA and headers/, /no CUDA/);
});

test('each missing tool is a sentence of its own', () => {
  const torch = ['--libtorch', fakeTorch('2.11.0')];
  const path = (name: string, scripts: Record<string, string | true>): Outcome =>
    build(torch, { PATH: programs(name, scripts) });
  refused(path('empty', {}), /CMake 3\.18 or newer, and there is no cmake in PATH/, /pip install cmake/);
  refused(path('old', { cmake: 'echo "cmake version 3.16.3"' }), /the cmake in PATH is 3\.16\.3/);
  refused(path('no-compiler', { cmake }), /C\+\+20 compiler with OpenMP.*'c\+\+' is not there/);
  refused(path('no-c++20', { cmake, 'c++': 'exit 1' }), /C\+\+20 compiler/);
  refused(path('no-ninja', { cmake, 'c++': working }), /needs ninja or make, and neither is in PATH/);
  refused(build(torch, { CXX: join(scratch, 'g++-99') }), /'.*g\+\+-99' is not there/);
});

test('--cuda wants a libtorch with CUDA and the compiler of the same major version', () => {
  refused(build(['--cuda', '--libtorch', fakeTorch('2.14.0')]), /is a CPU build/);
  const cuda = ['--cuda', '--libtorch', fakeTorch('2.14.1+cu130', { cuda: '13.0' })];
  const tools = { cmake, 'c++': working, ninja: working };
  refused(
    build(cuda, {
      PATH: programs('cuda-12', { ...tools, nvcc: 'echo "Cuda compilation tools, release 12.6, V12"' }),
    }),
    /'nvcc' is of CUDA 12\.6.*of CUDA 13\.0/,
    /CUDACXX/,
  );
  refused(build(cuda, { CUDACXX: join(scratch, 'no-nvcc') }), /CUDACXX='.*no-nvcc' does not run/);
});

test('wrong options are wrong usage', () => {
  for (const args of [['--jobs', '0'], ['--jobs', 'many'], ['--libtorch'], ['here']])
    assert.equal(build(args).code, 2, args.join(' '));
});

test('a cache that cannot be written is a sentence that names SPIKENODE_CACHE', () => {
  const file = join(scratch, 'a file');
  writeFileSync(file, '');
  const path = programs('complete', { cmake, 'c++': working, ninja: working });
  refused(
    build(['--libtorch', fakeTorch('2.13.1')], { SPIKENODE_CACHE: join(file, 'cache'), PATH: path }),
    /cannot be written \(.*ENOTDIR/,
    /SPIKENODE_CACHE/,
  );
});

test('a compiler that fails: the last lines, the log, and nothing left behind; an older build stays', () => {
  const path = programs('failing', {
    cmake: `if [ "$1" = --version ]; then ${cmake}; else echo "first line"; echo "x.cc:1: error: $1" >&2; exit 3; fi`,
    'c++': working,
    make: working,
  });
  const builds = join(scratch, 'cache', 'binaries', version);
  const older = join(builds, 'torch-2.13-cpu');
  mkdirSync(older, { recursive: true });
  writeFileSync(join(older, 'spikenode.node'), 'older');
  // Of a process that is gone, and of one that is not.
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  mkdirSync(join(builds, `.partial-${gone}-x`));
  mkdirSync(join(builds, `.partial-${process.pid}-x`));
  const outcome = build(['--libtorch', fakeTorch('2.13.0')], { PATH: path });
  refused(
    outcome,
    /the build failed \('cmake -S \.\.\.', 3\)/,
    /torch-2\.13-cpu\.log/,
    /x\.cc:1: error: -S\n$/,
  );
  assert.deepEqual(readdirSync(builds).sort(), [
    `.partial-${process.pid}-x`,
    'torch-2.13-cpu',
    'torch-2.13-cpu.log',
  ]);
  assert.equal(readFileSync(join(older, 'spikenode.node'), 'utf8'), 'older');
});

test('what cmake is asked for, and that the result replaces an older one at once', () => {
  // A cmake that says what it was given and makes the files.
  const path = programs('pretending', {
    cmake: `
if [ "$1" = --version ]; then ${cmake}; exit; fi
for word; do
  echo "argument: $word"
  case "$word" in -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=*) echo "\${word#*=}" > "$PLACE";; esac
done
if [ "$1" = --build ]; then
  read -r folder < "$PLACE"; mkdir -p "$folder"
  for name in loader.node libspikenode.so spikenode.node build.json; do echo '{"torch":"2.13.0"}' > "$folder/$name"; done
fi`,
    'c++': working,
    make: working,
    mkdir: true,
    sh: true,
  });
  const torch = fakeTorch('2.13.0');
  const target = join(scratch, 'cache', 'binaries', version, 'torch-2.13-cpu');
  const outcome = build(['--libtorch', torch, '--jobs', '3'], { PATH: path, PLACE: join(scratch, 'place') });
  assert.equal(outcome.code, 0, outcome.err);
  assert.match(outcome.err, /^building against torch 2\.13\.0 \(CPU\)/);
  assert.ok(outcome.err.endsWith(`built '${target}'\n`), outcome.err);
  assert.equal(readFileSync(join(target, 'spikenode.node'), 'utf8'), '{"torch":"2.13.0"}\n');
  const description = JSON.parse(readFileSync(join(target, 'build.json'), 'utf8'));
  assert.deepEqual(description, { torch: '2.13.0', libtorch: torch });
  const log = readFileSync(`${target}.log`, 'utf8');
  for (const word of [
    `-DSPIKENODE_LIBTORCH=${torch}`,
    '-DSPIKENODE_CUDA=OFF',
    'Unix Makefiles',
    '--parallel',
    '3',
  ])
    assert.ok(log.includes(`argument: ${word}\n`), `${word} in\n${log}`);
  const headers = /SPIKENODE_NODE_API=(.*)/.exec(log)?.[1] ?? '';
  assert.ok(existsSync(join(headers, 'node_api.h')), headers);
});

test('the sources build where the package is installed, and the loader takes the result', (context) => {
  if (process.env['SPIKENODE_TEST_LONG'] !== '1') return context.skip('takes minutes: SPIKENODE_TEST_LONG=1');
  const libtorch = findLibtorch().find(({ folder }) => existsSync(join(folder, 'include', 'ATen', 'ATen.h')));
  assert.ok(libtorch, 'a libtorch with headers');
  // As npm would install it: no scripts, dependencies hoisted beside it.
  const modules = join(scratch, 'in stalled', 'node_modules');
  const installed = join(modules, 'spikenode');
  mkdirSync(modules, { recursive: true });
  for (const name of ['native', 'CMakeLists.txt', 'package.json', join('dist', 'lib'), 'data'])
    cpSync(join(root, name), join(installed, name), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  const program = join(installed, 'dist', 'lib', 'cli', 'main.js');
  const outcome = build(['--libtorch', libtorch.folder], {}, program);
  assert.equal(outcome.code, 0, outcome.err);
  const script = `const t = await import(${JSON.stringify(join(installed, 'dist', 'lib', 'tensor', 'index.js'))});
    const s = t.lif(t.ones([4, 3]).mul(3), t.zeros([3]))[0];
    const maps = (await import('node:fs')).readFileSync('/proc/self/maps', 'utf8');
    console.log(s.sum().item(), /\\S*.spikenode.node/.exec(maps)[0]);`;
  // Nothing but the cache says where the binaries and their libtorch are.
  const used = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: {
      ...process.env,
      SPIKENODE_CACHE: join(scratch, 'cache'),
      SPIKENODE_LIBTORCH: '',
      SPIKENODE_BINARIES: '',
    },
    encoding: 'utf8',
  });
  assert.match(used.stdout, /^12 .*cache\/binaries\/.*\/torch-\d+\.\d+-cpu\/spikenode\.node\n$/, used.stderr);
});
