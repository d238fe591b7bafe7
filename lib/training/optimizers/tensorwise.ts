import { type Tensor, tidy } from '../../tensor/index.js';
import { type Bucket, type CommonParameters, Optimizer, type ParameterGroup } from '../optimizer.js';

interface TensorwiseParameters extends CommonParameters {
  maximize: boolean;
  weightDecay?: number;
  decoupledWeightDecay?: boolean;
}

/** The states of these optimizers: the steps taken, and what the class adds. */
export type TensorwiseState = { step: number };

/** Optimizers that go from parameter to parameter with libtorch's ordinary operators, in PyTorch's order of them. */
export abstract class TensorwiseOptimizer<
  H extends TensorwiseParameters,
  S extends TensorwiseState,
> extends Optimizer<H> {
  /**
   * One step of one parameter. `state.step` counts from 1; `grad`, which is not to be written to, has its sign for
   * `maximize` and the L2 penalty already.
   */
  protected abstract advance(parameter: Tensor, grad: Tensor, state: S, group: ParameterGroup<H>): void;

  protected override update(group: ParameterGroup<H>, { params, grads }: Bucket): void {
    for (const [i, parameter] of params.entries()) {
      tidy(() => {
        const state = this.stateOf(parameter, group) as unknown as S;
        state.step += 1;
        this.advance(parameter, decayed(parameter, grads[i]!, group), state, group);
      });
    }
  }
}

function decayed(parameter: Tensor, grad: Tensor, group: TensorwiseParameters): Tensor {
  const { lr, maximize, weightDecay = 0, decoupledWeightDecay = false } = group;
  const signed = maximize ? grad.neg() : grad;
  if (weightDecay === 0) return signed;
  if (!decoupledWeightDecay) return signed.add(parameter, { alpha: weightDecay });
  parameter.mul_(1 - lr * weightDecay);
  return signed;
}
