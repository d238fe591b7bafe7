import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// A process of another machine (or container) that shares the folder shows by this that it lives.
const heartbeatMs = 10_000;
const silenceMs = 120_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When the process began, since its number may be given to another one later; null where that is unknown. */
  readonly started: string | null;
}

function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything; the start is the 20th field after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function readOwner(lock: string): Owner | null {
  try {
    return JSON.parse(readFileSync(join(lock, 'owner'), 'utf8')) as Owner;
  } catch {
    return null;
  }
}

function isAlive(lock: string, owner: Owner): boolean {
  if (owner.host !== hostname()) {
    const file = statSync(join(lock, 'owner'), { throwIfNoEntry: false });
    return file !== undefined && Date.now() - file.mtimeMs < silenceMs;
  }
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return owner.started === null || startOf(owner.pid) === owner.started;
}

// The folder gets its owner before it gets its name, so that nobody ever sees a lock without one.
function take(lock: string, owner: Owner): boolean {
  const mine = `${lock}.${randomUUID()}`;
  mkdirSync(mine);
  try {
    writeFileSync(join(mine, 'owner'), JSON.stringify(owner));
    renameSync(mine, lock);
    return true;
  } catch (error) {
    rmSync(mine, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}

const isSame = (one: Owner | null, other: Owner | null): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

// Two processes may find the same dead owner, and the slower one must not remove the lock of the faster one: it looks again
// before and after it takes the lock aside.
function removeDead(lock: string, dead: Owner | null): void {
  if (!isSame(readOwner(lock), dead)) return;
  const aside = `${lock}.${randomUUID()}`;
  try {
    renameSync(lock, aside);
    if (!isSame(readOwner(aside), dead)) renameSync(aside, lock);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/**
 * Runs `action` while no other process is inside the same lock. A lock whose owner was killed is taken over.
 * @param lock a path that exists only while somebody is inside; its folder must exist
 * @param onWait is told once who is inside, as `process 123` or `process 123 on another-host`
 * @throws what `action` and the file system throw, and the signal's reason when it is aborted while waiting
 */
export async function withLock<T>(
  lock: string,
  onWait: (owner: string) => void,
  action: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const me: Owner = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
  for (let waits = false; !take(lock, me); ) {
    const owner = readOwner(lock);
    if (owner === null || !isAlive(lock, owner)) {
      removeDead(lock, owner);
      continue;
    }
    if (!waits) onWait(`process ${owner.pid}${owner.host === me.host ? '' : ` on ${owner.host}`}`);
    waits = true;
    await sleep(250, undefined, { signal });
  }
  const isMine = (): boolean => isSame(readOwner(lock), me);
  const beat = setInterval(() => {
    const now = new Date();
    try {
      if (isMine()) utimesSync(join(lock, 'owner'), now, now);
    } catch {
      // Gone, or not to be written any more: the work itself will tell.
    }
  }, heartbeatMs).unref();
  const release = (): void => {
    if (isMine()) rmSync(lock, { recursive: true, force: true });
  };
  process.once('exit', release);
  try {
    return await action();
  } finally {
    clearInterval(beat);
    process.off('exit', release);
    release();
  }
}
