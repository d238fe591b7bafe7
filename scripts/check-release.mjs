// Before a release is published: its tag, versions, change log and repository fit together.
//   node scripts/check-release.mjs v0.1.0 packages
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * One sentence for each thing that does not fit.
 * @param manifests those in the tarballs @param repository `owner/name`, whose workflow publishes; undefined elsewhere
 */
export function releaseProblems(tag, manifests, changes, repository) {
  const version = tag.replace(/^v/, '');
  const problems = manifests
    .filter((manifest) => tag !== `v${manifest.version}`)
    .map((manifest) => `${manifest.name} is version ${manifest.version}, and the tag is '${tag}'`);
  for (const name of ['spikenode', '@spikenode/linux-x64', '@spikenode/libtorch-linux-x64'])
    if (!manifests.some((manifest) => manifest.name === name))
      problems.push(`there is no tarball of ${name}`);
  if (!changes.split('\n').some((line) => line.startsWith('## ') && line.split(/[\s[\]]+/)[1] === version))
    problems.push(`CHANGELOG.md has no section '## ${version}'`);
  if (repository === undefined) return problems;
  // npm compares the two when a package is published with provenance, and refuses it where they differ.
  for (const { name, repository: stated } of manifests) {
    const url = typeof stated === 'string' ? stated : (stated?.url ?? '');
    if (!url.replace(/\.git$/, '').endsWith(`github.com/${repository}`))
      problems.push(
        `${name} states the repository '${url}', and provenance needs 'git+https://github.com/${repository}.git': set "repository" in package.json`,
      );
  }
  return problems;
}

function manifestOf(tarball) {
  const { status, stdout, stderr } = spawnSync('tar', ['-xzOf', tarball, 'package/package.json'], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`'${tarball}' has no package/package.json: ${stderr}`);
  return JSON.parse(stdout);
}

function main([tag, folder]) {
  if (tag === undefined || folder === undefined)
    throw new Error('expected a tag and the folder of the tarballs: check-release.mjs v0.1.0 packages');
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const tarballs = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  const manifests = tarballs.map((name) => manifestOf(join(folder, name)));
  const changes = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
  return releaseProblems(tag, manifests, changes, process.env.GITHUB_REPOSITORY);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = main(process.argv.slice(2));
  for (const problem of problems) console.error(`check-release: ${problem}`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
