// Prints the entries of lib/setup/releases.ts for wheels: node scripts/release-entry.mjs [--base URL] WHEEL...
// Without a base the wheel is taken for one of PyPI, whose addresses are made of the file's BLAKE2b digest (b2sum has
// it; Node's crypto knows that digest in one length only). Set-up comes first, for the compiled TypeScript.
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { unpackedBytes } from '../dist/lib/setup/archive.js';
import { sha256 } from '../dist/lib/setup/download.js';
import { useOf } from '../dist/lib/setup/releases.js';

function pypiAddress(wheel) {
  const digest = execFileSync('b2sum', ['-l', '256', wheel], { encoding: 'utf8' }).split(' ')[0];
  const folders = [digest.slice(0, 2), digest.slice(2, 4), digest.slice(4)].join('/');
  return `https://files.pythonhosted.org/packages/${folders}/${basename(wheel)}`;
}

const arguments_ = process.argv.slice(2);
const base = arguments_[0] === '--base' ? arguments_.splice(0, 2)[1] : null;
for (const wheel of arguments_) {
  const bytesOf = (...uses) => unpackedBytes(wheel, (entry) => (uses.includes(useOf(entry)) ? entry : null));
  const entry = {
    name: basename(wheel),
    size: statSync(wheel).size,
    sha256: await sha256(wheel),
    url: base === null ? pypiAddress(wheel) : `${base}/${encodeURIComponent(basename(wheel))}`,
    libraries: await bytesOf('library', 'licence'),
    headers: await bytesOf('header'),
  };
  const lines = Object.entries(entry).map(
    ([name, value]) => `  ${name}: ${typeof value === 'string' ? `'${value}'` : value},`,
  );
  console.log(`{\n${lines.join('\n')}\n},`);
}
