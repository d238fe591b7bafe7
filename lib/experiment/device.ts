import { ConfigError } from '../errors.js';
import { shown } from '../parameters.js';
import { cudaDeviceCount, type Device } from '../tensor/index.js';
import { brief, type Plain } from '../training/settings.js';

const gpuNames = ['gpu', 'cuda'];

interface Asked {
  readonly accelerator?: unknown;
  readonly devices?: unknown;
}

// Each is one device; "0," and "1, 2" are lists, and "1" is a number of devices.
function listOf(devices: unknown): number[] | null {
  if (Array.isArray(devices)) return devices as number[];
  if (typeof devices !== 'string' || !devices.includes(',')) return null;
  return devices
    .split(',')
    .filter((word) => word.trim() !== '')
    .map(Number);
}

/** What `accelerator` and `devices` ask for and do not get, in sentences; found without libtorch. */
export function deviceNotes({ accelerator = 'auto', devices = 'auto' }: Asked): string[] {
  const notes: string[] = [];
  if (!['auto', 'cpu', ...gpuNames].includes(String(accelerator))) {
    notes.push(
      `learningframework.params.accelerator: ${shown(accelerator)} is accepted; experiments are trained on the CPU or an NVIDIA GPU ("gpu")`,
    );
  }
  const isOne = devices === 'auto' || (listOf(devices)?.length ?? Number(devices)) === 1;
  if (!isOne) {
    notes.push(
      `learningframework.params.devices: ${brief(devices as Plain)} is accepted; training uses one device`,
    );
  }
  return notes;
}

/**
 * Where an experiment is trained: with 'auto' on a GPU if libtorch can use one, with 'gpu' or 'cuda' on no other; which
 * one says the first number of a list in `devices`.
 * @throws ConfigError, as an option of `framework`, if a GPU is asked for that is not there
 */
export function deviceOf({ accelerator = 'auto', devices = 'auto' }: Asked): Device {
  const isRequired = gpuNames.includes(String(accelerator));
  if (!isRequired && accelerator !== 'auto') return 'cpu';
  const count = cudaDeviceCount();
  if (count === 0) {
    if (!isRequired) return 'cpu';
    throw new ConfigError(
      ['framework', 'params', 'accelerator'],
      '"cpu" or "auto" where libtorch finds no CUDA device (\'npx spikenode doctor\' says what it lacks)',
      shown(accelerator),
    );
  }
  const index = listOf(devices)?.[0] ?? 0;
  if (Number.isInteger(index) && index >= 0 && index < count) return `cuda:${index}`;
  throw new ConfigError(
    ['framework', 'params', 'devices'],
    `a number below ${count}, which is how many CUDA devices there are`,
    brief(devices as Plain),
  );
}
