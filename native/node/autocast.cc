#include "node/autocast.h"

#include <ATen/autocast_mode.h>

#include "node/dtype.h"
#include "node/instance.h"

namespace spikenode::node {
namespace {

constexpr c10::DeviceType kDevices[] = {c10::kCPU, c10::kCUDA};

c10::DeviceType device_argument(const Arguments& arguments) {
  const std::string name = get_string(arguments.env, arguments[0], "autocast: argument 'device'");
  if (name == "cpu") return c10::kCPU;
  if (name == "cuda") return c10::kCUDA;
  throw BridgeError(ErrorClass::kType,
                    "autocast: argument 'device' must be 'cpu' or 'cuda', got '" + name + "'");
}

// Any other dtype would be an error of the first matrix product only, far from its cause.
c10::ScalarType dtype_argument(const Arguments& arguments) {
  const std::string what = "autocast: argument 'dtype'";
  const std::string name = get_string(arguments.env, arguments[2], what);
  if (name != "bfloat16" && name != "float16")
    throw BridgeError(ErrorClass::kType,
                      what + " must be 'bfloat16' or 'float16', got '" + name + "'");
  return dtype_from_name(name, what);
}

// enterAutocast(device, enabled, dtype, cacheEnabled)
napi_value enter_autocast(Arguments& arguments) {
  napi_env env = arguments.env;
  const c10::DeviceType device = device_argument(arguments);
  const bool enabled = get_bool(env, arguments[1], "autocast: argument 'enabled'");
  const c10::ScalarType dtype = dtype_argument(arguments);
  const bool cache_enabled = get_bool(env, arguments[3], "autocast: argument 'cacheEnabled'");
  arguments.instance->autocast_regions.push_back(AutocastState::current());
  at::autocast::increment_nesting();
  at::autocast::set_autocast_enabled(device, enabled);
  at::autocast::set_autocast_dtype(device, dtype);
  at::autocast::set_autocast_cache_enabled(cache_enabled);
  return undefined_value(env);
}

// exitAutocast(): restores what was before the innermost region.
napi_value exit_autocast(Arguments& arguments) {
  auto& regions = arguments.instance->autocast_regions;
  if (regions.empty()) throw BridgeError(ErrorClass::kType, "exitAutocast: no region is open");
  // A weight may change between two regions, so that its 16-bit copy is worth nothing in the next.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  regions.back().apply();
  regions.pop_back();
  return undefined_value(arguments.env);
}

// autocastEnabled(device)
napi_value autocast_enabled(Arguments& arguments) {
  return to_js(arguments.env, at::autocast::is_autocast_enabled(device_argument(arguments)));
}

}  // namespace

AutocastState AutocastState::current() {
  AutocastState state{};
  for (size_t i = 0; i < state.devices.size(); ++i)
    state.devices[i] = {at::autocast::is_autocast_enabled(kDevices[i]),
                        at::autocast::get_autocast_dtype(kDevices[i])};
  state.cache_enabled = at::autocast::is_autocast_cache_enabled();
  return state;
}

void AutocastState::apply() const {
  for (size_t i = 0; i < devices.size(); ++i) {
    at::autocast::set_autocast_enabled(kDevices[i], devices[i].enabled);
    at::autocast::set_autocast_dtype(kDevices[i], devices[i].dtype);
  }
  at::autocast::set_autocast_cache_enabled(cache_enabled);
}

void define_autocast(napi_env env, napi_value exports, Instance* instance) {
  define(env, exports, instance, "enterAutocast", guarded<enter_autocast>);
  define(env, exports, instance, "exitAutocast", guarded<exit_autocast>);
  define(env, exports, instance, "autocastEnabled", guarded<autocast_enabled>);
}

}  // namespace spikenode::node
