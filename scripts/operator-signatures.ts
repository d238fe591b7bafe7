/** The TypeScript signatures of a function, and its schemas as a doc comment shows them. */
import type { OperatorSchema, SchemaArgument } from '../lib/native/addon.js';
import { requiredCount } from './operator-resolution.js';
import {
  type Argument,
  camelCase,
  fullName,
  type Overload,
  plainType,
  type Words,
} from './operator-schemas.js';

export interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
}

export interface Signature {
  readonly parameters: readonly Parameter[];
  readonly returns: string;
}

const TYPES: Readonly<Record<string, string>> = {
  Tensor: 'Tensor',
  Scalar: 'Scalar',
  int: 'number',
  SymInt: 'number',
  float: 'number',
  bool: 'boolean',
  str: 'string',
  ScalarType: 'DType',
  Device: 'Device',
  Layout: 'Layout',
  MemoryFormat: 'MemoryFormat',
  Generator: 'Generator',
  'Tensor[]': 'readonly Tensor[]',
  'Tensor?[]': 'readonly (Tensor | null)[]',
  'int[]': 'readonly number[]',
  'SymInt[]': 'readonly number[]',
  'float[]': 'readonly number[]',
  'bool[]': 'readonly boolean[]',
  'Scalar[]': 'readonly Scalar[]',
};

function wordType({ values, type }: Words): string {
  const words = Array.isArray(values) ? (values as readonly string[]) : Object.keys(values);
  return type ?? words.map((word) => `'${word}'`).join(' | ');
}

function argumentType(argument: Argument): string {
  const base =
    argument.words === undefined ? (TYPES[plainType(argument.type)] as string) : wordType(argument.words);
  const single = argument.size > 0 ? `number | ${base}` : base;
  return argument.type.endsWith('?') ? `${single} | null` : single;
}

function isRequired({ hasDefault, type }: Argument): boolean {
  return !hasDefault && !type.endsWith('?');
}

function optionsType(overload: Overload): string {
  const isShared = (name: string): boolean => overload.isFactory && (name === 'dtype' || name === 'device');
  const members = overload.keywords
    .filter(({ name }) => !isShared(name))
    .map((argument) =>
      isRequired(argument)
        ? `readonly ${argument.jsName}: ${argumentType(argument)}`
        : `readonly ${argument.jsName}?: ${argumentType(argument)} | undefined`,
    );
  const own = members.length > 0 ? [`{ ${members.join('; ')} }`] : [];
  return [...(overload.isFactory ? ['FactoryOptions'] : []), ...own].join(' & ');
}

function resultType(overload: Overload): string {
  const { returns } = overload.schema;
  const one = ({ type }: SchemaArgument, index: number): string => {
    if (type === 'Tensor[]') return 'Tensor[]';
    const base = TYPES[plainType(type)] as string;
    return overload.nullable.includes(index) ? `${base} | null` : base;
  };
  if (returns.length === 0) return 'void';
  if (returns.length === 1) return one(returns[0] as SchemaArgument, 0);
  const members = returns.map((result, index) => {
    const name = camelCase(overload.resultNames[index] ?? '');
    return name === '' ? one(result, index) : `${name}: ${one(result, index)}`;
  });
  return `readonly [${members.join(', ')}]`;
}

/** Whether the result is the first argument itself. */
export function isInPlace({ schema }: Overload): boolean {
  return schema.returns.length === 1 && schema.returns[0]?.alias === 'write';
}

/** The options object may take the place of any argument that can be left out, so there is one signature for each. */
function signaturesOf(overload: Overload): Signature[] {
  const returns = resultType(overload);
  const required = requiredCount(overload);
  const count = overload.positional.length;
  const parameters = overload.positional.map((argument, index) => ({
    name: argument.jsName,
    type: argumentType(argument),
    optional: index >= required,
  }));
  if (overload.keywords.length === 0) return [{ parameters, returns }];
  const optional = !overload.keywords.some(isRequired);
  const options = { name: 'options', type: optionsType(overload), optional };
  const signatures =
    optional || count === required ? [{ parameters: [...parameters, options], returns }] : [];
  for (let given = required; given < (optional ? count : count + 1); given++) {
    if (given === required && given === count) continue;
    const leading = parameters.slice(0, given).map((parameter) => ({ ...parameter, optional: false }));
    signatures.push({ parameters: [...leading, { ...options, optional: false }], returns });
  }
  return signatures;
}

function sameParameter(a: Parameter | undefined, b: Parameter | undefined): boolean {
  return a !== undefined && b !== undefined && a.type === b.type && a.optional === b.optional;
}

/** Two signatures that differ in the type of one parameter are one with a union, which accepts unions too. */
function merge(a: Signature, b: Signature): Signature | undefined {
  if (a.returns !== b.returns || a.parameters.length !== b.parameters.length) return undefined;
  const different = a.parameters.flatMap((parameter, i) =>
    sameParameter(parameter, b.parameters[i]) ? [] : [i],
  );
  const [position] = different;
  if (position === undefined) return a;
  const [mine, theirs] = [a.parameters[position] as Parameter, b.parameters[position] as Parameter];
  const isObject = mine.name === 'options' || theirs.name === 'options';
  if (different.length > 1 || mine.optional !== theirs.optional || isObject) return undefined;
  const types = new Set([...mine.type.split(' | '), ...theirs.type.split(' | ')]);
  const union = { ...mine, type: [...types].join(' | ') };
  return { ...a, parameters: a.parameters.map((parameter, i) => (i === position ? union : parameter)) };
}

/** Whether every call of `a` is one of `b`. */
function isCovered(a: Signature, b: Signature): boolean {
  const rest = b.parameters.slice(a.parameters.length);
  return (
    a.returns === b.returns &&
    a.parameters.every((parameter, i) => sameParameter(parameter, b.parameters[i])) &&
    rest.every(({ optional }) => optional)
  );
}

/** The signatures of the given overloads, as few as say the same. */
export function mergedSignatures(overloads: readonly Overload[]): Signature[] {
  const result: Signature[] = [];
  const add = (signature: Signature): void => {
    const index = result.findIndex((other) => merge(other, signature) !== undefined);
    if (index < 0) result.push(signature);
    else {
      const merged = merge(result[index] as Signature, signature) as Signature;
      result.splice(index, 1);
      add(merged);
    }
  };
  for (const signature of overloads.flatMap(signaturesOf)) add(signature);
  return result.filter((a) => !result.some((b) => b !== a && isCovered(a, b)));
}

export function parameterList(parameters: readonly Parameter[]): string {
  return parameters.map(({ name, type, optional }) => `${name}${optional ? '?' : ''}: ${type}`).join(', ');
}

const DTYPE_NAMES: Readonly<Record<string, string>> = { '4': 'int64' };
const MEMORY_FORMAT_NAMES: Readonly<Record<string, string>> = { '0': 'contiguous_format' };

/** A default as PyTorch's documentation writes it. */
function defaultText({ type, default: text = 'None' }: SchemaArgument): string {
  const plain = plainType(type);
  if (text === 'None') return text;
  if (plain === 'ScalarType') return DTYPE_NAMES[text] ?? text;
  if (plain === 'MemoryFormat') return MEMORY_FORMAT_NAMES[text] ?? text;
  if (plain === 'str') return `'${text}'`;
  return plain === 'float' || plain === 'Scalar' ? String(Number(text)) : text;
}

function schemaType({ type, size, alias }: SchemaArgument): string {
  const sized = size > 0 ? type.replace('[]', `[${size}]`) : type;
  return alias === 'write' ? sized.replace('Tensor', 'Tensor(a!)') : sized;
}

/** `add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`. */
export function schemaText(schema: OperatorSchema): string {
  const firstKeyword = schema.arguments.findIndex(({ kwargOnly }) => kwargOnly);
  const parts = schema.arguments.map((argument, index) => {
    const value = argument.hasDefault ? `=${defaultText(argument)}` : '';
    return `${index === firstKeyword ? '*, ' : ''}${schemaType(argument)} ${argument.name}${value}`;
  });
  const returns = schema.returns.map((result) => `${schemaType(result)} ${result.name}`.trim());
  const name = fullName(schema).replace('aten::', '');
  return `${name}(${parts.join(', ')}) -> ${returns.length === 1 ? returns[0] : `(${returns.join(', ')})`}`;
}

/** The options with their defaults; '' when there are none. */
export function optionsText(overloads: readonly Overload[]): string {
  const makesNew = overloads.some(({ isFactory }) => isFactory);
  const texts = new Map<string, string>();
  for (const argument of overloads.flatMap(({ keywords }) => keywords)) {
    const text = argument.hasDefault ? optionDefault(argument, overloads) : 'required';
    texts.set(argument.jsName, argument.type === 'Generator?' ? "the device's own" : text);
  }
  if (makesNew) texts.set('requiresGrad', 'false');
  return [...texts].map(([name, text]) => `${name} (${text})`).join(', ');
}

function optionDefault(argument: Argument, overloads: readonly Overload[]): string {
  const text = defaultText(argument);
  const isNewFactory = overloads.some((overload) => overload.isFactory && !hasTensor(overload));
  if (text !== 'None') return text.replace(/^(True|False)$/, (word) => word.toLowerCase());
  if (argument.name === 'device') return isNewFactory ? 'cpu' : 'as self';
  if (argument.name !== 'dtype') return 'null';
  if (!overloads.some(({ isFactory }) => isFactory)) return 'by self';
  if (!isNewFactory) return 'as self';
  return overloads.some(takesScalar) ? 'float32, int64 for bigints' : 'float32';
}

function takesScalar({ positional }: Overload): boolean {
  return positional.some(({ type }) => type === 'Scalar');
}

/** Whether a tensor among the arguments gives dtype and device. */
export function hasTensor({ positional }: Overload): boolean {
  return positional.some(({ type }) => type.includes('Tensor'));
}
