const n = 624;
const m = 397;

/**
 * A random permutation of 0..length-1, the same as PyTorch's `randperm(length)` gives on the CPU after
 * `manual_seed(seed)`; written here because data is read without libtorch.
 * The generator is MT19937 (M. Matsumoto and T. Nishimura 1998), the shuffle Fisher and Yates'.
 */
export function randomPermutation(length: number, seed: number): Int32Array {
  const next = mersenneTwister(seed);
  const order = Int32Array.from({ length }, (_, i) => i);
  for (let i = 0; i < length - 1; i++) {
    const j = i + (next() % (length - i));
    const swapped = order[i]!;
    order[i] = order[j]!;
    order[j] = swapped;
  }
  return order;
}

// A source of unsigned 32-bit numbers.
function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(n);
  state[0] = seed;
  for (let i = 1; i < n; i++) {
    const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(before, 1812433253) + i;
  }
  let used = n;
  return () => {
    if (used === n) {
      twist(state);
      used = 0;
    }
    let y = state[used++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

function twist(state: Uint32Array): void {
  for (let i = 0; i < n; i++) {
    const y = (state[i]! & 0x80000000) | (state[(i + 1) % n]! & 0x7fffffff);
    state[i] = state[(i + m) % n]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  }
}
