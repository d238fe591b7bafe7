import { ConfigError, type ConfigPath } from '../errors.js';
import { shown } from '../parameters.js';
import type { Table } from './table.js';
import { toml } from './toml.js';

/** A value given on the command line: `--model.0.epochs=3`. */
export interface Override {
  /** As typed. */
  readonly text: string;
  readonly path: ConfigPath;
  /** `null` for `None`. */
  readonly value: unknown;
}

/** An error in a value that came from the command line; the message begins with the override as typed. */
export class OverrideError extends ConfigError {
  constructor(override: string, { path, expected, got }: ConfigError) {
    super(path, expected, got);
    this.message = `${override}: ${this.message}`;
  }
}

/**
 * Reads `--PATH=VALUE`. A path is keys and indices joined by dots. A value is a TOML literal, or `True`, `False`,
 * `None`; anything else that does not begin like a string, list or table is a string as it stands.
 * @throws ConfigError
 */
export function parseOverride(text: string): Override {
  const found = /^--([^=]+)=(.*)$/s.exec(text);
  if (!found) throw new ConfigError([text], '--PATH=VALUE', 'no such form');
  const [, name = '', literal = ''] = found;
  const path = name.split('.').map((key) => (/^\d+$/.test(key) ? Number(key) : key));
  if (path.includes('') || path.includes('__proto__'))
    throw new ConfigError([text], 'keys joined by dots', shown(name));
  return { text, path, value: literalValue(text, literal.trim()) };
}

function literalValue(text: string, literal: string): unknown {
  if (literal === 'None') return null;
  try {
    const table = toml().parse(`value = ${pythonToToml(literal)}`);
    if (Object.keys(table).length === 1) return table['value'];
  } catch {
    // Not TOML: a bare word, or broken.
  }
  if (/^["'[{]/.test(literal)) throw new ConfigError([text], 'a complete TOML literal', literal);
  return literal;
}

// True and False outside strings.
function pythonToToml(literal: string): string {
  return literal.replaceAll(/"(?:\\.|[^"\\])*"|'[^']*'|\b(?:True|False)\b/g, (part) =>
    part === 'True' || part === 'False' ? part.toLowerCase() : part,
  );
}

/**
 * Puts the value into `tables`, making the tables on the way. A list replaces a list. `None` takes a key away;
 * in `params` it becomes `false`, which stands for "none" there, as in `v_reset = false`.
 * @throws ConfigError if the path leads through something that has no such place
 */
export function applyOverride(tables: Table, { path, value }: Override): void {
  let place: unknown = tables;
  path.forEach((key, depth) => {
    const here = path.slice(0, depth);
    const last = depth === path.length - 1;
    if (Array.isArray(place)) {
      if (typeof key !== 'number' || key >= place.length) {
        throw new ConfigError(here, `an index below ${place.length}`, shown(key));
      }
      if (last) place[key] = value;
      place = place[key];
      return;
    }
    if (place === null || typeof place !== 'object') throw new ConfigError(here, 'a table', shown(place));
    const table = place as Table;
    if (last && value === null && !path.includes('params')) {
      delete table[key];
    } else if (last) {
      table[key] = value ?? false;
    } else {
      if (!Object.hasOwn(table, key)) table[key] = Object.create(null);
      place = table[key];
    }
  });
}
