import { availableParallelism } from 'node:os';
import { cpuQuota } from './cgroup.js';

/** What the thread count is made of. */
export interface ThreadLimits {
  /** Processors that this process may run on. */
  readonly processors: number;
  /** Processors' worth of time that the control groups allow; null without a quota. */
  readonly quota: number | null;
  /** `SPIKENODE_NUM_THREADS`; null where it is not set. */
  readonly requested: string | null;
}

/** What limits threads here. */
export function threadLimits(): ThreadLimits {
  return {
    processors: availableParallelism(),
    quota: cpuQuota(),
    requested: process.env['SPIKENODE_NUM_THREADS'] || null,
  };
}

/**
 * Threads that libtorch starts with: `SPIKENODE_NUM_THREADS`, else the smaller of the processors this
 * process may run on and the cgroup's CPU quota, rounded up. (OpenMP looks at the first only, and
 * stalls in containers.)
 * @throws RangeError for a request that is no integer from 1 to 1024
 */
export function defaultThreadCount(limits: ThreadLimits = threadLimits()): number {
  const { processors, quota, requested } = limits;
  if (requested !== null) {
    const count = Number(requested);
    if (Number.isInteger(count) && count >= 1 && count <= 1024) return count;
    throw new RangeError(`SPIKENODE_NUM_THREADS must be an integer from 1 to 1024, got '${requested}'`);
  }
  return Math.max(1, Math.min(processors, Math.ceil(quota ?? Number.POSITIVE_INFINITY)));
}
