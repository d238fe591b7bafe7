import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

function cgroupQuota(): number {
  const v2 = '/sys/fs/cgroup/cpu.max';
  if (existsSync(v2)) {
    const [quota, period] = readFileSync(v2, 'utf8').trim().split(' ');
    return quota === 'max' ? Infinity : Number(quota) / Number(period);
  }
  const v1 = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us';
  if (!existsSync(v1)) return Infinity;
  const quota = Number(readFileSync(v1, 'utf8'));
  const period = Number(readFileSync('/sys/fs/cgroup/cpu/cpu.cfs_period_us', 'utf8'));
  return quota > 0 ? quota / period : Infinity;
}

/**
 * Threads that libtorch starts with: `SPIKENODE_NUM_THREADS`, else the smaller of the processors this
 * process may run on and the cgroup's CPU quota, rounded up. (OpenMP looks at the first only, and
 * stalls in containers.)
 */
export function defaultThreadCount(): number {
  const given = process.env['SPIKENODE_NUM_THREADS'];
  if (given !== undefined && given !== '') {
    const count = Number(given);
    if (Number.isInteger(count) && count >= 1) return count;
    throw new RangeError(`SPIKENODE_NUM_THREADS must be a positive integer, got '${given}'`);
  }
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(cgroupQuota())));
}
