import { checksOf } from './doctor-checks.js';
import { gatherFacts } from './doctor-facts.js';
import type { CudaRuntime } from './gpus.js';

/** How a line of the report is to be taken: a problem keeps something from working, a note is worth knowing. */
export type CheckState = 'ok' | 'note' | 'problem';

/** One line of the report. */
export interface DoctorCheck {
  /** What it is about: `Node.js`, `libtorch`, `GPU`. */
  readonly topic: string;
  readonly state: CheckState;
  /** A sentence without line breaks. */
  readonly text: string;
  /** The command that cures a problem, which every problem has; for a note, one that brings more, or null. */
  readonly cure: string | null;
}

/** Native files of spikenode that were found. */
export interface FoundBinaries {
  readonly folder: string;
  readonly origin: string;
  /** The torch they were built against; null for files that cannot be used. */
  readonly torch: string | null;
  /** CUDA version and compute capabilities (`90` is 9.0) of their GPU kernels; null without. */
  readonly cuda: { readonly version: string; readonly architectures: readonly string[] } | null;
  /** The oldest glibc they run on; null where it is not stated. */
  readonly glibc: string | null;
  readonly used: boolean;
  /** Why they cannot be used; null where they can. */
  readonly problem: string | null;
}

/** A libtorch that was found. */
export interface FoundLibtorch {
  readonly folder: string;
  readonly origin: string;
  readonly version: string | null;
  /** Null for a build for the CPU. */
  readonly cuda: string | null;
  /** Size of its folder in the cache of spikenode; null elsewhere. */
  readonly bytes: number | null;
  readonly used: boolean;
  /** Why it is not used; null for the one that is. */
  readonly reason: string | null;
}

/** What loading in a process of its own gave. */
export interface LoadResult {
  /** Why it failed; null where it worked. */
  readonly error: string | null;
  /** Libraries in the order in which they are opened; empty where nothing can be chosen. */
  readonly libraries: readonly string[];
  /** What libtorch says its version is. */
  readonly torch: string | null;
  /** Instruction set of the kernels: `baseline`, `avx2` or `avx512`. */
  readonly kernels: string | null;
  readonly threads: number | null;
  /** Bytes of tensors above which there is an `OutOfMemoryError`; null with `SPIKENODE_ALLOCATOR=system`. */
  readonly memoryLimit: number | null;
  /** GPUs that libtorch counts, and why the first cannot compute (null where it can or there is none). */
  readonly gpus: number;
  readonly gpuError: string | null;
}

/** What was found on this machine. */
export interface DoctorFacts {
  readonly spikenode: { readonly version: string; readonly folder: string; readonly isClone: boolean };
  readonly node: { readonly version: string; readonly program: string };
  readonly system: {
    /** As `process.platform` and `process.arch`. */
    readonly platform: string;
    readonly arch: string;
    /** Name and version for people. */
    readonly name: string;
    /** Null where the C library is another one. */
    readonly glibc: string | null;
    /** Why computing does not work on such a system; null where it does. */
    readonly problem: string | null;
  };
  readonly processor: { readonly name: string; readonly avx2: boolean; readonly avx512: boolean };
  /** The platform packages; version null where one is not installed. */
  readonly packages: readonly { readonly name: string; readonly version: string | null }[];
  readonly binaries: readonly FoundBinaries[];
  readonly libtorch: readonly FoundLibtorch[];
  readonly loading: LoadResult;
  readonly cuda: CudaRuntime & {
    /** `SPIKENODE_DEVICE`. */
    readonly requested: string | null;
    /** Why no GPU can be used, with the cure; null where nothing speaks against it. */
    readonly problem: string | null;
  };
  readonly threads: {
    readonly machine: number;
    /** That this process may run on. */
    readonly processors: number;
    readonly quota: number | null;
    readonly requested: string | null;
    /** Null where the request is wrong. */
    readonly used: number | null;
  };
  /** Bytes; `quota` is the control groups' limit, `requested` is `SPIKENODE_MEMORY_LIMIT`. */
  readonly memory: {
    readonly machine: number;
    readonly quota: number | null;
    readonly requested: string | null;
  };
  readonly cache: {
    readonly folder: string;
    /** Where the folder is a link or below one. */
    readonly realFolder: string | null;
    /** Why nothing can be written there; null where it can. */
    readonly problem: string | null;
    /** Free bytes of its disk; null where that cannot be told. */
    readonly free: number | null;
  };
  /** The variables `SPIKENODE_*` that are set, and the proxies; passwords in addresses are left out. */
  readonly environment: readonly {
    readonly name: string;
    readonly value: string;
    /** For a name that spikenode does not know, the nearest that it does; else null. */
    readonly nearest: string | null;
  }[];
}

/** What `spikenode doctor --json` prints. Keys are stable: new ones may come, none goes within a major version. */
export interface DoctorReport extends DoctorFacts {
  /** Whether computing works here, on the device that `SPIKENODE_DEVICE` demands. */
  readonly works: boolean;
  readonly checks: readonly DoctorCheck[];
}

/** The report for facts; a pure function. */
export function reportOf(facts: DoctorFacts): DoctorReport {
  const { loading, cuda, system } = facts;
  const loads = system.problem === null && loading.error === null;
  const works = loads && (cuda.requested !== 'cuda' || (loading.gpus > 0 && loading.gpuError === null));
  return { works, ...facts, checks: checksOf(facts) };
}

/**
 * Looks at this machine, and loads libtorch and the native files in a process of its own. Uses no network, leaves
 * nothing behind but the verdict that the first load keeps anyway, and never throws for what it finds.
 */
export function doctor(): DoctorReport {
  return reportOf(gatherFacts());
}
