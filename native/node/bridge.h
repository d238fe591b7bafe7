// What the files of the bridge share: errors on their way to JavaScript, the per-environment
// instance, and access to arguments.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace spikenode::node {

struct Instance;

// The classes of lib/errors.ts (and JavaScript's own TypeError) by which a failure reaches the
// user.
enum class ErrorClass { kType, kDType, kShape, kDisposed, kOutOfMemory, kTorch, kCount };

class BridgeError : public std::runtime_error {
 public:
  BridgeError(ErrorClass error_class, const std::string& message)
      : std::runtime_error(message), error_class(error_class) {}
  const ErrorClass error_class;
};

// A JavaScript exception is already pending (a getter or Proxy threw): unwind and let it through.
class PendingException {};

// Throws PendingException or a BridgeError unless status is napi_ok.
void check(napi_env env, napi_status status);

// Creates an instance of the error class registered by lib/tensor, without throwing it.
napi_value make_error(napi_env env, const Instance& instance, ErrorClass error_class,
                      const std::string& message);

// What a caught C++ exception is to the user: class, and message without libtorch's backtrace.
struct Failure {
  ErrorClass error_class;
  std::string message;
};
// Call inside a catch block. `where` is put before messages that do not name their operator.
Failure current_failure(const std::string& where);
// Call inside a catch block: throws the JavaScript error (or leaves the pending one).
void throw_current(napi_env env, const Instance& instance, const std::string& where);

// "a string", "NaN", "-1.5", "an array": what an error message says of a wrong value.
std::string describe(napi_env env, napi_value value);

napi_valuetype type_of(napi_env env, napi_value value);
bool is_nullish(napi_env env, napi_value value);
// The following throw a BridgeError of class TypeError that begins with `what`.
std::string get_string(napi_env env, napi_value value, const std::string& what);
bool get_bool(napi_env env, napi_value value, const std::string& what);
double get_double(napi_env env, napi_value value, const std::string& what);
// A safe integer, or a bigint that fits 64 bits.
int64_t get_integer(napi_env env, napi_value value, const std::string& what);
uint32_t get_length(napi_env env, napi_value array, const std::string& what);
napi_value get_element(napi_env env, napi_value array, uint32_t index);

napi_value to_js(napi_env env, const std::string& value);
napi_value to_js(napi_env env, double value);
napi_value to_js(napi_env env, bool value);
// A number, or a bigint outside the safe range.
napi_value to_js(napi_env env, int64_t value);
napi_value null_value(napi_env env);
napi_value undefined_value(napi_env env);

// The arguments of one call.
class Arguments {
 public:
  static constexpr size_t kMost = 48;
  Arguments(napi_env env, napi_callback_info info) : env(env), count(kMost) {
    void* data = nullptr;
    check(env, napi_get_cb_info(env, info, &count, values, nullptr, &data));
    instance = static_cast<Instance*>(data);
    if (count > kMost) throw BridgeError(ErrorClass::kType, "too many arguments");
  }
  napi_value operator[](size_t index) const { return index < count ? values[index] : nullptr; }

  napi_env env;
  Instance* instance = nullptr;
  size_t count;
  napi_value values[kMost];
};

using Function = napi_value (*)(Arguments&);

// Adapts a Function to Node-API: no C++ exception leaves it.
template <Function function>
napi_value guarded(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  try {
    Arguments arguments(env, info);
    return function(arguments);
  } catch (...) {
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    throw_current(env, *static_cast<Instance*>(data), "");
    return nullptr;
  }
}

// Functions of the addon object, by file.
void define_operators(napi_env env, napi_value exports, Instance* instance);
void define_tensors(napi_env env, napi_value exports, Instance* instance);
void define_autocast(napi_env env, napi_value exports, Instance* instance);
void define_autograd(napi_env env, napi_value exports, Instance* instance);
void define_batches(napi_env env, napi_value exports, Instance* instance);
void define_runtime(napi_env env, napi_value exports, Instance* instance);
void define(napi_env env, napi_value exports, Instance* instance, const char* name,
            napi_callback callback);

}  // namespace spikenode::node
