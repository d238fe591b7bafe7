import { type Choice, choose, cudaMismatch, type DeviceRequest, requestedDevice } from './choose.js';
import { hasNvidiaDriver } from './platform.js';

/** What decides whether GPUs can be used; `devices` is null before libtorch is loaded. */
export interface CudaFacts {
  readonly device: DeviceRequest;
  readonly choice: Choice;
  readonly hasDriver: boolean;
  readonly devices: number | null;
}

/** The oldest driver for a CUDA major. */
const OLDEST_DRIVER: Readonly<Record<string, string>> = { '12': '525', '13': '580' };

function cureOfMismatch({ binaries, libtorch }: Choice): string {
  if (libtorch.cuda === null) return "'npx spikenode libtorch install --cuda' obtains one with CUDA";
  return `'npx spikenode build --cuda --libtorch "${libtorch.folder}"' builds ${binaries.cuda === null ? 'it' : 'one that fits'}`;
}

/** Why GPUs cannot be used with these facts, in sentences with their cures; null where nothing speaks against it. */
export function cudaSentence({ device, choice, hasDriver, devices }: CudaFacts): string | null {
  if (device === 'cpu') return 'SPIKENODE_DEVICE=cpu keeps this process on the CPU; unset it to use a GPU.';
  const problems: string[] = [];
  if (!hasDriver)
    problems.push(
      'No NVIDIA driver is on this machine: GPU work needs an NVIDIA GPU and its driver (a container needs --gpus all).',
    );
  const mismatch = cudaMismatch(choice.binaries, choice.libtorch);
  if (mismatch !== null) problems.push(`GPU work needs CUDA, and ${mismatch}: ${cureOfMismatch(choice)}.`);
  else if (hasDriver && devices === 0) {
    const { version } = choice.binaries.cuda!;
    const oldest = OLDEST_DRIVER[version.split('.')[0]!];
    const needed = oldest === undefined ? 'a newer one' : `${oldest} or newer`;
    problems.push(
      `The NVIDIA driver offers no GPU: it is older than CUDA ${version} needs (${needed}), or CUDA_VISIBLE_DEVICES hides the GPUs.`,
    );
  }
  return problems.length > 0 ? problems.join(' ') : null;
}

/**
 * Why this process cannot use a GPU, in sentences with their cures; null where nothing speaks against it, or where nothing
 * can be loaded at all. Opens nothing.
 * @param devices GPUs that libtorch counts, where it is loaded
 */
export function cudaProblem(
  devices: number | null = null,
  hasDriver: boolean = hasNvidiaDriver(),
): string | null {
  const { choice } = choose();
  if (choice === null) return null;
  return cudaSentence({ device: requestedDevice(), choice, hasDriver, devices });
}

/** What to add to libtorch's own message about a GPU; null where there is nothing to add. */
export function cudaAdvice(message: string, countDevices: () => number): string | null {
  if (!/cuda|nvidia/i.test(message)) return null;
  if (!/no kernel image/.test(message)) {
    const devices = countDevices();
    return devices > 0 ? null : cudaProblem(devices, /driver .* too old/.test(message) || hasNvidiaDriver());
  }
  const compiled = choose().choice?.binaries.cuda?.architectures.join(', ') ?? 'none';
  return (
    `This GPU is of a compute capability that the files have no code for (those of spikenode have ${compiled}; 80 is 8.0): ` +
    `'npx spikenode build --cuda' builds them anew, for all that the CUDA toolkit here knows.`
  );
}
