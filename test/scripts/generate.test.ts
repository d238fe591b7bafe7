import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { OperatorSchema, SchemaArgument } from '../../lib/native/addon.js';
import { packageRoot } from '../../lib/native/platform.js';
import { addon } from '../../lib/tensor/operator.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { type GeneratorInput, generate, readInput, staleFiles } from '../../scripts/generate.js';
import { methodDeclarations } from '../../scripts/operator-code.js';
import { camelCase, type Overrides, selectFamilies } from '../../scripts/operator-schemas.js';

const input = readInput();

test('the committed operators are what the generator gives', () => {
  assert.deepEqual(staleFiles(generate(input), packageRoot()), [], "run 'npm run generate'");
});

test('a changed or missing file is stale', () => {
  const root = mkdtempSync(join(tmpdir(), 'spikenode-generate-'));
  try {
    const files = generate(input);
    const path = 'lib/tensor/operators.generated.ts';
    mkdirSync(dirname(join(root, path)), { recursive: true });
    for (const [name, text] of files) {
      assert.ok(staleFiles(files, root).includes(name));
      writeFileSync(join(root, name), text);
    }
    assert.deepEqual(staleFiles(files, root), []);
    writeFileSync(join(root, path), (files.get(path) as string).replace('alpha=1', 'alpha=2'));
    assert.deepEqual(staleFiles(files, root), [path]);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('the order of the schemas does not matter', () => {
  assert.deepEqual(generate({ ...input, schemas: [...input.schemas].reverse() }), generate(input));
});

test('the addon can call every operator of the list', () => {
  for (const { overloads } of selectFamilies(input.schemas, input.allowList, input.overrides)) {
    for (const { name, overload } of overloads) {
      assert.equal(typeof addon().findOperator(name, overload), 'number');
    }
  }
});

test('no method replaces a member that is written by hand', () => {
  const members = new Set(Object.getOwnPropertyNames(Tensor.prototype));
  assert.ok(members.has('item') && !members.has('add'));
  const families = selectFamilies(input.schemas, input.allowList, input.overrides);
  const methods = families.filter((family) => methodDeclarations(family).length > 0);
  assert.ok(methods.length > 200);
  assert.deepEqual(
    methods.map(({ methodName }) => methodName).filter((name) => members.has(name)),
    [],
  );
});

test('operators that change storage, write files or take pointers are not on the list', () => {
  const forbidden =
    /^(resize|set_|as_strided|_reshape_alias|from_file|save|_load|storage|data_ptr|_cdata|unsafe|_unsafe)/;
  for (const { name } of selectFamilies(input.schemas, input.allowList, input.overrides)) {
    assert.doesNotMatch(name.slice(name.indexOf('::') + 2), forbidden);
  }
});

test('private operators are in a file of their own', () => {
  const files = generate(input);
  const exported = (path: string): string[] =>
    [...(files.get(path) as string).matchAll(/^export function (\w+)/gm)].map((match) => match[1] as string);
  assert.ok(exported('lib/tensor/internal.generated.ts').every((name) => name.startsWith('_')));
  assert.ok(exported('lib/tensor/operators.generated.ts').every((name) => !name.startsWith('_')));
});

test('every private operator has a reason above it', () => {
  const lines = input.allowList.split('\n');
  const isPrivate = (line: string | undefined): boolean => /^\w+::_/.test(line ?? '');
  const reasons = lines.flatMap((line, index) => {
    if (!isPrivate(line)) return [];
    let above = index - 1;
    while (isPrivate(lines[above])) above--;
    return [lines[above] ?? ''];
  });
  assert.ok(reasons.length >= 8);
  for (const reason of reasons) assert.match(reason, /^# .{20}/);
});

const noOverrides: Overrides = {
  names: {},
  keywordOnly: {},
  fixed: {},
  fallback: {},
  words: {},
  bounded: {},
  queued: {},
  nullable: {},
  results: {},
};

/** `Tensor self, int dim=0, *, float p` in the words of a schema. */
function schema(name: string, overload: string, signature: string, returns = 'Tensor'): OperatorSchema {
  let kwargOnly = false;
  const args = signature.split(', ').flatMap((text): SchemaArgument[] => {
    if (text === '*') kwargOnly = true;
    const match = /^(\S+?)(!?) (\w+)(?:=(.*))?$/.exec(text);
    if (match === null) return [];
    const [, type = '', write, argument = '', value] = match;
    const base = { name: argument, type, kwargOnly, hasDefault: value !== undefined, size: 0 };
    return [
      {
        ...base,
        alias: write === '!' ? ('write' as const) : ('' as const),
        ...(value === undefined ? {} : { default: value }),
      },
    ];
  });
  const result = { name: '', kwargOnly: false, hasDefault: false, size: 0 };
  const isInPlace = name.endsWith('_');
  return {
    name,
    overload,
    arguments: args,
    returns: [{ ...result, type: returns, alias: isInPlace ? 'write' : '' }],
    autograd: false,
  };
}

function textOf(schemas: readonly OperatorSchema[], change: Partial<GeneratorInput> = {}): string {
  const allowList = [...new Set(schemas.map(({ name }) => name))].join('\n');
  const files = generate({ schemas, allowList, overrides: noOverrides, ...change });
  return [...files.values()].join('\n');
}

test('a tensor and a number are told apart by one typeof', () => {
  const text = textOf([
    schema('aten::plus', 'Scalar', 'Tensor self, Scalar other'),
    schema('aten::plus', 'Tensor', 'Tensor self, Tensor other'),
  ]);
  assert.ok(text.includes('export function plus(self: Tensor, other: Tensor | Scalar): Tensor {'));
  assert.ok(text.includes("if (typeof other === 'object') return wrap(op_plus_Tensor"));
  assert.ok(text.includes('    plus(other: Tensor | Scalar): Tensor;'));
});

test('the options may follow the last argument that is given', () => {
  const text = textOf([
    schema('aten::total', '', 'Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None'),
  ]);
  const options = '{ readonly dtype?: DType | null | undefined }';
  assert.ok(
    text.includes(`total(self: Tensor, dim: number, keepdim?: boolean, options?: ${options}): Tensor;`),
  );
  assert.ok(text.includes(`total(self: Tensor, dim: number, options: ${options}): Tensor;`));
  assert.ok(text.includes('const given = isOptions(keepdim) ? keepdim : options;'));
});

test('an in-place operator returns its first argument', () => {
  const text = textOf([schema('aten::twice_', '', 'Tensor! self')]);
  assert.match(text, /twice_\(self: Tensor\): Tensor \{\n.*\n {2}return self;/);
  assert.ok(text.includes('    twice_(): this;'));
});

test('an out= variant and types without a counterpart are left out, and refused by name', () => {
  const plain = schema('aten::plain', '', 'Tensor self');
  const out = schema('aten::plain', 'out', 'Tensor self, *, Tensor! out');
  const stream = schema('aten::plain', 'stream', 'Tensor self, Stream stream');
  assert.equal(textOf([plain, out, stream]), textOf([plain]));
  assert.throws(
    () => textOf([plain, out], { allowList: 'aten::plain.out' }),
    /cannot be called from JavaScript/,
  );
});

test('two overloads that take the same arguments are an error until a fallback is named', () => {
  const schemas = [
    schema('aten::limit', '', 'Tensor self, Scalar? max=None'),
    schema('aten::limit', 'Tensor', 'Tensor self, Tensor? max=None'),
  ];
  assert.throws(() => textOf(schemas), /aten::limit.* and aten::limit.* cannot be told apart/);
  const fallback = { 'aten::limit': { overload: '', reason: 'a number is the usual limit' } };
  const text = textOf(schemas, { overrides: { ...noOverrides, fallback } });
  assert.ok(text.includes('if (max instanceof Tensor) return wrap(op_limit_Tensor'));
});

test('words stand for numbers', () => {
  const words = { reduction: { values: { none: 0, mean: 1 }, reason: 'test' } };
  const schemas = [schema('aten::loss', '', 'Tensor self, int reduction=1')];
  const text = textOf(schemas, { overrides: { ...noOverrides, words } });
  assert.ok(text.includes("loss(self: Tensor, reduction?: 'none' | 'mean'): Tensor"));
  assert.ok(text.includes("new Map([['none', 0], ['mean', 1]])"));
});

test('results that may be undefined come out as null', () => {
  const nullable = { 'aten::maybe': { results: [0], reason: 'test' } };
  const text = textOf([schema('aten::maybe', '', 'Tensor self')], {
    overrides: { ...noOverrides, nullable },
  });
  assert.ok(text.includes('maybe(self: Tensor): Tensor | null {\n  return wrapOptional('));
});

test('lines and overrides that fit nothing are errors', () => {
  const schemas = [schema('aten::plain', '', 'Tensor self')];
  assert.throws(() => textOf(schemas, { allowList: 'aten::nonsense' }), /no operator 'aten::nonsense'/);
  assert.throws(() => textOf(schemas, { allowList: 'aten::plain.left' }), /no operator 'aten::plain.left'/);
  assert.throws(() => textOf(schemas, { allowList: 'plain' }), /'plain' is not namespace::name/);
  assert.throws(() => textOf(schemas, { allowList: 'aten::plain\naten::plain' }), /is there twice/);
  const fixed = { 'aten::other': { values: { flag: true }, reason: 'test' } };
  assert.throws(
    () => textOf(schemas, { overrides: { ...noOverrides, fixed } }),
    /nothing uses fixed: aten::other/,
  );
});

test('names are camelCase and keep their underscores at the ends', () => {
  assert.equal(camelCase('log_softmax'), 'logSoftmax');
  assert.equal(camelCase('_foreach_mul_'), '_foreachMul_');
  assert.equal(camelCase('max_pool2d_with_indices'), 'maxPool2dWithIndices');
  assert.equal(camelCase('UPLO'), 'UPLO');
});

test('overrides all say why', () => {
  const entries = Object.values(input.overrides).flatMap((section) => Object.values(section));
  assert.ok(entries.length > 20);
  for (const { reason } of entries as { reason: string }[]) assert.match(reason, /\w{2,} \w/);
});
