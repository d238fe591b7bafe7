import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import type { Release, ReleaseFile } from '../../lib/setup/releases.js';
import { useOf } from '../../lib/setup/releases.js';

/** A file of a zip. */
export interface ZipEntry {
  readonly name: string;
  readonly data: Buffer;
  /** Type and permissions; 0o100644 if not given. */
  readonly mode?: number;
  /** The size that the headers claim, if it is not the right one. */
  readonly claimedSize?: number;
}

/** The bytes of a zip. yauzl looks at no CRC, so there is none. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, mode = 0o100644, claimedSize = data.length } of entries) {
    const packed = deflateRawSync(data, { level: 1 });
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(8, 4);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(claimedSize, 18);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(mode * 2 ** 16, 6);
    tail.writeUInt32LE(offset, 10);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]);
    // Made by version 3.0 on Unix, which the mode needs.
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x1e\x03'), fields, tail, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const bytes = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(bytes.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, bytes, Buffer.from('PK\x05\x06'), end]);
}

/** How the table of releases describes some bytes. */
export function describeFile(name: string, bytes: Buffer, url: string): ReleaseFile {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { name, size: bytes.length, sha256, url, libraries: 0, headers: 0 };
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(length: number, seed: number): Buffer {
  let state = seed >>> 0 || 1;
  return Buffer.from(
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    }),
  );
}

/** A release with its wheels' bytes. */
export interface FakeRelease {
  readonly release: Release;
  readonly wheels: ReadonlyMap<string, Buffer>;
}

function fake(
  id: string,
  torch: string,
  cuda: string | null,
  base: string,
  wheels: Record<string, ZipEntry[]>,
): FakeRelease {
  const bytes = new Map(Object.entries(wheels).map(([name, entries]) => [name, zip(entries)]));
  const files = Object.entries(wheels).map(([name, entries]): ReleaseFile => {
    const sum = (...uses: (string | null)[]): number =>
      entries.reduce((all, entry) => all + (uses.includes(useOf(entry.name)) ? entry.data.length : 0), 0);
    const described = describeFile(name, bytes.get(name)!, `${base}/${encodeURIComponent(name)}`);
    return { ...described, libraries: sum('library', 'licence'), headers: sum('header') };
  });
  return { release: { id, torch, cuda, files }, wheels: bytes };
}

const file = (name: string, data: string | Buffer, mode = 0o100644): ZipEntry => ({
  name,
  data: Buffer.from(data as string),
  mode,
});

/** What the CPU's wheel looks like, in small. */
export function cpuRelease(base: string, libraryBytes = 50_000): FakeRelease {
  return fake('9.8.7-cpu', '9.8.7', null, base, {
    'torch-9.8.7+cpu-cp311-cp311-manylinux_2_28_x86_64.whl': [
      file('torch/lib/libtorch_cpu.so', noise(libraryBytes, 1), 0o100755),
      file('torch/lib/libc10.so', noise(3000, 2), 0o100755),
      file('torch/lib/libgomp.so.1', 'gomp', 0o100755),
      file('torch/lib/libtorch_python.so', 'of no use'),
      file('torch/include/ATen/ATen.h', '#pragma once'),
      file('torch/share/cmake/Torch/TorchConfig.cmake', 'set()'),
      file('torch/nn/modules/linear.py', 'pass'),
      file('torch-9.8.7+cpu.dist-info/licenses/LICENSE', 'the licence'),
      file('torch-9.8.7+cpu.dist-info/licenses/third_party/x/NOTICE.txt', 'a notice'),
      file('torch-9.8.7+cpu.dist-info/METADATA', 'Name: torch'),
    ],
  });
}

/** What the wheels of a CUDA release look like, in small. */
export function cudaRelease(base: string): FakeRelease {
  return fake('9.9.0-cu130', '9.9.0', '13.0', base, {
    'torch-9.9.0-cp311-cp311-manylinux_2_28_x86_64.whl': [
      file('torch/lib/libtorch_cpu.so', noise(5000, 3)),
      file('torch/lib/libtorch_cuda.so', noise(5000, 4)),
      file('torch/version.py', "__version__ = '9.9.0+cu130'"),
      file('torch/include/ATen/ATen.h', '#pragma once'),
      file('torch-9.9.0.dist-info/licenses/LICENSE', 'the licence'),
    ],
    'nvidia_cublas-13.1-py3-none-manylinux_2_27_x86_64.whl': [
      file('nvidia/cu13/lib/libcublas.so.13', noise(5000, 5)),
      file('nvidia/cu13/lib/libnvblas.so.13', 'of no use'),
      file('nvidia/cu13/lib/libcublas_static.a', 'of no use'),
      file('nvidia/cu13/include/cublas.h', '#pragma once'),
      file('nvidia_cublas-13.1.dist-info/licenses/License.txt', 'another licence'),
    ],
  });
}
