export { Dropout, Dropout2d } from './dropout.js';
export {
  detachNet,
  multiStepForward,
  resetNet,
  type StepFunction,
  seqToAnnForward,
  setStepMode,
} from './functional.js';
export { MemoryModule, State, type StepLike } from './memory.js';
