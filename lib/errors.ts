/** Where a value stands in a configuration: keys and indices from the root. */
export type ConfigPath = readonly (string | number)[];

/** A position in a file, line and column counted from 1. */
export interface SourceLocation {
  /** As it was named. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** The members that every error of spikenode has besides those of `Error`. */
export interface SpikenodeError extends Error {
  /** Stable identifier, `ERR_SPIKENODE_<NAME>`; all are listed in docs/errors.md. */
  readonly code: string;
}

/**
 * A configuration (an options object or an experiment file) that cannot be used.
 * `location` is set when the value came from a TOML file.
 */
export class ConfigError extends Error implements SpikenodeError {
  override readonly name: string = 'ConfigError';
  readonly code: string = 'ERR_SPIKENODE_CONFIG';
  /** Where the value stands. */
  readonly path: ConfigPath;
  /** What would be right. */
  readonly expected: string;
  /** What was found. */
  readonly got: string;
  /** The place in the file; undefined for an options object. */
  readonly location: SourceLocation | undefined;

  constructor(path: ConfigPath, expected: string, got: string, location?: SourceLocation) {
    const at = location ? `${location.file}:${location.line}:${location.column}: ` : '';
    super(`${at}${path.join('.') || 'configuration'}: expected ${expected}, got ${got}`);
    this.path = path;
    this.expected = expected;
    this.got = got;
    this.location = location;
  }
}

/** libtorch or the native addon could not be loaded; the message says what was tried and what to do. */
export class NativeLoadError extends Error implements SpikenodeError {
  override readonly name: string = 'NativeLoadError';
  readonly code: string = 'ERR_SPIKENODE_NATIVE_LOAD';
}

/** A wrong shape, size or index. */
export class ShapeError extends RangeError implements SpikenodeError {
  override readonly name: string = 'ShapeError';
  readonly code: string = 'ERR_SPIKENODE_SHAPE';
}

/** A wrong dtype of a tensor. */
export class DTypeError extends TypeError implements SpikenodeError {
  override readonly name: string = 'DTypeError';
  readonly code: string = 'ERR_SPIKENODE_DTYPE';
}

/** A tensor was used after its memory was given back. */
export class DisposedError extends Error implements SpikenodeError {
  override readonly name: string = 'DisposedError';
  readonly code: string = 'ERR_SPIKENODE_DISPOSED';
}

/** Memory could not be had; the message has the bytes asked for, the live bytes and the limit. */
export class OutOfMemoryError extends Error implements SpikenodeError {
  override readonly name: string = 'OutOfMemoryError';
  readonly code: string = 'ERR_SPIKENODE_OUT_OF_MEMORY';
}

/** libtorch refused; the message begins with the operator's name. */
export class TorchError extends Error implements SpikenodeError {
  override readonly name: string = 'TorchError';
  readonly code: string = 'ERR_SPIKENODE_TORCH';
}

/** The state of a training that cannot be written, read or continued; the message begins with its file or folder. */
export class CheckpointError extends Error implements SpikenodeError {
  override readonly name: string = 'CheckpointError';
  readonly code: string = 'ERR_SPIKENODE_CHECKPOINT';
}
