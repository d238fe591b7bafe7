import type { AST } from 'toml-eslint-parser';
import { ConfigError, type ConfigPath, type SourceLocation } from '../errors.js';
import { KeyError } from '../parameters.js';
import { OverrideError } from './override.js';
import type { Document, Source } from './source.js';
import { valueAt } from './table.js';

/**
 * The same error with the place that it is about: the override it came from, or a position in a file. That is the key
 * if the key itself is wrong, else the value; for something missing, the header of the table that lacks it.
 */
export async function located(
  error: ConfigError,
  document: Pick<Document, 'sources' | 'overrides'>,
): Promise<ConfigError> {
  if (error.location || error instanceof OverrideError) return error;
  const { path } = error;
  const written = document.sources.some(({ tables }) => valueAt(tables, path) !== undefined);
  const override = [...document.overrides].reverse().find((one) => {
    const shared = Math.min(one.path.length, path.length);
    // One that leads further than the error has made the table that is wrong, unless a file has it.
    return (
      (shared === one.path.length || !written) && one.path.slice(0, shared).every((key, i) => key === path[i])
    );
  });
  if (override) return new OverrideError(override.text, error);
  const place = await locationOf(path, error instanceof KeyError, document.sources);
  return new ConfigError(path, error.expected, error.got, place);
}

async function locationOf(
  path: ConfigPath,
  isKey: boolean,
  sources: readonly Source[],
): Promise<SourceLocation> {
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length);
    const source = sources.find(({ tables }) => valueAt(tables, part) !== undefined);
    if (!source) continue;
    const { key, header, value } = (await placesIn(source)).get(JSON.stringify(part)) ?? {};
    const place = length < path.length || !isKey ? (header ?? value ?? key) : key;
    if (place) return { file: source.file, line: place.line, column: place.column + 1 };
  }
  return { file: sources[0]!.file, line: 1, column: 1 };
}

// Lines from 1, columns from 0, as the parser counts.
interface Position {
  readonly line: number;
  readonly column: number;
}

interface Places {
  key?: Position;
  value?: Position;
  /** Where a table begins: its header, else the first dotted key that leads into it. */
  header?: Position;
}

// Where each path of the file stands, by the path as JSON. The parser is loaded here because only errors need it.
async function placesIn({ text }: Source): Promise<Map<string, Places>> {
  const { parseTOML } = await import('toml-eslint-parser');
  const places = new Map<string, Places>();
  const at = (path: ConfigPath): Places => {
    const name = JSON.stringify(path);
    const found = places.get(name) ?? {};
    places.set(name, found);
    return found;
  };
  const addValue = (path: ConfigPath, node: AST.TOMLContentNode): void => {
    at(path).value ??= node.loc.start;
    if (node.type === 'TOMLArray') {
      node.elements.forEach((element, i) => {
        addValue([...path, i], element);
      });
    } else if (node.type === 'TOMLInlineTable') {
      for (const pair of node.body) addPair(path, pair);
    }
  };
  const addPair = (path: ConfigPath, { key, value }: AST.TOMLKeyValue): void => {
    const whole = [...path];
    key.keys.forEach((one, i) => {
      whole.push(nameOf(one));
      const found = at(whole);
      found.key ??= one.loc.start;
      if (i < key.keys.length - 1) found.header ??= key.loc.start;
    });
    addValue(whole, value);
  };
  for (const node of parseTOML(text).body[0].body) {
    if (node.type === 'TOMLKeyValue') {
      addPair([], node);
      continue;
    }
    const { resolvedKey, key, loc, body } = node;
    const names = [...key.keys];
    resolvedKey.forEach((_, i) => {
      const found = at(resolvedKey.slice(0, i + 1));
      if (typeof resolvedKey[i] === 'string') found.key ??= names.shift()?.loc.start ?? loc.start;
      found.header ??= loc.start;
    });
    at(resolvedKey).header = loc.start;
    for (const pair of body) addPair(resolvedKey, pair);
  }
  return places;
}

function nameOf(key: AST.TOMLBare | AST.TOMLQuoted): string {
  return key.type === 'TOMLBare' ? key.name : key.value;
}
