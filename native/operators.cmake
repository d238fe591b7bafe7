# libspikenode: the operators, without Node. The kernels are compiled once for every instruction set.
set(kernel_sources native/cpu/integrate_fire.cc native/cpu/lif.cc native/cpu/surrogates.cc)
set(kernel_isas baseline)
set(baseline_flags "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND kernel_isas avx2 avx512)
  set(avx2_flags -mavx2)
  set(avx512_flags -mavx512f -mavx512dq -mavx512bw -mavx512vl)
endif()

add_library(spikenode SHARED
  native/cpu/launch.cc
  native/ops/arguments.cc
  native/ops/autograd.cc
  native/ops/layout.cc
  native/ops/membrane.cc
  native/ops/reduce.cc
  native/ops/register.cc
  native/ops/surrogate_identity.cc)
target_link_libraries(spikenode PRIVATE spikenode_flags libtorch)
# Sums of a number for each neuron, which vectors make shorter than the kernels before them.
set_source_files_properties(native/ops/reduce.cc PROPERTIES COMPILE_OPTIONS -O3)
if(avx512_flags)
  target_compile_definitions(spikenode PRIVATE SPIKENODE_X86)
endif()

foreach(isa IN LISTS kernel_isas)
  add_library(kernels_${isa} OBJECT ${kernel_sources})
  target_link_libraries(kernels_${isa} PRIVATE spikenode_flags)
  # The vector types are passed inline only, so their calling convention does not matter.
  target_compile_options(kernels_${isa} PRIVATE -O3 ${${isa}_flags})
  target_compile_definitions(kernels_${isa} PRIVATE SPIKENODE_ISA=${isa})
  target_sources(spikenode PRIVATE $<TARGET_OBJECTS:kernels_${isa}>)
endforeach()

# The CUDA kernels, a library of their own: the rest links no CUDA library, so that one addon serves
# machines with and without. The operators' glue is compiled in again, since libspikenode exports nothing.
option(SPIKENODE_CUDA "build libspikenode_cuda; SPIKENODE_LIBTORCH must be a CUDA build" OFF)
# Never `native`: what builds need not be what runs.
set(SPIKENODE_CUDA_ARCHITECTURES "" CACHE STRING
  "compute capabilities, ascending (80;90); empty: those of a release that the toolkit has")
if(SPIKENODE_CUDA)
  enable_language(CUDA)
  if(NOT SPIKENODE_CUDA_ARCHITECTURES)
    execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --list-gpu-arch OUTPUT_VARIABLE known_to_toolkit)
    foreach(number 75 80 86 89 90 100 120)
      if(known_to_toolkit MATCHES "compute_${number}\n")
        list(APPEND SPIKENODE_CUDA_ARCHITECTURES ${number})
      endif()
    endforeach()
  endif()
  if(NOT SPIKENODE_CUDA_ARCHITECTURES)
    message(FATAL_ERROR "'${CMAKE_CUDA_COMPILER}' compiles for none of the GPUs of a release; set SPIKENODE_CUDA_ARCHITECTURES")
  endif()
  # Machine code for each, and for the newest PTX too, from which later GPUs can compile.
  set(cuda_targets ${SPIKENODE_CUDA_ARCHITECTURES})
  list(POP_BACK cuda_targets newest)
  list(TRANSFORM cuda_targets APPEND "-real")
  list(APPEND cuda_targets ${newest})
  foreach(name c10_cuda torch_cuda)
    add_library(${name} SHARED IMPORTED)
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${SPIKENODE_LIBTORCH}/lib/lib${name}.so")
  endforeach()
  add_library(spikenode_cuda SHARED
    native/cuda/integrate_fire.cu
    native/cuda/launch.cu
    native/cuda/lif.cu
    native/ops/arguments.cc
    native/ops/layout.cc
    native/ops/membrane.cc
    native/ops/reduce.cc
    native/ops/register_cuda.cc)
  set_target_properties(spikenode_cuda PROPERTIES
    CUDA_STANDARD 17 CUDA_ARCHITECTURES "${cuda_targets}" CUDA_RUNTIME_LIBRARY Shared)
  set(host_only $<COMPILE_LANGUAGE:CXX>)
  target_include_directories(spikenode_cuda PRIVATE "${CMAKE_SOURCE_DIR}/native")
  target_include_directories(spikenode_cuda SYSTEM PRIVATE
    "${SPIKENODE_LIBTORCH}/include" ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_compile_definitions(spikenode_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:SPIKENODE_ISA=cuda_device>
    $<${host_only}:C10_CUDA_NO_CMAKE_CONFIGURE_FILE>)
  target_compile_options(spikenode_cuda PRIVATE
    $<${host_only}:-Wall;-Wextra;-Werror>
    $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false;-Werror=all-warnings;-Xcompiler=-Wall,-Werror>)
  # torch_cuda's own dependencies are resolved when the loader opens them.
  target_link_options(spikenode_cuda PRIVATE -Wl,-z,now -Wl,-z,nodelete -Wl,--no-as-needed
    -Wl,--allow-shlib-undefined)
  target_link_libraries(spikenode_cuda PRIVATE torch_cpu c10 c10_cuda torch_cuda)
endif()
