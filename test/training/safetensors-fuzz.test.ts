import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memory } from '../../lib/tensor/index.js';
import { parseSafetensors, SafetensorsError, serializeSafetensors } from '../../lib/training/index.js';
import { damaged, fuzz, type Input, inputs, pick, type Random } from '../data/mutate.js';
import { collectGarbage, randomNumbers } from '../tensor/helpers.js';

// JSON as written: keys and values are text, so that there can be any of them, and any key twice.
type Members = [key: string, value: string | Members][];

const widths: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

const hostileValues = [
  ...[
    'null',
    'true',
    '-1',
    '-0',
    '0.5',
    '1e1',
    '4.0',
    '1e400',
    '01',
    '9007199254740992',
    '99999999999999999999',
  ],
  ...[
    '"a"',
    '""',
    '"\\ud800"',
    '"\\x"',
    '"',
    '[]',
    '{}',
    '[[]]',
    '[0',
    '[1,]',
    'NaN',
    '',
    '"F8_E4M3"',
    '"F64"',
  ],
  ...[
    '[4294967296,4294967296]',
    '[9007199254740991]',
    '[0,4503599627370496,4503599627370496]',
    '[1,1]',
    '[0,0]',
  ],
  ...[
    '[0,9007199254740991]',
    '[4294967296,0]',
    '[-4,0]',
    '[0.0,4]',
    '[00]',
    '[01]',
    '[0,04]',
    '[1 1]',
    '[3,]',
    '"__proto__"',
    '{"a":"b"}',
    '{"a":1}',
  ],
  `[${Array.from({ length: 64 }, () => 1)}]`,
  `[${Array.from({ length: 65 }, () => 1)}]`,
];
const hostileKeys = [
  ...[
    '"__proto__"',
    '"constructor"',
    '"toString"',
    '""',
    '"__metadata__"',
    '"dtype"',
    '"shape"',
    '"\\u0061"',
  ],
  ...['"0"', '"\\ud83e\\udde0"', '"\\udead"', '"\\""', '"\u0001"', '"\\', 'a', '1', `"${'n'.repeat(3000)}"`],
];
const hostileLengths = [
  0n,
  1n,
  7n,
  2n ** 31n,
  2n ** 32n,
  100_000_000n,
  100_000_001n,
  2n ** 63n,
  2n ** 64n - 1n,
];

interface Document {
  readonly members: Members;
  data: Uint8Array;
}

function goodDocument(random: Random): Document {
  const members: Members = [];
  let end = 0;
  for (let i = Math.floor(random() * 4); i > 0; i--) {
    const dtype = pick(random, Object.keys(widths));
    const shape = Array.from({ length: Math.floor(random() * 4) }, () => Math.floor(random() * 4));
    const begin = end;
    end += shape.reduce((product, size) => product * size, widths[dtype]!);
    const fields: Members = [
      ['"dtype"', `"${dtype}"`],
      ['"shape"', `[${shape}]`],
      ['"data_offsets"', `[${begin},${end}]`],
    ];
    members.push([JSON.stringify(pick(random, ['a', 'b.weight', 'c\n"', '\u00e9']) + i), fields]);
  }
  if (random() < 0.3)
    members.push(['"__metadata__"', random() < 0.5 ? '{"format":"pt","n":"\\u0000"}' : '{}']);
  return { members, data: Uint8Array.from({ length: end }, () => Math.floor(random() * 256)) };
}

// What a program may do with a header without a change of its meaning.
function disguise(random: Random, { members }: Document): void {
  const shuffle = (list: Members): void => {
    list.sort(() => random() - 0.5);
  };
  shuffle(members);
  for (const member of members) {
    if (random() < 0.3) member[0] = escaped(member[0]);
    const [, fields] = member;
    if (typeof fields === 'string') continue;
    shuffle(fields);
    for (const field of fields) {
      if (random() < 0.2) field[0] = escaped(field[0]);
      if (random() < 0.2) field[1] = ` ${(field[1] as string).replaceAll(',', '\t,\n ')}\r`;
    }
  }
}

function escaped(key: string): string {
  return `"${[...(JSON.parse(key) as string)].map((own) => `\\u${own.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;
}

// Makes something wrong, most of the time. False where it surely is.
function change(random: Random, document: Document): false | undefined {
  const { members } = document;
  const member = pick(random, members);
  const fields = typeof member?.[1] === 'object' ? member[1] : undefined;
  const list = fields && random() < 0.7 ? fields : members;
  const place = Math.floor(random() * list.length);
  const chosen = list[place];
  switch (Math.floor(random() * 10)) {
    case 0:
    case 1:
      if (chosen) chosen[1] = pick(random, hostileValues);
      break;
    case 2:
      if (chosen) chosen[0] = pick(random, hostileKeys);
      break;
    case 3:
      if (chosen) list.push([random() < 0.5 ? chosen[0] : escaped(chosen[0]), chosen[1]]);
      return chosen && false;
    case 4:
      list.splice(place, 1);
      break;
    case 5: {
      const depth = random() < 0.02 ? 150_000 : 300;
      const [open, close] = pick(random, [
        ['[', ']'],
        ['{"a":', '}'],
        ['[', ''],
      ]);
      if (chosen) chosen[1] = `${open.repeat(depth)}0${close.repeat(depth)}`;
      return chosen && false;
    }
    case 6: {
      // All is right but for the data, which would be gigabytes.
      const size = pick(random, [2 ** 30, 2 ** 33, 2 ** 40]);
      members.splice(0, members.length, [
        '"huge"',
        [
          ['"dtype"', '"F32"'],
          ['"shape"', `[${size}]`],
          ['"data_offsets"', `[0,${4 * size}]`],
        ],
      ]);
      return false;
    }
    case 7:
      if (!fields) break;
      fields.push(['"strides"', pick(random, ['"a"', '[1]', '1', 'null', '{}'])]);
      return false;
    case 8:
      // Overlaps and gaps.
      if (fields) fields[2] = ['"data_offsets"', `[${[0, 1].map(() => Math.floor(random() * 9) * 2)}]`];
      break;
    default:
      document.data = damaged(random, document.data);
  }
  return undefined;
}

function written({ members, data }: Document, random: Random): Uint8Array {
  const text = (value: string | Members): string =>
    typeof value === 'string' ? value : `{${value.map(([key, own]) => `${key}:${text(own)}`).join(',')}}`;
  const header = Buffer.from(text(members) + ' '.repeat(Math.floor(random() * 8)));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  return Uint8Array.from(Buffer.concat([prefix, header, data]));
}

function input(random: Random): Input {
  const document = goodDocument(random);
  if (random() < 0.4) disguise(random, document);
  if (random() < 0.25) return { bytes: written(document, random), valid: true };
  const kind = random();
  const valid = kind < 0.6 ? change(random, document) : undefined;
  const bytes = written(document, random);
  if (kind >= 0.6 && kind < 0.7) {
    const length = random() < 0.5 ? BigInt(Math.floor(random() * 200)) : pick(random, hostileLengths);
    Buffer.from(bytes.buffer).writeBigUInt64LE(length);
  }
  return { bytes: kind >= 0.7 ? damaged(random, bytes) : bytes, valid };
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

// Name -> dtype, shape and bytes, by a reader that checks little but that everything is there once.
function contentOf(bytes: Uint8Array): Map<string, string> {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = 8 + Number(all.readBigUInt64LE());
  const text = new TextDecoder('utf-8', { fatal: true }).decode(all.subarray(8, start));
  const header = JSON.parse(text) as Record<string, Entry>;
  const found = new Map<string, string>();
  let total = start;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    assert.equal(Object.keys(header[name]!).length, 3);
    const values = Buffer.from(all.subarray(start + offsets[0], start + offsets[1]));
    total += offsets[1] - offsets[0];
    // Any byte but 0 is true.
    if (dtype === 'BOOL') for (const [i, value] of values.entries()) values[i] = Math.min(1, value);
    found.set(name, `${dtype} [${shape}] ${values.toString('hex')}`);
  }
  assert.equal(total, bytes.length);
  return found;
}

function roundTrip(bytes: Uint8Array): void {
  const state = parseSafetensors(bytes);
  const again = serializeSafetensors(state, {});
  for (const own of Object.values(state)) own.dispose();
  assert.deepEqual(sorted(contentOf(again)), sorted(contentOf(bytes)));
  const second = parseSafetensors(again);
  const repeated = serializeSafetensors(second, {});
  for (const own of Object.values(second)) own.dispose();
  assert.ok(Buffer.from(again).equals(repeated), 'written differently the second time');
}

function sorted(content: Map<string, string>): [string, string][] {
  return [...content].sort(([a], [b]) => (a < b ? -1 : 1));
}

test('damaged safetensors files are SafetensorsErrors or come back as they are', async () => {
  const random = randomNumbers(34);
  await collectGarbage();
  const before = memory().tensors;
  const count = inputs(0.6);
  const { accepted, refused } = await fuzz(count, () => input(random), roundTrip, SafetensorsError);
  assert.ok(accepted > count / 4 && refused > count / 4, `${accepted} accepted, ${refused} refused`);
  assert.equal(memory().tensors, before);
});
