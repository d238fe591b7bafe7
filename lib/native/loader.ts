import { isMainThread } from 'node:worker_threads';
import { NativeLoadError } from '../errors.js';
import type { Addon } from './addon.js';
import { platformPackage } from './binaries.js';
import { type Chosen, choose } from './choose.js';
import { nothingFits } from './explain.js';
import { checkFiles } from './libraries.js';
import { isLoaded, openChoice } from './open.js';
import { isClone, platformProblem } from './platform.js';
import { probe } from './probe.js';
import { defaultThreadCount } from './threads.js';

function explain(chosen: Chosen): string {
  const target = `${process.platform}-${process.arch}`;
  return nothingFits(chosen, {
    env: process.env,
    isClone: isClone(),
    target,
    hasBinariesPackage: platformPackage(`@spikenode/${target}`) !== null,
    hasLibtorchPackage: platformPackage(`@spikenode/libtorch-${target}`) !== null,
  });
}

function load(): Addon {
  const problem = platformProblem();
  if (problem !== null) throw new NativeLoadError(problem);
  const chosen = choose();
  const { choice } = chosen;
  if (choice === null) throw new NativeLoadError(explain(chosen));
  checkFiles(choice);
  const isFirst = !isLoaded(choice);
  if (isFirst) probe(choice);
  const addon = openChoice(choice);
  if (isMainThread) process.once('exit', () => addon.stopWorkers());
  if (isFirst) addon.setNumThreads(defaultThreadCount());
  return addon;
}

let loaded: Addon | undefined;
let failure: unknown;

/**
 * The addon, loaded on the first call.
 * @throws NativeLoadError with what was tried and what to do.
 */
export function nativeAddon(): Addon {
  if (loaded !== undefined) return loaded;
  if (failure !== undefined) throw failure;
  try {
    loaded = load();
    return loaded;
  } catch (error) {
    failure = error;
    throw error;
  }
}
