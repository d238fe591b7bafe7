import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NativeLoadError } from '../errors.js';
import type { Choice } from './choose.js';
import { probeFailure } from './explain.js';
import { librariesOf } from './libraries.js';
import { cacheRoot, makeFolderSync } from './platform.js';

/** What the child writes when everything worked, and before its own error's text. */
export const PROBE_PASSED = 'spikenode: loaded and computed';
export const PROBE_FAILED = 'spikenode: failed: ';
const TIME_LIMIT_MS = 60_000;
/** Of /proc/cpuinfo: the first processor, whose entry has the flags; all of it is long where there are many. */
const CPUINFO_BYTES = 8192;

function processor(): string {
  let file: number;
  try {
    file = openSync('/proc/cpuinfo', 'r');
  } catch {
    return '';
  }
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

/** What a verdict is about, which names its file, and the state of the files, which its text must match. */
function subject(choice: Choice): { name: string; text: string } {
  const paths = [
    ...librariesOf(choice),
    ...['loader.node', 'spikenode.node'].map((name) => join(choice.binaries.folder, name)),
  ].map((path) => realpathSync(path));
  const { LD_LIBRARY_PATH: search, LD_PRELOAD: preload } = process.env;
  const about = [process.version, processor(), `${search} ${preload}`, ...paths].join('\n');
  const states = paths.map((path) => {
    const { size, mtimeNs, ino } = statSync(path, { bigint: true });
    return `${size} ${mtimeNs} ${ino}`;
  });
  const name = createHash('sha256').update(about).digest('hex').slice(0, 32);
  return { name, text: [about, ...states].join('\n') };
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
    makeFolderSync(dirname(verdict));
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

/** Starts the trial; an error where no process can be started (Node's permission model throws it). */
function startChild(choice: Choice): Partial<SpawnSyncReturns<string>> {
  // Without this process's flags: what it preloads, or a debugger, has no place in the trial.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const script = fileURLToPath(new URL('./probe-child.js', import.meta.url));
  try {
    return spawnSync(process.execPath, [script, JSON.stringify(choice)], {
      env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIME_LIMIT_MS,
      killSignal: 'SIGKILL',
    });
  } catch (error) {
    return { error: error as Error };
  }
}

/** Loads and computes in a process of its own; false where none can be started. */
function tryInChild(choice: Choice): boolean {
  const { status, signal, stdout = '', stderr = '', error } = startChild(choice);
  if (status === 0 && stdout === PROBE_PASSED) return true;
  if (stdout?.startsWith(PROBE_FAILED)) throw new NativeLoadError(stdout.slice(PROBE_FAILED.length));
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  // Loading may work all the same.
  if (error !== undefined && code !== 'ETIMEDOUT') return false;
  const end = code === 'ETIMEDOUT' ? 'timeout' : (signal ?? status ?? 1);
  throw new NativeLoadError(probeFailure(choice.binaries, choice.libtorch, end, stderr ?? ''));
}

/**
 * Tries in a process of its own whether a choice can be loaded, so that a crash becomes an error. A good verdict is kept
 * in the folder `probes` of `cacheRoot()` until a file, Node.js or the processor changes. `SPIKENODE_PROBE=off` skips it.
 * @throws NativeLoadError
 */
export function probe(choice: Choice): void {
  if (process.env['SPIKENODE_PROBE'] === 'off') return;
  const { name, text } = subject(choice);
  const verdict = join(cacheRoot(), 'probes', name);
  if (isKnownGood(verdict, text)) return;
  if (tryInChild(choice)) remember(verdict, text);
}
