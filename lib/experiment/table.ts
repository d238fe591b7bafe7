/** A table of a configuration as it was parsed. */
export type Table = Record<string, unknown>;

/** Whether a value is a table, not a list or a date. */
export function isTable(value: unknown): value is Table {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date);
}

/** `first` with what it lacks taken from `second`, table by table; lists and other values of `first` stay whole. */
export function merged(first: Table, second: Table): Table {
  const result: Table = Object.assign(Object.create(null), first);
  for (const [key, value] of Object.entries(second)) {
    const own = result[key];
    if (!Object.hasOwn(result, key)) result[key] = structuredClone(value);
    else if (isTable(own) && isTable(value)) result[key] = merged(own, value);
  }
  return result;
}

/** What stands at a path; undefined if there is nothing. */
export function valueAt(tables: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((place, key) => {
    if (place === null || typeof place !== 'object' || !Object.hasOwn(place, key)) return undefined;
    return (place as Record<string | number, unknown>)[key];
  }, tables);
}
