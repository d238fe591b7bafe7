import type { Dataset } from '../data/index.js';
import type { SNN } from '../snn.js';
import type { CheckpointOptions } from './checkpoint.js';
import type { OptimizerConfig } from './configuration.js';
import type { EarlyStoppingOptions } from './early-stopping.js';
import type { KindConfig } from './kind.js';
import { Training } from './training.js';

/** Where training is; epochs and steps count from 1. */
export interface StepInfo {
  /** The running epoch. */
  readonly epoch: number;
  /** All epochs. */
  readonly epochs: number;
  /** Batches of the epoch, this one among them. */
  readonly step: number;
  /** Batches of an epoch. */
  readonly steps: number;
  /** Mean loss of the batch; NaN without a loss. */
  readonly loss: number;
  /** Seconds that the step waited for its data, which a native thread gathers ahead. */
  readonly dataWait: number;
}

/**
 * What was measured in an epoch: `epoch` (from 1), `lr` (the rate used in it, of the first group; with an optimizer
 * only), `train_loss`, `train_acc`, ..., and `val_loss`, `val_acc`, ... with a validation set.
 */
export type EpochMetrics = Readonly<Record<string, number>> & {
  /** From 1. */
  readonly epoch: number;
};

/** From where a training goes on. */
export interface ResumeInfo {
  /** The checkpoint. */
  readonly checkpoint: string;
  /** The epochs that are finished. */
  readonly epochs: readonly EpochMetrics[];
  /** Batches of the epoch after them that are done. */
  readonly batches: number;
  /** What is not as it was (libtorch, threads, ...), so that the last bits of results may be others. */
  readonly notes: readonly string[];
}

/** Options of `fit`. */
export interface FitOptions {
  /** 0 trains nothing. */
  readonly epochs: number;
  /** Default 32. */
  readonly batchSize?: number | undefined;
  /** None: the network runs and is measured, but its weights stay. */
  readonly optimizer?: OptimizerConfig | undefined;
  /** Default: the framework for the network's step mode, with all metrics and cross entropy. */
  readonly framework?: Partial<KindConfig> | undefined;
  /** Measured after each epoch. */
  readonly validation?: Dataset | undefined;
  /**
   * Seeds libtorch's generator (dropout and the like) at the start, and the order of the samples, which depends on
   * seed and epoch alone. Without it libtorch's generator goes on from where it is and gives the order's seed too.
   * Weights are the caller's: seed before making the network. The same seeds on the same number of threads give the
   * same results.
   */
  readonly seed?: number | undefined;
  /** Leave out a last batch that is not full. Default false. */
  readonly dropLast?: boolean | undefined;
  /**
   * Batches whose gradients make one step of the optimizer; an epoch's last step may have fewer. Each sample has the
   * same weight, so the gradient is that of one large batch. Default 1.
   */
  readonly accumulateGradBatches?: number | undefined;
  /** Gradients are clipped to this before each step: their norm, or each value. Default 0, no clipping. */
  readonly gradientClipVal?: number | undefined;
  /** 'norm': the norm over all parameters together; 'value': each value by itself. Default 'norm'. */
  readonly gradientClipAlgorithm?: 'norm' | 'value' | undefined;
  /** Ends training when a metric stops getting better. Default: never. */
  readonly earlyStopping?: EarlyStoppingOptions | undefined;
  /** Writes checkpoints, also when training ends or is aborted. Default: none. */
  readonly checkpoint?: CheckpointOptions | undefined;
  /**
   * Goes on from the last checkpoint of `checkpoint.folder`, from the beginning if there is none yet; or from the
   * checkpoint at this path. On the same machine and number of threads the result is the same to the bit as that of a
   * training that was never stopped. Only `epochs`, `earlyStopping` and `checkpoint` may have changed. Checkpoints of
   * the folder that are further than the one at the path are removed when the next one is written. Default false.
   */
  readonly resume?: boolean | string | undefined;
  /** When it aborts, the current step of the optimizer is finished, and `fit` ends with `interrupted: true`. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch. */
  readonly onStep?: ((info: StepInfo) => void) | undefined;
  /** Called after each epoch and its validation; training waits for its promise. */
  readonly onEpoch?: ((metrics: EpochMetrics) => void | Promise<void>) | undefined;
  /** Called when training goes on from a checkpoint. Without it the notes become warnings of the process. */
  readonly onResume?: ((info: ResumeInfo) => void | Promise<void>) | undefined;
}

/** What `fit` gives. */
export interface FitResult {
  /** Of the epochs that were finished, those before a checkpoint too. */
  readonly epochs: readonly EpochMetrics[];
  /** Whether `signal` has ended training before its last epoch. */
  readonly interrupted: boolean;
  /** The epoch whose weights the network has, with `useBestEpoch`. */
  readonly bestEpoch?: number;
  /** Whether `earlyStopping` has ended training; absent if not. */
  readonly stoppedEarly?: true;
}

/**
 * Checks what `fit` checks before its first step; nothing is trained, read or written.
 * @throws ConfigError, ShapeError
 */
export function checkFit(model: SNN, data: Dataset, options: FitOptions): void {
  new Training(model, data, options).dispose();
}

/**
 * Trains a network: for each epoch the samples in a new order, the mean loss over a batch, its gradients, a step of
 * the optimizer; then the validation, and a step of the scheduler. The event loop gets a turn after each step, and
 * backward and the loading of data run on native threads; the data's values are copied at the start. The network is in
 * training mode meanwhile; afterwards its modules have their modes back, its states are reset and its gradients dropped.
 * @throws ConfigError for options; ShapeError for data that does not fit the network; CheckpointError for a checkpoint
 * that cannot be written, is damaged, or belongs to another training
 */
export async function fit(model: SNN, data: Dataset, options: FitOptions): Promise<FitResult> {
  return new Training(model, data, options).run();
}
