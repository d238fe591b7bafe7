import { nearest } from '../parameters.js';
import type { DoctorFacts } from './doctor.js';

/** Every variable of spikenode, those of its tests and benches included. */
export const VARIABLES: readonly string[] = [
  'SPIKENODE_ALLOCATOR',
  'SPIKENODE_BINARIES',
  'SPIKENODE_CACHE',
  'SPIKENODE_DEVICE',
  'SPIKENODE_ISA',
  'SPIKENODE_LIBTORCH',
  'SPIKENODE_MEMORY_LIMIT',
  'SPIKENODE_MIRROR',
  'SPIKENODE_MNIST',
  'SPIKENODE_NUM_THREADS',
  'SPIKENODE_PROBE',
  'SPIKENODE_TEST_DEVICE',
  'SPIKENODE_TEST_LONG',
  'SPIKENODE_TEST_PYTHON',
];

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];

/** An address, or a text with addresses, without the names and passwords that they may have. */
export function withoutSecrets(value: string): string {
  return value.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s']*@/gi, '$1***@').replace(/^[^/\s]*@/, '***@');
}

/** The variables that matter to spikenode, of those that are set. */
export function environmentFacts(
  env: Readonly<Record<string, string | undefined>>,
): DoctorFacts['environment'] {
  const isOurs = (name: string): boolean => name.startsWith('SPIKENODE_');
  return Object.entries(env)
    .filter(([name, value]) => value && (isOurs(name) || PROXIES.includes(name.toUpperCase())))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value = '']) => ({
      name,
      value: withoutSecrets(value),
      nearest: !isOurs(name) || VARIABLES.includes(name) ? null : nearest(name, VARIABLES),
    }));
}
