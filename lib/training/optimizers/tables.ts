/** What the parameter tables of several optimizers share. */
import { ConfigError } from '../../errors.js';
import {
  finite,
  flag,
  list,
  type Parameter,
  type ParameterTable,
  parameter,
  resolved,
  shown,
} from '../../parameters.js';
import type { ImplementationOptions } from '../optimizer.js';

/** `lr`, `weight_decay` and `maximize`. */
export function common(lr: number, weightDecay: number = 0): ParameterTable {
  return {
    lr: parameter('lr', () => finite().min(0).default(lr)),
    weightDecay: parameter('weight_decay', () => finite().min(0).default(weightDecay)),
    maximize: parameter('maximize', () => flag().default(false)),
  };
}

/** The decay rates of two moments. */
export function betas(): Parameter {
  return parameter('betas', () => {
    const check = list(finite().min(0).lt(1)).length(2).describe('a list of two numbers >= 0 and < 1');
    return check.default([0.9, 0.999]);
  });
}

/** What keeps a division from zero. */
export function epsilon(value: number): Parameter {
  return parameter('eps', () => finite().min(0).default(value));
}

const choice = (): Parameter['check'] => flag().nullable().optional();

const implementations: Readonly<Record<keyof ImplementationOptions, Parameter>> = {
  foreach: parameter('foreach', choice),
  fused: parameter('fused', choice),
  capturable: parameter('capturable', () => onlyFalse('steps are not captured in CUDA graphs')),
  differentiable: parameter('differentiable', () => onlyFalse('steps are not recorded for backward')),
};

/** The named ones of PyTorch's choices of an implementation. */
export function switches(...names: readonly (keyof ImplementationOptions)[]): ParameterTable {
  return Object.fromEntries(names.map((name) => [name, implementations[name]]));
}

function onlyFalse(reason: string): Parameter['check'] {
  return resolved((value): false => {
    if (value === undefined || value === false) return false;
    throw new ConfigError([], `false, since ${reason}`, shown(value));
  });
}
