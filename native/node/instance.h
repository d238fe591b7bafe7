// Everything of one environment: the main thread or one worker_thread. Nothing here is static.
#pragma once

#include <memory>
#include <vector>

#include "node/autocast.h"
#include "node/bridge.h"
#include "node/handles.h"
#include "node/operators.h"
#include "node/worker.h"

namespace spikenode::node {

struct Instance {
  Instance(napi_env env, uint32_t environment)
      : env(env), handles(environment), worker(env), loader(env) {}

  napi_env env;
  HandleTable handles;
  std::vector<std::unique_ptr<Operator>> operators;
  // Stacks for boxed calls; more than one only when a getter calls the bridge during conversion.
  std::vector<torch::jit::Stack> stacks;
  std::vector<AutocastState> autocast_regions;  // what was before each open one
  napi_ref error_classes[static_cast<size_t>(ErrorClass::kCount)] = {};
  Worker worker;
  // A second thread, so that the next batches are gathered while the first one is in a backward.
  Worker loader;
  int64_t reported_bytes = 0;  // what V8 was told of external memory
};

}  // namespace spikenode::node
