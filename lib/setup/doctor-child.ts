// Run by doctor-facts.ts in a process of its own: loads as any program would, computes, and says what it got.
import type { Addon } from '../native/addon.js';
import { cudaAdvice } from '../native/cuda.js';
import { nativeAddon } from '../native/loader.js';
import { FAILED, LOADED, type Loaded } from './doctor-facts.js';

/** Why a neuron cannot be computed on a device; null where it can. Needs libtorch's kernels and ours. */
function computingProblem(addon: Addon, device: 'cpu' | 'cuda'): string | null {
  try {
    const to = addon.findOperator('aten::to', 'dtype_layout');
    const moved = (values: readonly number[], shape: readonly number[]): number => {
      const here = addon.fromData(Float32Array.from(values), 'float32', shape);
      return addon.call(to, here, null, null, device, null, false, false, null) as number;
    };
    const neuron = addon.findOperator('spikenode::integrate_fire', '');
    const [spikes = 0] = addon.call(neuron, moved([2, 0.5], [1, 2]), moved([0, 0], [2])) as number[];
    const here = addon.call(to, spikes, null, null, 'cpu', null, false, false, null) as number;
    const found = new Float32Array(addon.toData(here));
    if (found[0] === 1 && found[1] === 0) return null;
    return `a neuron computed the spikes ${found} for 1,0 on the device '${device}'`;
  } catch (error) {
    const [message = ''] = (error as Error).message.split('\n');
    const advice = device === 'cuda' ? cudaAdvice(message, () => addon.cudaDeviceCount()) : null;
    return advice === null ? message : `${message}. ${advice}`;
  }
}

function load(): Loaded {
  const addon = nativeAddon();
  addon.setErrorClasses([TypeError, TypeError, RangeError, Error, Error, Error]);
  const problem = computingProblem(addon, 'cpu');
  const gpus = addon.cudaDeviceCount();
  const loaded: Loaded = {
    error: problem,
    torch: addon.version(),
    kernels: addon.call(addon.findOperator('spikenode::_isa', '')) as string,
    threads: addon.getNumThreads(),
    memoryLimit: process.env['SPIKENODE_ALLOCATOR'] === 'system' ? null : (addon.memory()[4] ?? null),
    gpus,
    gpuError: gpus > 0 ? computingProblem(addon, 'cuda') : null,
  };
  addon.stopWorkers();
  return loaded;
}

function main(): string {
  try {
    return `${LOADED}${JSON.stringify(load())}`;
  } catch (error) {
    return `${FAILED}${JSON.stringify((error as Error).message)}`;
  }
}

process.stdout.write(main());
