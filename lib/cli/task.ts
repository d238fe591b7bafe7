import type { RunEvent } from '../experiment/index.js';
import type { ModelMemory } from '../training/step-memory.js';

/** What the worker is asked to do. */
export type Task =
  | {
      readonly command: 'train';
      readonly file: string;
      readonly overrides: readonly string[];
      readonly folder: string;
      /** Go on: the folder of a run, or true for the last runs. */
      readonly resume: string | boolean;
      /** Whether each step is reported, for a progress bar. */
      readonly steps: boolean;
    }
  | { readonly command: 'evaluate'; readonly run: string; readonly part: string }
  | { readonly command: 'predict'; readonly run: string; readonly file: string }
  | {
      readonly command: 'info';
      readonly file: string;
      readonly overrides: readonly string[];
      /** Whether memory is measured too. */
      readonly memory: boolean;
    };

/** A layer as `info` shows it. */
export interface LayerInfo {
  readonly name: string;
  readonly kind: string;
  /** Of the output for one sample, `[T, N, ...]` or `[N, ...]`; null if the layer was not run. */
  readonly shape: readonly number[] | null;
  readonly parameters: number;
}

/** A model as `info` shows it. */
export interface ModelInfo {
  readonly event: 'model';
  readonly name: string;
  readonly kind: string;
  readonly timesteps: number;
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  readonly layers: readonly LayerInfo[];
  readonly parameters: number;
}

/** The memory of a model's work on one batch, in bytes. */
export interface MemoryInfo {
  readonly event: 'memory';
  readonly name: string;
  readonly batchSize: number;
  readonly measured: ModelMemory;
  /** From the shapes of the layers. */
  readonly predicted: ModelMemory;
}

/** The network's answer to one sample. */
export interface Prediction {
  readonly event: 'prediction';
  readonly class: number;
  /** Averaged over time. */
  readonly outputs: readonly number[];
}

/** What the worker tells while it works. */
export type WorkerEvent =
  | RunEvent
  | {
      /** After `end`, for a run that was interrupted: the command that goes on with it. */
      readonly event: 'how-to-resume';
      readonly command: string;
    }
  | ModelInfo
  | MemoryInfo
  | Prediction
  | { readonly event: 'note'; readonly text: string }
  | {
      readonly event: 'error';
      readonly text: string;
      /** The exit code. */
      readonly code: number;
    };

/** Exit codes of all commands; a run that is ended by a signal has 128 and the signal's number. */
export const exitCodes: {
  readonly failure: 1;
  readonly usage: 2;
  readonly SIGINT: 130;
  readonly SIGTERM: 143;
} = {
  failure: 1,
  usage: 2,
  SIGINT: 130,
  SIGTERM: 143,
};
