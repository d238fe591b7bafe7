// The C++ side of bench/bridge.ts: the same calls without JavaScript, in the same process.
#include <ATen/ops/add.h>
#include <ATen/ops/ones.h>
#include <node_api.h>

#include <chrono>

namespace {

// addLoop(count): nanoseconds of one at::add of two tensors of two elements.
napi_value add_loop(napi_env env, napi_callback_info info) {
  size_t arguments = 1;
  napi_value value = nullptr;
  napi_get_cb_info(env, info, &arguments, &value, nullptr, nullptr);
  int64_t count = 0;
  napi_get_value_int64(env, value, &count);
  const at::Tensor a = at::ones({2});
  const at::Tensor b = at::ones({2});
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < count; ++i) at::add(a, b);
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
  napi_value result = nullptr;
  napi_create_double(env, time.count() / static_cast<double>(count), &result);
  return result;
}

napi_value init(napi_env env, napi_value exports) {
  napi_value function = nullptr;
  napi_create_function(env, "addLoop", NAPI_AUTO_LENGTH, add_loop, nullptr, &function);
  napi_set_named_property(env, exports, "addLoop", function);
  return exports;
}

}  // namespace

NAPI_MODULE(bench_bridge, init)
