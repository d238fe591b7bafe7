/** Source text of the generated functions. */
import { type Choice, inOrder, requiredCount, resolveOverloads } from './operator-resolution.js';
import { type Argument, type Family, type Overload, plainType } from './operator-schemas.js';
import {
  hasTensor,
  isInPlace,
  mergedSignatures,
  optionsText,
  parameterList,
  type Signature,
  schemaText,
} from './operator-signatures.js';

/** Constants that functions share, filled while they are written. */
export interface Constants {
  /** Source of an array of option names -> its constant. */
  readonly optionKeys: Map<string, string>;
  /** Source of a map of words -> its constant. */
  readonly words: Map<string, string>;
}

function constantFor(table: Map<string, string>, source: string, prefix: string): string {
  const known = table.get(source);
  if (known !== undefined) return known;
  const name = `${prefix}${table.size}`;
  table.set(source, name);
  return name;
}

/** `op_add_Tensor`, the constant that holds an operator. */
export function operatorConstant({ name, overload }: Overload): string {
  const base = name.replace('aten::', '').replace('::', '_');
  return overload === '' ? `op_${base}` : `op_${base}_${overload}`;
}

/** The parameters of the implementation by position, named as in the longest overload. */
function parameterNames(family: Family): string[] {
  const overloads = inOrder(family);
  const count = Math.max(
    ...overloads.map(({ positional, keywords }) => positional.length + (keywords.length > 0 ? 1 : 0)),
  );
  const [longest] = overloads.sort((a, b) => b.positional.length - a.positional.length);
  return Array.from({ length: count }, (_, position) => longest?.positional[position]?.jsName ?? 'options');
}

/** One overload's call, as statements; `names` are the variables that hold the arguments. */
class CallWriter {
  readonly #overload: Overload;
  readonly #names: readonly string[];
  readonly #constants: Constants;
  readonly #op: string;
  #options: string | undefined;
  /** Arguments in whose place the options may stand. */
  #movable: readonly string[] = [];

  constructor(overload: Overload, names: readonly string[], constants: Constants) {
    this.#overload = overload;
    this.#names = names;
    this.#constants = constants;
    this.#op = `'${overload.name.slice(overload.name.indexOf('::') + 2)}'`;
  }

  statements(): string[] {
    return [...this.#optionsStatements(), ...this.#resultStatements()];
  }

  #optionsStatements(): string[] {
    const { keywords, positional, isFactory } = this.#overload;
    if (keywords.length === 0) return [];
    const last = this.#names[positional.length] as string;
    this.#movable = this.#names.slice(requiredCount(this.#overload), positional.length);
    this.#options = this.#movable.length > 0 ? 'given' : last;
    const allowed = [...keywords.map(({ jsName }) => jsName), ...(isFactory ? ['requiresGrad'] : [])];
    const list = `[${allowed.map((name) => `'${name}'`).join(', ')}]`;
    const keys = constantFor(this.#constants.optionKeys, list, 'options');
    const alternatives = this.#movable.map((name) => `isOptions(${name}) ? ${name} : `);
    return [
      ...(this.#movable.length > 0 ? [`const given = ${alternatives.join('')}${last};`] : []),
      `if (${this.#options} !== undefined) checkOptions(${this.#options}, ${keys}, ${this.#op});`,
    ];
  }

  #resultStatements(): string[] {
    const { schema, nullable, isFactory } = this.#overload;
    const call = this.#call();
    if (schema.returns.length === 0) return [`${call};`];
    if (isInPlace(this.#overload)) return [`${call};`, `return ${this.#names[0]};`];
    if (schema.returns.length > 1) return this.#tupleStatements(call);
    const type = schema.returns[0]?.type as string;
    if (type === 'Tensor[]') return [`return wrapList(${call});`];
    if (type !== 'Tensor') return [`return ${call} as never;`];
    const result = nullable.includes(0) ? `wrapOptional(${call})` : `wrap(${call})`;
    return isFactory
      ? [`return withGrad(${result}, ${this.#options}?.requiresGrad, ${this.#op});`]
      : [`return ${result};`];
  }

  #tupleStatements(call: string): string[] {
    const { schema, nullable } = this.#overload;
    const isPlain = schema.returns.every(({ type }) => type === 'Tensor') && nullable.length === 0;
    if (isPlain) return [`return wrapList(${call}) as never;`];
    const members = schema.returns.map(({ type }, index) => {
      if (type === 'Tensor[]') return `wrapList(results[${index}])`;
      if (type !== 'Tensor') return `results[${index}]`;
      return nullable.includes(index) ? `wrapOptional(results[${index}])` : `wrap(results[${index}])`;
    });
    return [`const results = ${call} as unknown[];`, `return [${members.join(', ')}] as never;`];
  }

  #call(): string {
    const constant = operatorConstant(this.#overload);
    const args = this.#overload.schema.arguments.map(({ name }) => this.#value(name));
    while (args.at(-1) === 'undefined') args.pop();
    if (this.#overload.isQueued) return `run(${[constant, ...args].join(', ')})`;
    return `${constant}.bound().call(${[`${constant}.id`, ...args].join(', ')})`;
  }

  #value(name: string): string {
    const { positional, keywords, hidden } = this.#overload;
    const constant = hidden.get(name);
    if (constant !== undefined) return constant;
    const position = positional.findIndex((argument) => argument.name === name);
    if (position >= 0) {
      const variable = this.#names[position] as string;
      const isMovable = this.#movable.includes(variable);
      const source = isMovable ? `given === ${variable} ? undefined : ${variable}` : variable;
      return this.#converted(positional[position] as Argument, source);
    }
    const argument = keywords.find((keyword) => keyword.name === name) as Argument;
    const value = this.#converted(argument, `${this.#options}?.${argument.jsName}`);
    return argument.name === 'dtype' && argument.type === 'ScalarType?'
      ? this.#dtype(argument, value)
      : value;
  }

  #converted(argument: Argument, value: string): string {
    const { type, name, words } = argument;
    const where = `${this.#op}, '${name}'`;
    if (words !== undefined && !Array.isArray(words.values)) {
      const entries = Object.entries(words.values).map(([word, number]) => `['${word}', ${number}]`);
      const table = constantFor(this.#constants.words, `[${entries.join(', ')}]`, 'words');
      return `choiceOf(${value}, ${table}, ${where})`;
    }
    if (argument.bounded !== undefined) {
      if (type === 'Scalar') return `safeOf(${value}, ${where})`;
      return `boundedOf(${value}, ${where}${argument.bounded === 31 ? '' : `, ${argument.bounded}`})`;
    }
    if (type === 'Tensor') return `handleOf(${value}, ${where})`;
    if (type === 'Tensor?') return `optionalHandleOf(${value}, ${where})`;
    if (type === 'Generator?') return `generatorHandleOf(${value}, ${where})`;
    return plainType(type).startsWith('Tensor') ? `handlesOf(${value}, ${where})` : value;
  }

  /** New tensors are float32, where a bigint does not make them int64. */
  #dtype(argument: Argument, value: string): string {
    const { isFactory, positional } = this.#overload;
    if (!isFactory || hasTensor(this.#overload) || argument.default !== 'None') return value;
    const bigints = positional.flatMap(({ type }, position) =>
      type === 'Scalar' ? [`typeof ${this.#names[position]} === 'bigint'`] : [],
    );
    return bigints.length > 0
      ? `${value} ?? (${bigints.join(' || ')} ? 'int64' : 'float32')`
      : `${value} ?? 'float32'`;
  }
}

function choiceLines(
  { overload, condition }: Choice,
  names: readonly string[],
  constants: Constants,
): string[] {
  const statements = new CallWriter(overload, names, constants).statements();
  if (condition === undefined) return statements.map((line) => `  ${line}`);
  const returns = overload.schema.returns.length > 0;
  const body = returns ? statements : [...statements, 'return;'];
  if (body.length === 1) return [`  if (${condition}) ${body[0]}`];
  return [`  if (${condition}) {`, ...body.map((line) => `    ${line}`), '  }'];
}

function docComment(overloads: readonly Overload[]): string[] {
  const options = optionsText(overloads);
  const lines = [
    ...overloads.map(({ schema }) => `\`${schemaText(schema)}\``),
    ...(options === '' ? [] : [`Options: ${options}.`]),
  ];
  if (lines.length === 1) return [`/** ${lines[0]} */`];
  return [
    '/**',
    ...lines.map((line, index) => ` * ${index === lines.length - 1 ? line : `${line}\\`}`),
    ' */',
  ];
}

/** The exported function of a family. */
export function functionSource(family: Family, constants: Constants): string {
  const names = parameterNames(family);
  const choices = resolveOverloads(family, names);
  const signatures = mergedSignatures(choices.map(({ overload }) => overload));
  const body = choices.flatMap((choice) => choiceLines(choice, names, constants));
  const head = (parameters: string, returns: string): string =>
    `export function ${family.functionName}(${parameters}): ${returns}`;
  const declared = signatures.map(({ parameters, returns }) => head(parameterList(parameters), returns));
  const [only] = declared;
  const declaredNames = signatures[0]?.parameters.map(({ name }) => name) ?? [];
  const isTyped = signatures.length === 1 && declaredNames.join() === names.join();
  const required = Math.min(...signatures.map(countRequired));
  const loose = names.map((name, index) => `${name}${index < required ? '' : '?'}: any`).join(', ');
  const implementation = isTyped
    ? [`${only} {`]
    : [...declared.map((line) => `${line};`), `${head(loose, 'any')} {`];
  return [...docComment(choices.map(({ overload }) => overload)), ...implementation, ...body, '}', ''].join(
    '\n',
  );
}

function countRequired({ parameters }: Signature): number {
  return parameters.filter(({ optional }) => !optional).length;
}

function isMethod({ positional }: Overload): boolean {
  return positional[0]?.name === 'self' && positional[0].type === 'Tensor';
}

/** What the Tensor interface declares for a family; nothing unless some overload begins with `self`. */
export function methodDeclarations(family: Family): string[] {
  const ordered = inOrder(family);
  const overloads = ordered.filter(isMethod);
  if (overloads.length === 0) return [];
  const declared = mergedSignatures(overloads).map(({ parameters, returns }) => {
    const result = ordered.some(isInPlace) ? 'this' : returns;
    return `${family.methodName}(${parameterList(parameters.slice(1))}): ${result};`;
  });
  return [...docComment(overloads), ...declared].map((line) => `    ${line}`);
}

/** The method itself, which calls the function. */
export function methodSource(family: Family): string {
  const rest = parameterNames(family).slice(1);
  const parameters = ['this: Tensor', ...rest.map((name) => `${name}: any`)];
  const call = `${family.functionName}(${['this', ...rest].join(', ')})`;
  return `  ${family.methodName}(${parameters.join(', ')}): any { return ${call}; },`;
}
