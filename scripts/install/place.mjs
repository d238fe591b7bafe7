// A user's machine in a folder: an empty home, an empty project, and a PATH of a few programs, no compiler among them.
import { spawnSync } from 'node:child_process';
import { appendFileSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';

/** What a source build would need. */
const HIDDEN = [
  'gcc',
  'g++',
  'cc',
  'c++',
  'clang',
  'cmake',
  'make',
  'ninja',
  'ld',
  'python',
  'python3',
  'node-gyp',
  'git',
];
// npm runs scripts with sh, programs of packages start with env, and pnpm's are shell scripts that use the rest.
const SHOWN = ['sh', 'env', 'dirname', 'basename', 'sed', 'uname'];

function findProgram(name) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders
    .map((folder) => join(folder, name))
    .find((path) => lstatSync(path, { throwIfNoEntry: false }));
  if (found === undefined) throw new Error(`'${name}' is not in PATH`);
  return found;
}

/** Files below a folder with size and time of change, which a program that writes nothing there leaves as they are. */
export function snapshot(folder) {
  const lines = new Map();
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const { size, mtimeMs } = lstatSync(path);
    lines.set(relative(folder, path), entry.isDirectory() ? 'folder' : `${size} ${mtimeMs}`);
  }
  return lines;
}

export class Place {
  constructor(folder, { node, npm, pnpm, registry, project = 'project' }) {
    this.folder = folder;
    this.home = join(folder, 'home');
    this.temporary = join(folder, 'tmp');
    this.project = join(folder, project);
    this.log = join(folder, 'log');
    this.bin = join(folder, 'bin');
    for (const path of [this.home, this.temporary, this.project, this.bin])
      mkdirSync(path, { recursive: true });
    const programs = {
      node,
      npm: join(npm, 'npm-cli.js'),
      npx: join(npm, 'npx-cli.js'),
      ...(pnpm && { pnpm }),
      ...Object.fromEntries(SHOWN.map((name) => [name, findProgram(name)])),
    };
    for (const [name, path] of Object.entries(programs)) symlinkSync(path, join(this.bin, name));
    this.environment = {
      PATH: this.bin,
      HOME: this.home,
      TMPDIR: this.temporary,
      LANG: 'C.UTF-8',
      npm_config_registry: registry,
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    };
  }

  /** The programs of a source build that can be called here; there must be none. */
  compilers() {
    return HIDDEN.filter((name) => this.attempt('sh', ['-c', `command -v ${name}`]).status === 0);
  }

  /** Runs a program in the project; its output goes to the log too. */
  attempt(command, args) {
    const result = spawnSync(join(this.bin, command), args, {
      cwd: this.project,
      env: this.environment,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    const text = `$ ${command} ${args.join(' ')}\n${result.stdout}${result.stderr}exit ${result.status}\n`;
    appendFileSync(this.log, text);
    return result;
  }

  /** As `attempt`, where anything but exit code 0 is an error; returns what was printed. */
  run(command, args) {
    const { status, stdout, stderr, error } = this.attempt(command, args);
    if (status === 0) return stdout;
    const end = `${stdout}${stderr}`.trim().split('\n').slice(-6).join(' | ');
    throw new Error(`'${command} ${args.join(' ')}' gave ${error?.message ?? `exit code ${status}`}: ${end}`);
  }

  write(name, text) {
    writeFileSync(join(this.project, name), text);
  }
}
