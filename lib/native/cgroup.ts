import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where the kernel tells of itself; another folder in tests. */
const ROOT = '/';

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}

/** The folders of this process's control groups for a controller, its own first and then those around it. */
function groupFolders(controller: string, root: string): string[] {
  const folders: string[] = [];
  for (const line of (textOf(join(root, 'proc/self/cgroup')) ?? '').split('\n')) {
    const [, hierarchy, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const isSecond = hierarchy === '0' && controllers === '';
    if (!isSecond && !controllers!.split(',').includes(controller)) continue;
    const base = join(root, 'sys/fs/cgroup', isSecond ? '' : controller);
    for (let group = path; group !== '/' && group !== '.'; group = dirname(group))
      folders.push(join(base, group));
    // A container sees its own group as the root.
    folders.push(base);
  }
  return [...new Set(folders)];
}

function least(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? Math.min(...known) : null;
}

/** Processors' worth of time that the control groups allow, `1.5`; null without a quota. */
export function cpuQuota(root: string = ROOT): number | null {
  const quotas = groupFolders('cpu', root).map((folder) => {
    const second = textOf(join(folder, 'cpu.max'))?.split(' ');
    const [quota, period] = second ?? [
      textOf(join(folder, 'cpu.cfs_quota_us')),
      textOf(join(folder, 'cpu.cfs_period_us')),
    ];
    const share = Number(quota) / Number(period);
    return share > 0 && Number.isFinite(share) ? share : null;
  });
  return least(quotas);
}

/** The bytes of memory that the control groups allow; null without a limit. */
export function memoryQuota(root: string = ROOT): number | null {
  const limits = groupFolders('memory', root).map((folder) => {
    const limit = Number(
      textOf(join(folder, 'memory.max')) ?? textOf(join(folder, 'memory.limit_in_bytes')) ?? Number.NaN,
    );
    // Version 1 says "no limit" by a number beyond all memory.
    return limit > 0 && limit < 2 ** 60 ? limit : null;
  });
  return least(limits);
}
