# libspikenode: the operators, without Node. The kernels are compiled once for every instruction set.
set(kernel_sources native/cpu/integrate_fire.cc native/cpu/lif.cc)
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
  native/ops/register.cc)
target_link_libraries(spikenode PRIVATE spikenode_flags libtorch)
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
