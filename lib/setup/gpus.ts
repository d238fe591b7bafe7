import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** A GPU, as nvidia-smi lists it. */
export interface Gpu {
  readonly name: string;
  /** `9.0` */
  readonly computeCapability: string;
  readonly memoryBytes: number;
}

/** The NVIDIA driver and its GPUs. */
export interface CudaRuntime {
  /** Version of the driver, `unknown` where it does not say; null without a driver. */
  readonly driver: string | null;
  readonly gpus: readonly Gpu[];
  /** Why the GPUs could not be listed; null where they could, or there is no driver. */
  readonly listingProblem: string | null;
}

const FILE = '/proc/driver/nvidia/version';
const TIME_LIMIT_MS = 5_000;
const QUERY = ['--query-gpu=name,compute_cap,driver_version,memory.total', '--format=csv,noheader'];
const WSL = '/usr/lib/wsl/lib/nvidia-smi';

/** The driver's version in the kernel module's words; null where they have none. */
export function driverVersion(text: string): string | null {
  return /^NVRM version:.*?\s(\d{3,}\.\d+(?:\.\d+)?)\s/m.exec(text)?.[1] ?? null;
}

/** The GPUs and the driver in nvidia-smi's lines `name, 9.0, 580.82.07, 81559 MiB`; other lines are left out. */
export function parseGpus(text: string): { readonly gpus: readonly Gpu[]; readonly driver: string | null } {
  const rows = text.split('\n').flatMap((line) => {
    const found = /^(.+), (\d+\.\d+), (\d[\d.]*), (\d+) MiB$/.exec(line.trim());
    if (found === null) return [];
    const [, name = '', computeCapability = '', driver = '', memory = ''] = found;
    return [{ driver, gpu: { name, computeCapability, memoryBytes: Number(memory) * 2 ** 20 } }];
  });
  return { gpus: rows.map(({ gpu }) => gpu), driver: rows[0]?.driver ?? null };
}

function kernelModule(): string | null {
  try {
    return driverVersion(readFileSync(FILE, 'utf8'));
  } catch {
    return null;
  }
}

/** Asks the driver of this machine, which `hasDriver` says is there; `timeLimit` in milliseconds. */
export function cudaRuntime(hasDriver: boolean, timeLimit: number = TIME_LIMIT_MS): CudaRuntime {
  if (!hasDriver) return { driver: null, gpus: [], listingProblem: null };
  const module = kernelModule() ?? 'unknown';
  const program = existsSync(WSL) ? WSL : 'nvidia-smi';
  const { status, signal, stdout, stderr, error } = spawnSync(program, QUERY, {
    encoding: 'utf8',
    timeout: timeLimit,
    killSignal: 'SIGKILL',
  });
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ETIMEDOUT')
    return {
      driver: module,
      gpus: [],
      listingProblem: `nvidia-smi did not answer within ${timeLimit / 1000} seconds`,
    };
  if (error !== undefined)
    return {
      driver: module,
      gpus: [],
      listingProblem: `nvidia-smi cannot be run (${code ?? error.message})`,
    };
  const { gpus, driver } = parseGpus(stdout);
  if (gpus.length > 0) return { driver: driver ?? module, gpus, listingProblem: null };
  const said = `${stdout}\n${stderr}`.trim().split('\n')[0]?.slice(0, 200);
  const how = status === null ? signal : `exit code ${status}`;
  return { driver: module, gpus, listingProblem: `nvidia-smi lists no GPU (${how}): ${said}` };
}

/**
 * Why kernels for these architectures cannot run on a GPU; null where they can. `90` is machine code for 9.0 and what has the
 * same major; `90-virtual` or `90+PTX` also runs on whatever is newer.
 */
export function capabilityProblem(gpu: Gpu, architectures: readonly string[]): string | null {
  const [major = 0, minor = 0] = gpu.computeCapability.split('.').map(Number);
  const own = major * 10 + minor;
  const fits = architectures.some((architecture) => {
    const number = Number.parseInt(architecture, 10);
    const isPortable = /ptx|virtual/i.test(architecture);
    if (isPortable) return number <= own;
    return Math.floor(number / 10) === major && number <= own;
  });
  if (fits) return null;
  const named = architectures.map(
    (text) => `${Math.floor(Number.parseInt(text, 10) / 10)}.${Number.parseInt(text, 10) % 10}`,
  );
  const [oldest = own] = architectures.map((text) => Number.parseInt(text, 10)).sort((a, b) => a - b);
  const how = own < oldest ? 'is older than' : 'is not among';
  return `${gpu.name} has compute capability ${gpu.computeCapability}, which ${how} what the GPU kernels of spikenode are compiled for (${named.join(', ')})`;
}
