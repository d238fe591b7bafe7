import { ShapeError } from '../errors.js';
import { isTensor, noGrad, type Tensor } from '../tensor/index.js';
import { sameShape } from './arguments.js';

/** Tensors by PyTorch's names. */
export type StateDict = Readonly<Record<string, Tensor>>;

/** What a state dictionary did not have, and what it had too much. */
export interface LoadResult {
  /** Names that the module has and the dictionary has not. */
  readonly missing: readonly string[];
  /** Names that the dictionary has and the module has not. */
  readonly unexpected: readonly string[];
}

/** Copies `state` into `targets` after everything has been checked; see `Module.loadStateDict`. */
export function copyState(
  what: string,
  targets: ReadonlyMap<string, Tensor>,
  state: StateDict | ReadonlyMap<string, Tensor>,
  strict: boolean,
): LoadResult {
  const given: ReadonlyMap<string, Tensor> = state instanceof Map ? state : new Map(Object.entries(state));
  const missing = [...targets.keys()].filter((name) => !given.has(name));
  const unexpected = [...given.keys()].filter((name) => !targets.has(name));
  const pairs = [...targets].flatMap(([name, target]) => {
    const value = given.get(name);
    return value === undefined ? [] : [{ name, target, value }];
  });
  const wrongTypes = pairs.filter(({ value }) => !isTensor(value)).map(({ name }) => name);
  const names = [
    ...(strict ? differences(what, missing, unexpected) : []),
    ...(wrongTypes.length > 0 ? [`what it has under ${some(wrongTypes)} is not a Tensor`] : []),
  ];
  const sizes = pairs
    .filter(({ target, value }) => isTensor(value) && !sameShape(target.shape, value.shape))
    .map(({ name, target, value }) => `${name} has the shape [${target.shape}], got [${value.shape}]`);
  const problems = [...names, ...sizes];
  if (problems.length > 0) {
    const message = `${what}.loadStateDict: ${problems.join('; ')}`;
    throw names.length > 0 ? new TypeError(message) : new ShapeError(message);
  }
  noGrad(() => {
    for (const { target, value } of pairs) target.copy_(value);
  });
  return { missing, unexpected };
}

function differences(what: string, missing: readonly string[], unexpected: readonly string[]): string[] {
  const [first] = missing;
  // Frameworks save a network inside another module, whose name then stands before every key.
  const prefix = unexpected.find((name) => name.endsWith(`.${first}`))?.slice(0, -(first as string).length);
  const isPrefixed = prefix !== undefined && missing.every((name) => unexpected.includes(prefix + name));
  if (isPrefixed) return [`its names begin with '${prefix}', those of ${what} do not`];
  return [
    ...(missing.length > 0 ? [`the state dictionary lacks ${some(missing)}`] : []),
    ...(unexpected.length > 0 ? [`${what} has no ${some(unexpected)}`] : []),
  ];
}

// A network has hundreds of names; a message shows the first.
function some(names: readonly string[]): string {
  const shown = 8;
  if (names.length <= shown + 1) return names.join(', ');
  return `${names.slice(0, shown).join(', ')} and ${names.length - shown} more`;
}
