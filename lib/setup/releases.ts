/** A wheel of a release: where it is published and how its bytes are recognised. */
export interface ReleaseFile {
  readonly name: string;
  /** Bytes of the wheel. */
  readonly size: number;
  readonly sha256: string;
  readonly url: string;
  /** Bytes of what a computation needs of it, unpacked. */
  readonly libraries: number;
  /** Bytes of what a source build needs besides. */
  readonly headers: number;
}

/** A libtorch that can be installed. */
export interface Release {
  /** `<torch>-cpu` or `<torch>-cu<CUDA without its point>`. */
  readonly id: string;
  readonly torch: string;
  /** The CUDA version, `13.0`; null for the CPU alone. */
  readonly cuda: string | null;
  readonly files: readonly ReleaseFile[];
}

// An entry is what `node scripts/release-entry.mjs WHEEL...` prints for wheels that were built and run against. A CUDA
// release has torch from PyPI and those nvidia wheels of its metadata that hold a library which libtorch_cuda needs (its
// NEEDED entries, and theirs); nvtx has none.
export const releases: readonly Release[] = [
  {
    id: '2.13.0-cpu',
    torch: '2.13.0',
    cuda: null,
    files: [
      {
        name: 'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl',
        size: 191794682,
        sha256: '6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b',
        url: 'https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl',
        libraries: 436316320,
        headers: 39036901,
      },
    ],
  },
  {
    id: '2.14.1-cu130',
    torch: '2.14.1',
    cuda: '13.0',
    files: [
      {
        name: 'torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl',
        size: 554581699,
        sha256: '305a61f61f35f128579f299c5bd33d475f6a01c6307336139632e30856c4854d',
        url: 'https://files.pythonhosted.org/packages/aa/4f/7af6fbada912b3023cc79b6ab30f89234b258a9a373880ea52ed914a2ae9/torch-2.14.1-cp311-cp311-manylinux_2_28_x86_64.whl',
        libraries: 1001970364,
        headers: 39825084,
      },
      {
        name: 'nvidia_cublas-13.1.1.3-py3-none-manylinux_2_27_x86_64.whl',
        size: 423138758,
        sha256: '37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436',
        url: 'https://files.pythonhosted.org/packages/3b/cd/154ca20c38269e05eff77c1464e6c1da89f50a6390b565e9d82e06bc11e1/nvidia_cublas-13.1.1.3-py3-none-manylinux_2_27_x86_64.whl',
        libraries: 595845126,
        headers: 559041,
      },
      {
        name: 'nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl',
        size: 10715597,
        sha256: '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
        url: 'https://files.pythonhosted.org/packages/33/6d/737d164b4837a9bbd202f5ae3078975f0525a55730fe871d8ed4e3b952b0/nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl',
        libraries: 4211470,
        headers: 1219326,
      },
      {
        name: 'nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
        size: 90215200,
        sha256: 'ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575',
        url: 'https://files.pythonhosted.org/packages/c3/68/483a78f5e8f31b08fb1bb671559968c0ca3a065ac7acabfc7cee55214fd6/nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
        libraries: 113777942,
        headers: 44887,
      },
      {
        name: 'nvidia_cudnn_cu13-9.24.0.43-py3-none-manylinux_2_27_x86_64.whl',
        size: 553099438,
        sha256: '71f181cd810e90f9b6023b01186fe82d13d65f0ec098581ee201d39fad769e4b',
        url: 'https://files.pythonhosted.org/packages/5c/ba/791cffd048fe5b044e620df55267e3e95c0e6e07d50b41e377c03dfc910f/nvidia_cudnn_cu13-9.24.0.43-py3-none-manylinux_2_27_x86_64.whl',
        libraries: 965296622,
        headers: 1079454,
      },
      {
        name: 'nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        size: 214085489,
        sha256: '6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3',
        url: 'https://files.pythonhosted.org/packages/a8/2f/7b57e29836ea8714f81e9898409196f47d772d5ddedddf1592eadb8ab743/nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        libraries: 286601614,
        headers: 50061,
      },
      {
        name: 'nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        size: 1223672,
        sha256: '08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44',
        url: 'https://files.pythonhosted.org/packages/3f/70/4f193de89a48b71714e74602ee14d04e4019ad36a5a9f20c425776e72cd6/nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        libraries: 3273382,
        headers: 45574,
      },
      {
        name: 'nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl',
        size: 59544258,
        sha256: '1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc',
        url: 'https://files.pythonhosted.org/packages/a5/9f/be0a41ca4a4917abf5cb9ae0daff1a6060cc5de950aec0396de9f3b52bc5/nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl',
        libraries: 132757590,
        headers: 2105072,
      },
      {
        name: 'nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl',
        size: 200941980,
        sha256: '0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112',
        url: 'https://files.pythonhosted.org/packages/5f/67/cba3777620cdacb99102da4042883709c41c709f4b6323c10781a9c3aa34/nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl',
        libraries: 141212134,
        headers: 255831,
      },
      {
        name: 'nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        size: 145942937,
        sha256: '2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b',
        url: 'https://files.pythonhosted.org/packages/fa/18/623c77619c31d62efd55302939756966f3ecc8d724a14dab2b75f1508850/nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        libraries: 162624518,
        headers: 299406,
      },
      {
        name: 'nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl',
        size: 170148586,
        sha256: '786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0',
        url: 'https://files.pythonhosted.org/packages/34/7d/2661f2fb3ac4302f3a246f5fc030213ac60c1fe0bce84f9783dbd831dbb7/nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl',
        libraries: 233930101,
        headers: 18157,
      },
      {
        name: 'nvidia_nccl_cu13-2.30.7-py3-none-manylinux_2_18_x86_64.whl',
        size: 215965170,
        sha256: 'cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50',
        url: 'https://files.pythonhosted.org/packages/3f/34/c500f90c7ae641b8e0f98965b36b8a7ac79cc8b296e8d251fe3eb592ee54/nvidia_nccl_cu13-2.30.7-py3-none-manylinux_2_18_x86_64.whl',
        libraries: 252206543,
        headers: 685792,
      },
      {
        name: 'nvidia_nvjitlink-13.4.92-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
        size: 42452378,
        sha256: 'e0391f24ed94ec879b84e3da4d4ec320c879aff681f2c7a638462f7199284323',
        url: 'https://files.pythonhosted.org/packages/1d/6b/eef7a9e32872b8f41e145bf10cddc9af26e153c338852811fe9a9baddf9e/nvidia_nvjitlink-13.4.92-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
        libraries: 103662110,
        headers: 20694,
      },
      {
        name: 'nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        size: 60412546,
        sha256: '290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80',
        url: 'https://files.pythonhosted.org/packages/3c/35/a9bf80a609e74e3b000fef598933235c908fcefcef9026042b8e6dfde2a9/nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        libraries: 45812358,
        headers: 801776,
      },
      {
        name: 'nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        size: 2243632,
        sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
        url: 'https://files.pythonhosted.org/packages/2e/24/d1558f3b68b1d26e706813b1d10aa1d785e4698c425af8db8edc3dced472/nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        libraries: 763550,
        headers: 4091322,
      },
    ],
  },
];

const runtime = [
  /^torch\/lib\/lib(?:c10|c10_cuda|gomp|torch_cpu|torch_cuda|torch_cuda_linalg|torch_nvshmem|caffe2_nvrtc)(?:-[0-9a-f]+)?\.so(?:\.\d+)*$/,
  /^torch\/version\.py$/,
  // Beside them lie second interfaces and tools that nothing of libtorch opens.
  /^nvidia\/[^/]+\/lib\/(?!libcufftw|libcusolverMg|libnvblas|libnvrtc(?:-builtins)?\.alt)[^/]+\.so(?:\.\d+)+$/,
];
const development = [/^torch\/(?:include|share\/cmake)\/.+/, /^nvidia\/[^/]+\/include\/.+/];
const licences = [
  /^[^/]+\.dist-info\/licenses\/(.+)$/,
  /^[^/]+\.dist-info\/((?:LICEN[CS]E|NOTICE|COPYING)[^/]*)$/i,
  /^nvidia\/[^/]+\/((?:LICEN[CS]E|NOTICE)[^/]*)$/i,
];

/** What a file of a wheel is for; null for what is of no use here. */
export function useOf(entry: string): 'library' | 'header' | 'licence' | null {
  if (entry.endsWith('/')) return null;
  if (runtime.some((pattern) => pattern.test(entry))) return 'library';
  if (development.some((pattern) => pattern.test(entry))) return 'header';
  return licences.some((pattern) => pattern.test(entry)) ? 'licence' : null;
}

/**
 * Where a file of a wheel goes, below the folder of its release; null for what is not unpacked. The CPU's libtorch is
 * that folder itself; with CUDA it is `torch` in it, beside `nvidia`, where its libraries look for the others.
 */
export function placeOf(cuda: string | null, wheel: string, entry: string, headers: boolean): string | null {
  const use = useOf(entry);
  if (use === null || (use === 'header' && !headers)) return null;
  const inSite = use === 'licence' ? licencePlace(wheel, entry) : entry;
  return cuda === null ? inSite.replace(/^torch\//, '') : inSite;
}

// Each package beyond torch has a folder of its own, since all of them call the file alike.
function licencePlace(wheel: string, entry: string): string {
  const name = licences.flatMap((pattern) => pattern.exec(entry)?.[1] ?? [])[0] ?? entry;
  const owner = wheel.slice(0, wheel.indexOf('-'));
  return owner === 'torch' ? `torch/licenses/${name}` : `torch/licenses/${owner}/${name}`;
}
