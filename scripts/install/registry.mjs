// A registry of npm on this machine that has the packages of a release, and passes everything else on.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from '../tools.mjs';

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function configuration(folder) {
  const upstream = spawnSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).stdout.trim();
  // Ours are never asked for elsewhere: a package of that name there must not stand in for the one under test.
  const ours = { access: '$all', publish: '$all' };
  return {
    storage: join(folder, 'storage'),
    auth: { htpasswd: { file: join(folder, 'htpasswd'), max_users: -1 } },
    uplinks: { upstream: { url: upstream, timeout: '60s', maxage: '1h' } },
    packages: { spikenode: ours, '@spikenode/*': ours, '**': { access: '$all', proxy: 'upstream' } },
    max_body_size: '400mb',
    web: { enable: false },
    log: { type: 'stdout', format: 'pretty', level: 'http' },
  };
}

/** Starts the registry with its files in `folder`; `stop` ends it. */
export async function startRegistry(folder) {
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'config.yaml');
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(configuration(folder), null, 2));
  const port = await freePort();
  const log = join(folder, 'log');
  const output = openSync(log, 'w');
  const child = spawn(
    process.execPath,
    [tool('verdaccio'), '--config', config, '--listen', `127.0.0.1:${port}`],
    {
      stdio: ['ignore', output, output],
    },
  );
  closeSync(output);
  const stop = () => child.kill();
  process.once('exit', stop);
  const url = `http://127.0.0.1:${port}/`;
  for (let tries = 0; tries < 120; tries++) {
    const answer = await fetch(`${url}-/ping`).catch(() => null);
    if (answer?.ok) return { url, stop };
    if (child.exitCode !== null) break;
    await sleep(500);
  }
  stop();
  throw new Error(`the registry does not start: ${readFileSync(log, 'utf8').slice(-2000)}`);
}

/** Publishes tarballs. */
export function publish(url, folder, files) {
  const userconfig = join(folder, 'npmrc');
  // npm insists on a token; the registry takes any.
  writeFileSync(userconfig, `registry=${url}\n${url.replace('http:', '')}:_authToken=anyone\n`);
  for (const file of files) {
    const args = [
      'publish',
      file,
      '--access',
      'public',
      '--tag',
      'latest',
      '--ignore-scripts',
      '--userconfig',
      userconfig,
    ];
    const result = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`'${file}' could not be published: ${result.stderr}`);
  }
}
