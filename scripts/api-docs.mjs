// The API reference of lib/index.ts, as HTML in docs/api. Every export and every public member must be described, and
// every link must lead somewhere; `--check` looks at that alone.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tool } from './tools.mjs';

const scripts = dirname(fileURLToPath(import.meta.url));
const isCheck = process.argv.includes('--check');

if (!isCheck) rmSync(join(dirname(scripts), 'docs', 'api'), { recursive: true, force: true });
const options = ['--options', join(scripts, 'tools', 'typedoc.json'), ...(isCheck ? ['--emit', 'none'] : [])];
const result = spawnSync(process.execPath, [tool('typedoc'), ...options], { stdio: 'inherit' });
process.exit(result.status ?? 1);
