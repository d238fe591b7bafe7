import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigError } from '../errors.js';
import { unreadable } from '../training/checkpoint.js';
import { brief, firstDifference, harmlessParameters, type Plain, plain } from '../training/settings.js';
import type { Experiment } from './check.js';
import { type RunName, type RunRecord, readRecord } from './folder.js';
import type { Table } from './table.js';
import { toml } from './toml.js';

/** A run of an experiment. */
export interface PlannedRun {
  readonly name: RunName;
  /** Place of the model in the experiment. */
  readonly index: number;
}

/** A run that has been started. */
export interface FoundRun {
  readonly folder: string;
  readonly record: RunRecord;
}

/** Runs that belong together, because they were started together. */
export interface Session {
  readonly id: string;
  /** Where folders of runs are made. */
  readonly root: string;
  /** What there is already of a planned run. */
  find(run: PlannedRun): FoundRun | undefined;
}

/** A session of which nothing has been started. */
export function newSession(root: string): Session {
  return { id: `${new Date().toISOString()}-${randomUUID()}`, root, find: () => undefined };
}

/**
 * The session of the run in a folder, or the last one of the experiment that is not finished, or just the last one.
 * @param resume the folder, or true
 * @throws ConfigError if there is none
 */
export function findSession(
  { config, file }: Experiment,
  plan: readonly PlannedRun[],
  root: string,
  resume: string | true,
): Session {
  if (typeof resume === 'string') {
    const record = readRecord(resume);
    if (!record) throw new ConfigError(['resume'], 'the folder of a run', `${resume}, which has no run.json`);
    const parent = join(resume, '..');
    const own = sessionOf(record.session, runsIn(parent), join(parent, '..'), plan);
    const isIt = (run: PlannedRun): boolean => resolve(own.find(run)?.folder ?? '') === resolve(resume);
    // The model may have been given another name since.
    const [only, ...others] = plan.filter(({ name }) => name.run === record.run);
    const chosen = plan.find(isIt) ?? (others.length === 0 ? only : undefined);
    if (!chosen) {
      const got = `that of run ${record.run} of the model ${record.model}`;
      throw new ConfigError(['resume'], `the folder of a run of ${file}`, got);
    }
    return { ...own, find: (run) => (run === chosen ? { folder: resume, record } : own.find(run)) };
  }
  const parent = join(root, config.bench.name);
  const runs = runsIn(parent);
  const ids = [...new Set(runs.map(({ record }) => record.session))].sort().reverse();
  const sessions = ids.map((id) => sessionOf(id, runs, root, plan)).filter((one) => plan.some(one.find));
  const isOpen = (one: Session): boolean => plan.some((run) => one.find(run)?.record.finished !== true);
  const found = sessions.find(isOpen) ?? sessions[0];
  if (found) return found;
  throw new ConfigError(['resume'], `a run of this experiment in ${parent}`, 'none');
}

function runsIn(parent: string): FoundRun[] {
  return entriesOf(parent).flatMap((name) => {
    const folder = join(parent, name);
    const record = name.startsWith('.tmp-') ? undefined : readRecord(folder);
    return record ? [{ folder, record }] : [];
  });
}

function entriesOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  try {
    return readdirSync(folder);
  } catch (error) {
    throw unreadable(folder, error);
  }
}

function sessionOf(
  id: string,
  runs: readonly FoundRun[],
  root: string,
  plan: readonly PlannedRun[],
): Session {
  const own = runs.filter(({ record }) => record.session === id);
  const find = ({ name, index }: PlannedRun): FoundRun | undefined => {
    const named = own.filter(({ record }) => record.model === name.model && record.run === name.run);
    const isOnly =
      plan.filter((run) => run.name.model === name.model && run.name.run === name.run).length === 1;
    return named.find(({ record }) => record.index === index) ?? (isOnly ? named[0] : undefined);
  };
  return { id, root, find };
}

/** Whether a run that is finished is to go on: further epochs, or another end. */
export function wantsMore(before: Table, now: Table): boolean {
  const epochs = (tables: Table): number => Number(modelOf(tables)['epochs']);
  const stopping = (tables: Table): Plain => plain(modelOf(tables)['early_stopping']);
  return epochs(now) > epochs(before) || firstDifference(stopping(before), stopping(now)) !== null;
}

/**
 * A run goes on with the configuration that it has begun with: only names, the number of epochs, early stopping,
 * checkpoints and what changes no result may be others.
 * @param index place of the model in the experiment
 * @throws ConfigError for the first key with another value
 */
export function requireSameRun(folder: string, before: Table, now: Table, index: number): void {
  const { parse, stringify } = toml();
  const difference = firstDifference(essential(before), essential(parse(stringify(now))));
  if (!difference) return;
  const path = difference.path.map((key, i) => (i === 1 && difference.path[0] === 'model' ? index : key));
  const expected = `${brief(difference.before)}, as ${folder} has begun`;
  throw new ConfigError(path, expected, brief(difference.now));
}

const changeable = {
  bench: ['name', 'first_run', 'last_run'],
  model: ['name', 'epochs', 'early_stopping', 'checkpoint', 'evaluate', 'disabled'],
};

function essential(tables: Table): Plain {
  const { bench, learningframework, dataset } = tables as Record<string, Table>;
  const { params, ...framework } = learningframework ?? {};
  return plain({
    bench: without(bench, changeable.bench),
    learningframework: { ...framework, params: without(params as Table, harmlessParameters) },
    dataset,
    model: [without(modelOf(tables), changeable.model)],
  });
}

function modelOf(tables: Table): Table {
  return (tables['model'] as readonly Table[] | undefined)?.[0] ?? {};
}

function without(table: Table = {}, names: readonly string[]): Table {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !names.includes(name)));
}
