import { ConfigError } from '../errors.js';
import { shown } from '../parameters.js';
import { Registry } from '../registry.js';
import type { SNNClass } from '../snn.js';
import { SCNN } from './scnn.js';
import { SMLP } from './smlp.js';

export { LayeredSNN } from './layered.js';
export { type MapSize, SCNN, type SCNNOptions } from './scnn.js';
export { SMLP, type SMLPOptions } from './smlp.js';

/** Networks by the names that configurations use (`kind`). */
export const models: Registry<SNNClass> = new Registry<SNNClass>('model kind', { SMLP, SCNN });

/**
 * Makes a network class of one's own known under a name. It is constructed with `{ inputShape, outputShape }` and what
 * its static `parameters` have, in camelCase.
 * @throws ConfigError for a name that exists, or something that is not such a class
 */
export function registerModel(name: string, model: SNNClass): void {
  if (typeof model !== 'function' || typeof model.parameters !== 'object') {
    throw new ConfigError([name], 'a class with static parameters', shown(model));
  }
  models.register(name, model);
}
