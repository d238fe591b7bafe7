import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { cpuQuota, memoryQuota } from '../../lib/native/cgroup.js';
import { defaultThreadCount } from '../../lib/native/threads.js';

const scratch = mkdtempSync(join(tmpdir(), 'spikenode-cgroup-'));
after(() => rmSync(scratch, { recursive: true }));

// A root of its own with these files.
function system(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(scratch, 'root-'));
  for (const [name, text] of Object.entries(files)) {
    const file = join(root, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return root;
}

test('version 2: the smallest limit from the own group up to the root counts', () => {
  const root = system({
    'proc/self/cgroup': '0::/user.slice/job.scope\n',
    'sys/fs/cgroup/user.slice/job.scope/cpu.max': 'max 100000\n',
    'sys/fs/cgroup/user.slice/cpu.max': '150000 100000\n',
    'sys/fs/cgroup/user.slice/job.scope/memory.max': '1073741824\n',
    'sys/fs/cgroup/user.slice/memory.max': 'max\n',
    // Of another process.
    'sys/fs/cgroup/system.slice/cpu.max': '1000 100000\n',
  });
  assert.equal(cpuQuota(root), 1.5);
  assert.equal(memoryQuota(root), 2 ** 30);
});

test('version 2 in a container, which sees its own group as the root', () => {
  const root = system({
    'proc/self/cgroup': '0::/\n',
    'sys/fs/cgroup/cpu.max': '50000 100000\n',
    'sys/fs/cgroup/memory.max': '2097152\n',
  });
  assert.equal(cpuQuota(root), 0.5);
  assert.equal(memoryQuota(root), 2 ** 21);
});

test('version 1: controllers in folders of their own, -1 and a huge number for no limit', () => {
  const files = {
    'proc/self/cgroup': '5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n',
    'sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us': '250000\n',
    'sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us': '100000\n',
    'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
    'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    'sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes': '536870912\n',
    'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
  };
  assert.equal(cpuQuota(system(files)), 2.5);
  assert.equal(memoryQuota(system(files)), 2 ** 29);
});

test('no limits, and no control groups at all', () => {
  for (const files of [
    {
      'proc/self/cgroup': '0::/\n',
      'sys/fs/cgroup/cpu.max': 'max 100000\n',
      'sys/fs/cgroup/memory.max': 'max\n',
    },
    {},
  ]) {
    assert.equal(cpuQuota(system(files)), null);
    assert.equal(memoryQuota(system(files)), null);
  }
});

test('threads are the fewer of processors and quota, rounded up, unless a number is asked for', () => {
  const count = (processors: number, quota: number | null, requested: string | null = null): number =>
    defaultThreadCount({ processors, quota, requested });
  assert.equal(count(8, null), 8);
  assert.equal(count(8, 1.5), 2);
  assert.equal(count(8, 0.2), 1);
  assert.equal(count(2, 4), 2);
  assert.equal(count(2, 1, '16'), 16);
  for (const wrong of ['0', '-1', '1.5', 'many'])
    assert.throws(() => count(2, null, wrong), new RegExp(`integer from 1 to 1024, got '${wrong}'`));
});
