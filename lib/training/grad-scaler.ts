import { ConfigError, DTypeError, TorchError } from '../errors.js';
import { finite, flag, integer, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import { queued } from '../tensor/dispatch.js';
import { full, isTensor, keep, noGrad, type Tensor, tidy } from '../tensor/index.js';
import { _ampForeachNonFiniteCheckAndUnscale_, _ampUpdateScale_ } from '../tensor/internal.generated.js';
import { argumentError } from '../tensor/operator.js';
import type { Optimizer } from './optimizer.js';

/** Options of `GradScaler`, with PyTorch's defaults. */
export interface GradScalerOptions {
  /** > 0. Default 65536. */
  readonly initScale?: number;
  /** > 1: what the scale is multiplied by after `growthInterval` steps without inf or NaN. Default 2. */
  readonly growthFactor?: number;
  /** > 0 and < 1: what it is multiplied by after a step with them. Default 0.5. */
  readonly backoffFactor?: number;
  /** Default 2000. */
  readonly growthInterval?: number;
  /** False: losses stay as they are and `step` is the optimizer's. Default true. */
  readonly enabled?: boolean;
}

interface GradScalerParameters {
  initScale: number;
  growthFactor: number;
  backoffFactor: number;
  growthInterval: number;
  enabled: boolean;
}

/** PyTorch's layout; `_growth_tracker` counts the steps without inf or NaN since the scale changed. */
export interface GradScalerState {
  /** The factor of the losses. */
  readonly scale: number;
  /** As in the options, like the next two. */
  readonly growth_factor: number;
  /** What the scale is multiplied by after a skipped step. */
  readonly backoff_factor: number;
  /** Steps without inf or NaN until the scale grows. */
  readonly growth_interval: number;
  /** Such steps since the scale changed. */
  readonly _growth_tracker: number;
}

const factors: ParameterTable = {
  growthFactor: parameter('growth_factor', finite().gt(1).default(2)),
  backoffFactor: parameter('backoff_factor', finite().gt(0).lt(1).default(0.5)),
  growthInterval: parameter('growth_interval', integer(1).default(2000)),
};

const stateTable: ParameterTable = {
  ...factors,
  // Halved often enough, a scale is 0.
  scale: parameter('scale', finite().min(0)),
  growthTracker: parameter('_growth_tracker', integer(0)),
};

/** The scale and its age as tensors, made for the device of the first loss. */
interface Scale {
  readonly value: Tensor;
  readonly tracker: Tensor;
}

/** What happened to an optimizer's gradients since the last `update`. */
interface Progress {
  stage: 'ready' | 'unscaled' | 'stepped';
  /** By device: 1 where some gradient was inf or NaN, else 0. */
  readonly found: Map<string, Tensor>;
}

/**
 * Scales losses so that small gradients survive in float16, and skips the steps whose gradients overflow. The scale
 * adapts itself: times `backoffFactor` after a skipped step, times `growthFactor` after `growthInterval` others.
 *
 *     const loss = autocast({ dtype: 'float16' }, () => mseLoss(net.forward(x), y));
 *     scaler.scale(loss).backward();
 *     scaler.step(optimizer); // unscales; or call unscale_ before, to clip the gradients for instance
 *     scaler.update();
 */
export class GradScaler implements Disposable {
  static readonly parameters: ParameterTable = {
    initScale: parameter('init_scale', finite().gt(0).default(65536)),
    ...factors,
    enabled: parameter('enabled', flag().default(true)),
  };

  readonly #parameters: GradScalerParameters;
  #growthTracker = 0;
  #scale: Scale | null = null;
  readonly #progress: Map<Optimizer, Progress> = new Map();

  /** Options in either spelling. @throws ConfigError */
  constructor(options: GradScalerOptions = {}) {
    this.#parameters = resolveParameters<GradScalerParameters>(GradScaler.parameters, options);
  }

  /** Whether losses are scaled. */
  isEnabled(): boolean {
    return this.#parameters.enabled;
  }

  /** The current scale; 1 when disabled. */
  getScale(): number {
    if (!this.isEnabled()) return 1;
    return this.#scale === null ? this.#parameters.initScale : Number(this.#scale.value.item());
  }

  /** A loss, or each of several, times the scale. The same object when disabled. */
  scale(outputs: Tensor): Tensor;
  scale(outputs: readonly Tensor[]): Tensor[];
  scale(outputs: Tensor | readonly Tensor[]): Tensor | Tensor[] {
    if (Array.isArray(outputs)) return outputs.map((output: Tensor) => this.scale(output));
    if (!isTensor(outputs)) {
      throw argumentError('GradScaler.scale', 'outputs', 'a Tensor or an array of them', outputs);
    }
    if (!this.isEnabled()) return outputs;
    const { device } = outputs;
    this.#scale ??= {
      value: keep(full([], this.#parameters.initScale, { device })),
      tracker: keep(full([], this.#growthTracker, { dtype: 'int32', device })),
    };
    return outputs.mul(this.#scale.value.to(device));
  }

  /**
   * Divides the gradients of the optimizer's parameters by the scale, in place. Once at most between two updates, when
   * all gradients are there; without it `step` does it.
   * @throws TorchError out of this order; DTypeError for float16 gradients, which have overflowed if they could
   */
  unscale_(optimizer: Optimizer): void {
    if (!this.isEnabled()) return;
    const scale = this.#requireScale('unscale_');
    const progress = this.#progressOf(optimizer);
    if (progress.stage !== 'ready') {
      const first =
        progress.stage === 'unscaled' ? 'it was called for this optimizer already' : 'it comes after step';
      throw new TorchError(`GradScaler.unscale_: ${first} since the last update()`);
    }
    noGrad(() =>
      tidy(() => {
        const inverse = scale.value.to('float64').reciprocal().to('float32');
        for (const gradients of gradientsOf(optimizer)) {
          const { device } = gradients[0]!;
          const found = progress.found.get(device) ?? keep(full([], 0, { device }));
          progress.found.set(device, found);
          _ampForeachNonFiniteCheckAndUnscale_(gradients, found, inverse.to(device));
        }
      }),
    );
    progress.stage = 'unscaled';
  }

  /**
   * The optimizer's step with the gradients as they would be without scaling; none when one of them is inf or NaN.
   * @throws TorchError when no loss was scaled, no parameter has a gradient, or for a second step before `update`
   */
  step(optimizer: Optimizer): void {
    if (!this.isEnabled()) {
      optimizer.step();
      return;
    }
    const progress = this.#requireReady(optimizer);
    if (progress.stage === 'ready') this.unscale_(optimizer);
    const found = foundIn(progress);
    progress.stage = 'stepped';
    if (found.every((flag) => flag.item() === 0)) optimizer.step();
  }

  /** `step` on a native thread; see `Optimizer.stepAsync`. */
  async stepAsync(optimizer: Optimizer): Promise<void> {
    if (!this.isEnabled()) return optimizer.stepAsync();
    const progress = this.#requireReady(optimizer);
    const unscaled = progress.stage === 'ready' ? queued(() => this.unscale_(optimizer)) : null;
    // At once, so that a second call is refused; not when there was nothing to unscale, or an error.
    if (progress.found.size > 0) progress.stage = 'stepped';
    await unscaled;
    const flags = await Promise.all(foundIn(progress).map((flag) => flag.itemAsync()));
    if (flags.every((flag) => flag === 0)) await optimizer.stepAsync();
  }

  /**
   * Ends an iteration: adapts the scale to what the steps found, or sets a new one.
   * @param newScale > 0, a number or a Tensor with one element
   * @throws TorchError when no step was tried
   */
  update(newScale?: number | Tensor): void {
    if (!this.isEnabled()) return;
    const scale = this.#requireScale('update');
    if (newScale === undefined) this.#adapt(scale);
    else scale.value.fill_(scaleOf(newScale));
    this.#forget();
  }

  #forget(): void {
    for (const { found } of this.#progress.values()) for (const flag of found.values()) flag.dispose();
    this.#progress.clear();
  }

  #adapt({ value, tracker }: Scale): void {
    const flags = [...this.#progress.values()].flatMap(({ found }) => [...found.values()]);
    if (flags.length === 0) {
      throw new TorchError('GradScaler.update: no gradients were unscaled since the last update()');
    }
    const { growthFactor, backoffFactor, growthInterval } = this.#parameters;
    tidy(() => {
      const any = flags.map((flag) => flag.to(value.device)).reduce((a, b) => a.add(b));
      _ampUpdateScale_(value, tracker, any, growthFactor, backoffFactor, growthInterval);
    });
  }

  /** Empty when disabled. Between two iterations, that is after `update`. */
  stateDict(): GradScalerState | Record<string, never> {
    if (!this.isEnabled()) return {};
    const { growthFactor, backoffFactor, growthInterval } = this.#parameters;
    return {
      scale: this.getScale(),
      growth_factor: growthFactor,
      backoff_factor: backoffFactor,
      growth_interval: growthInterval,
      _growth_tracker: this.#scale === null ? this.#growthTracker : Number(this.#scale.tracker.item()),
    };
  }

  /** Nothing happens when disabled. @throws ConfigError; nothing has changed then */
  loadStateDict(state: GradScalerState | Record<string, never>): void {
    if (!this.isEnabled()) return;
    if (Object.keys(state).length === 0) {
      throw new ConfigError([], 'the state of an enabled GradScaler', 'that of a disabled one');
    }
    type Loaded = GradScalerParameters & { scale: number; growthTracker: number };
    const { scale, growthTracker, ...loaded } = resolveParameters<Loaded>(stateTable, state);
    this.#release();
    Object.assign(this.#parameters, loaded, { initScale: scale });
    this.#growthTracker = growthTracker;
  }

  #requireScale(name: string): Scale {
    if (this.#scale !== null) return this.#scale;
    throw new TorchError(`GradScaler.${name}: no loss was scaled yet; call scale(loss).backward() before`);
  }

  #requireReady(optimizer: Optimizer): Progress {
    this.#requireScale('step');
    const progress = this.#progressOf(optimizer);
    if (progress.stage !== 'stepped') return progress;
    throw new TorchError('GradScaler.step: it was called for this optimizer already since the last update()');
  }

  #progressOf(optimizer: Optimizer): Progress {
    const known = this.#progress.get(optimizer);
    if (known !== undefined) return known;
    const progress: Progress = { stage: 'ready', found: new Map() };
    this.#progress.set(optimizer, progress);
    return progress;
  }

  /** Gives the memory back; scale and tracker start from their last values with the next loss. */
  dispose(): void {
    if (this.#scale !== null) {
      const { scale, _growth_tracker: tracker } = this.stateDict() as GradScalerState;
      this.#parameters.initScale = scale;
      this.#growthTracker = tracker;
    }
    this.#release();
  }

  #release(): void {
    this.#scale?.value.dispose();
    this.#scale?.tracker.dispose();
    this.#scale = null;
    this.#forget();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function foundIn({ found }: Progress): Tensor[] {
  if (found.size > 0) return [...found.values()];
  throw new TorchError('GradScaler.step: none of the parameters of this optimizer has a gradient');
}

// One list for each dtype and device, which the operator takes at once.
function gradientsOf(optimizer: Optimizer): Iterable<Tensor[]> {
  const lists = new Map<string, Tensor[]>();
  for (const parameter of optimizer.paramGroups.flatMap(({ params }) => params)) {
    const gradient = parameter.grad;
    if (gradient === null) continue;
    if (gradient.dtype === 'float16') {
      throw new DTypeError(
        'GradScaler.unscale_: the gradients must not be float16; keep the parameters in float32 and run the network in ' +
          "autocast({ dtype: 'float16' }, ...)",
      );
    }
    const key = `${gradient.dtype} ${gradient.device}`;
    const list = lists.get(key);
    if (list === undefined) lists.set(key, [gradient]);
    else list.push(gradient);
  }
  return lists.values();
}

function scaleOf(newScale: number | Tensor): number {
  const isOne = isTensor(newScale) && newScale.numel === 1;
  const value = isOne ? newScale.item() : newScale;
  if (typeof value === 'number' && value > 0 && value < Infinity) return value;
  throw argumentError('GradScaler.update', 'newScale', 'a number > 0 or a Tensor with one', value);
}
