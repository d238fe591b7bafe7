/**
 * Who disposes a tensor: the module of a parameter, buffer or neuron state, an optimizer, a data loader, whoever called
 * `keep`, the scope that it was made in, or nobody but the garbage collector.
 */
export type Owner =
  | 'parameters'
  | 'buffers'
  | 'states'
  | 'optimizer'
  | 'data'
  | 'kept'
  | 'scopes'
  | 'undisposed';

/** What may be said of a tensor that is kept. */
export type KeepOwner = Exclude<Owner, 'scopes' | 'undisposed'>;

/** In the order of `Owner` in native/node/handles.h. */
export const owners: readonly Owner[] = [
  'parameters',
  'buffers',
  'states',
  'optimizer',
  'data',
  'kept',
  'scopes',
  'undisposed',
];
