import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** The reader and writer of TOML, which is loaded when the first file is read and not when the package is imported. */
export function toml(): typeof import('smol-toml') {
  return require('smol-toml') as typeof import('smol-toml');
}
