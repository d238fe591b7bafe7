import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { releases } from '../../lib/setup/releases.js';
import { serve } from '../setup/server.js';

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'spikenode-cli-libtorch-'));
after(() => rmSync(folder, { recursive: true }));
const [cpu] = releases.filter(({ cuda }) => cuda === null);
const cache = join(folder, 'cache');

function environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, SPIKENODE_CACHE: cache, ...more };
  for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'SPIKENODE_LIBTORCH'])
    delete env[name];
  return env;
}

function run(
  args: readonly string[],
  more: Record<string, string> = {},
): { code: number | null; out: string; err: string } {
  const options = { cwd: folder, env: environment(more), encoding: 'utf8' } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'libtorch', ...args], options);
  return { code: status, out: stdout, err: stderr };
}

test('list shows what is installed and what can be', () => {
  const { code, out, err } = run(['list']);
  assert.deepEqual([code, err], [0, '']);
  const lines = releases.map(({ id }) => `${id}  can be installed \\(\\d.* to download\\)\n`);
  assert.match(out, new RegExp(`^${lines.join('')}$`));
  const place = join(cache, 'libtorch', '1.2.3-cpu-linux-x64');
  mkdirSync(join(place, 'lib'), { recursive: true });
  writeFileSync(join(place, 'lib', 'libtorch_cpu.so'), 'x');
  assert.ok(
    run(['list']).out.startsWith(`1.2.3-cpu  installed (0.0 kB, damaged: install it again)  ${place}\n`),
  );
  writeFileSync(join(place, 'version.json'), '{"torch":"1.2.3","cuda":null}');
  const [first, ...rest] = run(['list', '--json'])
    .out.trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(first, {
    id: '1.2.3-cpu',
    installed: true,
    folder: place,
    bytes: 30,
    headers: false,
    whole: true,
    used: false,
  });
  assert.deepEqual(
    rest.map(({ id, installed }) => [id, installed]),
    releases.map(({ id }) => [id, false]),
  );
});

test('remove takes what list shows, and is clear about the rest', () => {
  const unknown = run(['remove', '9.9.9-cpu']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /^error: '9\.9\.9-cpu' is not installed in '.*'; installed: 1\.2\.3-cpu\n$/);
  assert.deepEqual(run(['remove', '1.2.3-cpu']), { code: 0, out: '', err: 'removed 1.2.3-cpu\n' });
  assert.ok(!existsSync(join(cache, 'libtorch', '1.2.3-cpu-linux-x64')));
  const { code, err } = run(['remove']);
  assert.equal(code, 2);
  assert.match(err, /name what to remove/);
});

test('wrong options have the exit code 2', () => {
  for (const args of [['install', '--cpu', '--cuda', 'cu130'], ['install', 'x'], ['instal'], []]) {
    const { code, out } = run(args);
    assert.deepEqual([code, out], [2, ''], args.join(' '));
  }
  const { code, err } = run(['install', '--cuda', 'cu118']);
  assert.deepEqual([code, err], [2, "--cuda: expected cu130, got 'cu118'\n"]);
});

test('a failing installation is one sentence and the exit code 1', async () => {
  writeFileSync(join(folder, 'x.whl'), 'x');
  const { code, out, err } = run(['install', '--from', 'x.whl']);
  assert.deepEqual([code, out], [1, '']);
  const lines = err.trimEnd().split('\n');
  assert.match(
    lines[0]!,
    new RegExp(`^installing libtorch ${cpu!.torch} \\(CPU\\) in '.*': 436 MB unpacked$`),
  );
  assert.match(lines[1]!, /x\.whl' is none of the files of /);
  assert.equal(lines[2], `error: --from: these files of ${cpu!.id} are missing:`);
  assert.equal(lines.at(-1), `    ${cpu!.files[0]!.url}`);
  const unwritable = run(['install'], { SPIKENODE_CACHE: join(folder, 'x.whl', 'cache') });
  assert.equal(unwritable.code, 1);
  assert.match(
    unwritable.err,
    /^error: '.*' cannot be written: a part of its path is a file \(ENOTDIR\)\. Set SPIKENODE_CACHE to .*\n$/,
  );
});

test('Ctrl-C keeps what was downloaded and says so', async () => {
  const [wheel] = cpu!.files;
  await using server = await serve((_, response) => {
    response
      .writeHead(200, { 'content-length': wheel!.size, etag: '"1"' })
      .write(Buffer.alloc(wheel!.size / 8));
  });
  const started = spawn(process.execPath, [main, 'libtorch', 'install'], {
    env: environment({ SPIKENODE_MIRROR: server.url }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let err = '';
  started.stderr.setEncoding('utf8').on('data', (text) => {
    err += text;
    if (text.includes(': 10 %')) started.kill('SIGINT');
  });
  const [code] = await once(started, 'close');
  assert.equal(code, 130, err);
  assert.match(err, /\ninterrupted; what was downloaded is kept, and the same command goes on with it\n$/);
  const part = readFileSync(join(cache, 'downloads', `${wheel!.name}.part`));
  assert.ok(part.length >= wheel!.size / 10);
  assert.ok(!existsSync(join(cache, 'libtorch', `${cpu!.id}-linux-x64.lock`)));
  assert.equal(run(['remove', '--all']).code, 0);
  assert.ok(!existsSync(join(cache, 'downloads')));
});
