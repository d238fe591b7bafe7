import { existsSync, readFileSync } from 'node:fs';
import { dirname, extname, isAbsolute, join } from 'node:path';
import { ConfigError } from '../errors.js';
import { checkValue, list, once, text, zod } from '../parameters.js';
import { located } from './locate.js';
import { applyOverride, type Override, OverrideError, parseOverride } from './override.js';
import { merged, type Table } from './table.js';
import { toml } from './toml.js';

/** One file of an experiment. */
export interface Source {
  /** As it was named. */
  readonly file: string;
  readonly text: string;
  readonly tables: Table;
}

/** An experiment as written: files and overrides, and what they say together before the template is applied. */
export interface Document {
  readonly tables: Table;
  /** The main file, then those that it includes. */
  readonly sources: readonly Source[];
  readonly overrides: readonly Override[];
}

/**
 * Parses a file's text.
 * @throws ConfigError with the place of a syntax error or a repeated key
 */
export function parseSource(content: string, file: string): Source {
  const plain = content.replace(/^\uFEFF/, '');
  try {
    return { file, text: plain, tables: toml().parse(plain) };
  } catch (error) {
    if (!(error instanceof toml().TomlError)) throw error;
    const { line, column } = error;
    const reason = error.message.split('\n', 1)[0]!.replace('Invalid TOML document: ', '');
    const repeated = reason.startsWith('trying to redefine');
    const at = { file, line, column };
    if (!repeated) throw new ConfigError([], 'valid TOML', reason, at);
    const name = /^[^\s=.\]]*/.exec(plain.split('\n')[line - 1]!.slice(column - 1))?.[0] ?? '';
    throw new ConfigError([name], 'one value', 'a repeated key', at);
  }
}

/**
 * Puts an experiment together: the main file wins over what it includes, the command line over both.
 * @throws ConfigError
 */
export async function readDocument(
  content: string,
  file: string,
  overrides: readonly string[],
): Promise<Document> {
  const main = parseSource(content, file);
  const sources = [main];
  try {
    sources.push(...included(main));
  } catch (error) {
    throw error instanceof ConfigError ? await located(error, { sources, overrides: [] }) : error;
  }
  const tables = structuredClone(sources.map((source) => source.tables).reduce(merged));
  delete tables['includes'];
  delete tables['include_search_paths'];
  const parsed = overrides.map(parseOverride);
  for (const override of parsed) {
    try {
      applyOverride(tables, override);
    } catch (error) {
      throw error instanceof ConfigError ? new OverrideError(override.text, error) : error;
    }
  }
  return { tables, sources, overrides: parsed };
}

const includesCheck = once(() =>
  zod().looseObject({
    includes: list(text()).default([]),
    include_search_paths: list(text()).default([]),
  }),
);

function included(main: Source): Source[] {
  const { includes, include_search_paths } = checkValue(includesCheck(), main.tables, []);
  const folder = dirname(main.file);
  const inFolder = include_search_paths.map((path) => (isAbsolute(path) ? path : join(folder, path)));
  const folders = [folder, ...inFolder, 'conf'];
  return includes.map((name, index) => {
    const path = ['includes', index];
    const names = extname(name) === '.toml' ? [name] : [name, `${name}.toml`];
    const files = names.flatMap((one) =>
      isAbsolute(one) ? [one] : folders.map((where) => join(where, one)),
    );
    const file = files.find((candidate) => existsSync(candidate));
    if (file === undefined) {
      throw new ConfigError(path, `a file in one of ${folders.join(', ')}`, JSON.stringify(name));
    }
    const source = parseSource(readFileSync(file, 'utf8'), file);
    if (Object.hasOwn(source.tables, 'includes')) {
      throw new ConfigError(path, 'a file that includes no others', JSON.stringify(name));
    }
    return source;
  });
}
