// The published packages: their manifests, and the files that may be in them.

/** npm's limit is near 200 MB. */
export const LARGEST_TARBALL = 180e6;

export const MAIN = 'spikenode';
export const BINARIES = '@spikenode/linux-x64';
export const LIBTORCH = '@spikenode/libtorch-linux-x64';

const NODE_API = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** Our binaries and what each must export. */
export const EXPORTS = {
  'loader.node': NODE_API,
  'libspikenode.so': ['spikenode_registered'],
  'spikenode.node': NODE_API,
  'libspikenode_cuda.so': [],
};

const FILES = {
  [MAIN]: [
    /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|CMakeLists\.txt)$/,
    /^dist\/lib\/.+\.(js|d\.ts)$/,
    /^lib\/.+\.ts$/,
    /^native\/.+\.(h|cc|cu|cuh|cmake)$/,
    /^data\/(README\.md|digits\.csv\.gz)$/,
    /^docs\/.+\.md$/,
    /^examples\/.+\.(toml|js|ts|py|md)$/,
  ],
  [BINARIES]: [
    /^(package\.json|README\.md|LICENSE|licenses\/pytorch\/LICENSE)$/,
    /^torch-\d+\.\d+\/(loader\.node|libspikenode\.so|spikenode\.node|libspikenode_cuda\.so|build\.json)$/,
  ],
  [LIBTORCH]: [
    /^(package\.json|README\.md|LICENSE|version\.json)$/,
    /^lib\/(libtorch_cpu\.so|libc10\.so|libgomp\.so\.1)$/,
    /^licenses\/(GPL-3\.0|GCC-exception-3\.1|oneMKL-2024\.2)\.txt$/,
    /^licenses\/pytorch\/(.+\/)?(LICENSE|NOTICE|COPYING)[\w.-]*$/,
  ],
};

/** Files that no pattern of the package names, and tests wherever they are. */
export function unexpectedFiles(name, files) {
  return files.filter(
    (file) =>
      /^(?!licenses\/).*(\.test\.|\btests?\/)/.test(file) ||
      !FILES[name].some((pattern) => pattern.test(file)),
  );
}

function isExact(version) {
  return /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version);
}

/** What the repository's manifest says of a release, without what is for a clone. */
export function mainManifest(source) {
  const { scripts, devDependencies, binary, files, private: isPrivate, dependencies, ...rest } = source;
  const loose = Object.entries(dependencies).filter(([, version]) => !isExact(version));
  if (loose.length > 0)
    throw new Error(`dependencies must be exact: ${loose.map((pair) => pair.join(' ')).join(', ')}`);
  return {
    ...rest,
    dependencies,
    optionalDependencies: { [BINARIES]: source.version, [LIBTORCH]: source.version },
    gypfile: false,
  };
}

function platformManifest(source, name, description, license) {
  const { version, repository, homepage, bugs, author, engines } = source;
  return {
    name,
    version,
    description,
    license,
    ...Object.fromEntries(
      Object.entries({ author, homepage, repository, bugs }).filter(([, value]) => value),
    ),
    engines,
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    type: 'commonjs',
    preferUnplugged: true,
    gypfile: false,
  };
}

export function binariesManifest(source) {
  return platformManifest(source, BINARIES, 'Native part of spikenode for Linux x64.', source.license);
}

export function libtorchManifest(source, torch) {
  const description = `Libraries of PyTorch ${torch} for the CPU, for spikenode on Linux x64.`;
  return platformManifest(source, LIBTORCH, description, 'SEE LICENSE IN README.md');
}
