// Run by probe.ts in a process of its own: loads what argv names and computes once.
import type { Choice } from './choose.js';
import { openChoice } from './open.js';
import { PROBE_FAILED, PROBE_PASSED } from './probe.js';

function main(choice: Choice): string {
  try {
    const addon = openChoice(choice);
    addon.setNumThreads(1);
    const add = addon.findOperator('aten::add', 'Tensor');
    const two = addon.fromData(Float32Array.of(1, 2), 'float32', [2]);
    const sum = new Float32Array(addon.toData(addon.call(add, two, two, 1) as number));
    if (sum[0] !== 2 || sum[1] !== 4) return `${PROBE_FAILED}libtorch computed ${sum} for 1 + 1 and 2 + 2`;
    const neuron = addon.findOperator('spikenode::integrate_fire', '');
    const x = addon.fromData(Float32Array.of(2, 0.5), 'float32', [1, 2]);
    const v = addon.fromData(new Float32Array(2), 'float32', [2]);
    const [spikes = 0] = addon.call(neuron, x, v) as number[];
    const fired = new Float32Array(addon.toData(spikes));
    if (fired[0] !== 1 || fired[1] !== 0)
      return `${PROBE_FAILED}a neuron computed the spikes ${fired} for 1,0`;
    addon.stopWorkers();
    return PROBE_PASSED;
  } catch (error) {
    return `${PROBE_FAILED}${(error as Error).message}`;
  }
}

process.stdout.write(main(JSON.parse(process.argv[2] ?? '') as Choice));
