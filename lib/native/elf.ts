import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER_BYTES = 64;
const LOADED_SEGMENT = 1;
const X86_64 = 62;

/** Bytes that the file must have by its own headers, or a sentence's end that says what it is instead. */
function neededBytes(file: number, size: number): number | string {
  const header = Buffer.alloc(HEADER_BYTES);
  if (size < HEADER_BYTES) return `is no shared library (${size} bytes)`;
  readSync(file, header, 0, HEADER_BYTES, 0);
  // 64 bits, little-endian
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1)
    return 'is no shared library of 64 bits';
  if (header.readUInt16LE(18) !== X86_64) return 'is for another processor than x64';
  const programs = Number(header.readBigUInt64LE(32));
  const sections = Number(header.readBigUInt64LE(40));
  const [programBytes, programCount] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  let end = sections + header.readUInt16LE(58) * header.readUInt16LE(60);
  if (programs + programBytes * programCount > size) return 'is truncated: its program headers are missing';
  const table = Buffer.alloc(programBytes * programCount);
  readSync(file, table, 0, table.length, programs);
  for (let at = 0; at + 56 <= table.length; at += programBytes) {
    if (table.readUInt32LE(at) !== LOADED_SEGMENT) continue;
    end = Math.max(end, Number(table.readBigUInt64LE(at + 8)) + Number(table.readBigUInt64LE(at + 32)));
  }
  return end;
}

/**
 * Why a shared library cannot be opened, as the end of a sentence that begins with its path; null where its length and
 * headers are right. The dynamic linker maps what the headers say: behind a truncated file's end that is SIGBUS.
 */
export function elfProblem(path: string): string | null {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const { size } = fstatSync(file);
    const needed = neededBytes(file, size);
    if (typeof needed === 'string') return needed;
    return needed > size ? `is truncated: it has ${size} bytes of at least ${needed}` : null;
  } catch (error) {
    return `cannot be read: ${(error as Error).message}`;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
