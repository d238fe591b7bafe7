import { type Layer, ModuleDict } from '../nn/index.js';
import { SNN } from '../snn.js';
import type { Tensor } from '../tensor/index.js';

/** A network of named layers, one after the other. */
export class LayeredSNN extends SNN {
  /** The layers in their order, by the names that weights have. */
  readonly layers: ModuleDict<Layer> = new ModuleDict<Layer>();

  /**
   * Step mode 's': one time step `[N, *]` -> `[N, classes]`; 'm': `[T, N, *]` -> `[T, N, classes]`. Channels come
   * first: `[N, C, H, W]`.
   */
  override forward(x: Tensor): Tensor {
    let y = x;
    for (const layer of this.layers.values()) y = layer.forward(y);
    return y;
  }
}
