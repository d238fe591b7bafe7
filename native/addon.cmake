# The loader (Node-API only) and the bridge (Node-API and libtorch).
# SPIKENODE_NODE_API is the folder of node_api.h: `spikenode build` knows it, cmake-js has its own name for it, and plain
# cmake asks Node.
set(SPIKENODE_NODE_API "${CMAKE_JS_INC}" CACHE STRING "folder of node_api.h")
if(NOT SPIKENODE_NODE_API)
  execute_process(COMMAND node -p "require('node-api-headers').include_dir"
    WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" OUTPUT_VARIABLE SPIKENODE_NODE_API OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(NOT SPIKENODE_NODE_API)
  message(FATAL_ERROR "the npm package node-api-headers was not found; give its include folder as SPIKENODE_NODE_API")
endif()
add_library(node_api INTERFACE)
target_include_directories(node_api SYSTEM INTERFACE ${SPIKENODE_NODE_API})
target_compile_definitions(node_api INTERFACE NAPI_VERSION=9)

add_library(loader MODULE native/loader/loader.cc)
target_link_libraries(loader PRIVATE spikenode_flags node_api dl)
set_target_properties(loader PROPERTIES PREFIX "" SUFFIX ".node")

file(GLOB bridge_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/native/node/*.cc")
add_library(spikenode_addon MODULE ${bridge_sources})
target_link_libraries(spikenode_addon PRIVATE spikenode_flags node_api libtorch spikenode)
set_target_properties(spikenode_addon PROPERTIES OUTPUT_NAME spikenode PREFIX "" SUFFIX ".node")

if(SPIKENODE_BENCH)
  add_executable(bench_neurons "${CMAKE_SOURCE_DIR}/bench/neurons.cpp" native/node/allocator.cc)
  target_link_libraries(bench_neurons PRIVATE spikenode_flags libtorch spikenode)
  target_compile_options(bench_neurons PRIVATE -O3 -mavx2 -fno-tree-loop-distribute-patterns)
  set_target_properties(bench_neurons PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}")
  add_library(bench_bridge MODULE "${CMAKE_SOURCE_DIR}/bench/bridge.cc")
  target_link_libraries(bench_bridge PRIVATE spikenode_flags node_api libtorch)
  set_target_properties(bench_bridge PROPERTIES PREFIX "" SUFFIX ".node")
endif()
