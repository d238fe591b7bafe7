/** What the fuzz tests of our file readers share. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';

export type Random = () => number;

/** 20,000 inputs in `npm test`, a million in `npm run test:long`, over all readers. */
export function inputs(share: number): number {
  return (process.env['SPIKENODE_TEST_LONG'] ? 1_000_000 : 20_000) * share;
}

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

/** One to four changes of bytes: bits, values, cuts, insertions, repetitions. */
export function damaged(random: Random, bytes: Uint8Array): Uint8Array {
  let result = Buffer.from(bytes);
  for (let changes = 1 + Math.floor(random() * 4); changes > 0; changes--) {
    const place = Math.floor(random() * (result.length + 1));
    const end = Math.min(result.length, place + 1 + Math.floor(random() * 8));
    const [before, own, after] = [
      result.subarray(0, place),
      result.subarray(place, end),
      result.subarray(end),
    ];
    switch (Math.floor(random() * 6)) {
      case 0:
        if (place < result.length) result[place]! ^= 1 << Math.floor(random() * 8);
        break;
      case 1:
        if (place < result.length) result[place] = pick(random, [0, 1, 0x22, 0x5c, 0x7f, 0x80, 0xc0, 0xff]);
        break;
      case 2:
        result = Buffer.from(before);
        break;
      case 3:
        result = Buffer.concat([before, after]);
        break;
      case 4:
        result = Buffer.concat([before, own, own, after]);
        break;
      default:
        result = Buffer.concat([
          before,
          Uint8Array.from({ length: 1 + Math.floor(random() * 4) }, () => Math.floor(random() * 256)),
          own,
          after,
        ]);
    }
  }
  return Uint8Array.from(result);
}

export interface Input {
  readonly bytes: Uint8Array;
  /** Whether it must be accepted; undefined where only the reader can tell. */
  readonly valid?: boolean | undefined;
}

export interface Fuzzed {
  readonly accepted: number;
  readonly refused: number;
}

// What a reader may need besides copies of what it reads: decoders, error texts.
const slack = 2 ** 20;

/**
 * Gives a reader many inputs. It must return, or throw an error of the class `expected`, and must not allocate much
 * more than an input has. What fails is told with the input in base64.
 */
export async function fuzz(
  count: number,
  make: (i: number) => Input,
  read: (bytes: Uint8Array) => unknown,
  expected: new (...args: never[]) => Error,
): Promise<Fuzzed> {
  const result = { accepted: 0, refused: 0 };
  for (let i = 0; i < count; i++) {
    const { bytes, valid } = make(i);
    const before = allocated();
    const error = await outcome(read, bytes);
    const growth = allocated() - before;
    const problem =
      (error !== null && !(error instanceof expected) && (error instanceof Error ? error.stack : error)) ||
      (growth > slack + 8 * bytes.length && `it allocated ${growth} bytes for ${bytes.length}`) ||
      (valid === true && error !== null && `it refused a valid input: ${error}`) ||
      (valid === false && error === null && 'it accepted an invalid input');
    if (problem) {
      assert.fail(`input ${i}: ${problem}\nThe input in base64: ${Buffer.from(bytes).toString('base64')}`);
    }
    if (error === null) result.accepted += 1;
    else result.refused += 1;
    if (i % 1000 === 0) await turn();
  }
  return result;
}

// Null if it returned. Most readers are synchronous: awaiting those too would cost as much as they do.
function outcome(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): unknown {
  try {
    const pending = read(bytes);
    if (!(pending instanceof Promise)) return null;
    return pending.then(
      () => null,
      (error: unknown) => error,
    );
  } catch (error) {
    return error;
  }
}

function allocated(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}
