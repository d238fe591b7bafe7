import { spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NativeLoadError } from '../errors.js';
import type { Choice } from './choose.js';
import { probeFailure } from './explain.js';
import { librariesOf } from './libraries.js';
import { cacheRoot } from './platform.js';

/** What the child writes when everything worked, and before its own error's text. */
export const PROBE_PASSED = 'spikenode: loaded and computed';
export const PROBE_FAILED = 'spikenode: failed: ';
const TIME_LIMIT_MS = 60_000;
/** Of /proc/cpuinfo: the first processor, whose entry has the flags; all of it is long where there are many. */
const CPUINFO_BYTES = 8192;

function processor(): string {
  const file = openSync('/proc/cpuinfo', 'r');
  try {
    const text = Buffer.alloc(CPUINFO_BYTES);
    const length = readSync(file, text, 0, CPUINFO_BYTES, 0);
    const lines = text.toString('latin1', 0, length).split('\n');
    return lines
      .filter((line) => /^(?:model name|flags)\s*:/.test(line))
      .slice(0, 2)
      .join('\n');
  } finally {
    closeSync(file);
  }
}

/** Everything that a verdict depends on. */
function subject(choice: Choice): string {
  const files = [
    ...librariesOf(choice),
    ...['loader.node', 'spikenode.node'].map((name) => join(choice.binaries.folder, name)),
  ].map((path) => {
    const real = realpathSync(path);
    const { size, mtimeNs, ino } = statSync(real, { bigint: true });
    return `${real} ${size} ${mtimeNs} ${ino}`;
  });
  const { LD_LIBRARY_PATH: search, LD_PRELOAD: preload } = process.env;
  return [process.version, processor(), `${search} ${preload}`, ...files].join('\n');
}

function isKnownGood(verdict: string, text: string): boolean {
  try {
    return readFileSync(verdict, 'utf8') === text;
  } catch {
    return false;
  }
}

/** A home that cannot be written only costs the trial again next time. */
function remember(verdict: string, text: string): void {
  const unfinished = `${verdict}.${randomUUID()}`;
  try {
    mkdirSync(join(verdict, '..'), { recursive: true });
    writeFileSync(unfinished, text, { flag: 'wx' });
    renameSync(unfinished, verdict);
  } catch {
    try {
      rmSync(unfinished, { force: true });
    } catch {
      // Nothing was written.
    }
  }
}

/** Loads and computes in a process of its own. */
function tryInChild(choice: Choice): void {
  // Without this process's flags: what it preloads, or a debugger, has no place in the trial.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const script = fileURLToPath(new URL('./probe-child.js', import.meta.url));
  const result = spawnSync(process.execPath, [script, JSON.stringify(choice)], {
    env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  if (result.status === 0 && result.stdout === PROBE_PASSED) return;
  if (result.stdout?.startsWith(PROBE_FAILED))
    throw new NativeLoadError(result.stdout.slice(PROBE_FAILED.length));
  const code = (result.error as NodeJS.ErrnoException | undefined)?.code;
  // Where no process can be started, the trial is not to be had; loading may work all the same.
  if (result.error !== undefined && code !== 'ETIMEDOUT') return;
  const end = code === 'ETIMEDOUT' ? 'timeout' : (result.signal ?? result.status ?? 1);
  throw new NativeLoadError(probeFailure(choice.binaries, choice.libtorch, end, result.stderr));
}

/**
 * Tries in a process of its own whether a choice can be loaded, so that a crash becomes an error. A good verdict is kept
 * in the folder `probes` of `cacheRoot()` until a file, Node.js or the processor changes. `SPIKENODE_PROBE=off` skips it.
 * @throws NativeLoadError
 */
export function probe(choice: Choice): void {
  if (process.env['SPIKENODE_PROBE'] === 'off') return;
  const text = subject(choice);
  const name = createHash('sha256').update(text).digest('hex').slice(0, 32);
  const verdict = join(cacheRoot(), 'probes', name);
  if (isKnownGood(verdict, text)) return;
  tryInChild(choice);
  remember(verdict, text);
}
