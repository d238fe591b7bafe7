#include "node/bridge.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <new>

#include "node/instance.h"

namespace spikenode::node {
namespace {

constexpr double kSafe = 9007199254740991.0;

bool starts_with_operator(const std::string& message, const std::string& where) {
  return message.compare(0, where.size(), where) == 0;
}

std::string strip(std::string message) {
  // Some of libtorch's texts carry the throwing function after the first line.
  const size_t trace = message.find("\nException raised from");
  if (trace != std::string::npos) message.resize(trace);
  // A missing device: what follows are hints for builders of libtorch and a list of its backends.
  const size_t hints = message.find("' backend. This could be because");
  if (hints != std::string::npos) {
    message.resize(hints);
    message += "' backend: this process has not loaded it";
  }
  return message;
}

Failure torch_failure(ErrorClass error_class, const std::string& where, const char* text) {
  std::string message = strip(text);
  if (!where.empty() && !starts_with_operator(message, where)) message = where + ": " + message;
  return {error_class, message};
}

}  // namespace

void check(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) throw PendingException();
  const napi_extended_error_info* info = nullptr;
  napi_get_last_error_info(env, &info);
  throw BridgeError(ErrorClass::kType, info != nullptr && info->error_message != nullptr
                                           ? info->error_message
                                           : "Node-API call failed");
}

Failure current_failure(const std::string& where) {
  try {
    throw;
  } catch (const BridgeError& error) {
    return {error.error_class, error.what()};
  } catch (const c10::OutOfMemoryError& error) {
    return torch_failure(ErrorClass::kOutOfMemory, where, error.what_without_backtrace());
  } catch (const c10::TypeError& error) {
    return torch_failure(ErrorClass::kDType, where, error.what_without_backtrace());
  } catch (const c10::IndexError& error) {
    return torch_failure(ErrorClass::kShape, where, error.what_without_backtrace());
  } catch (const c10::ValueError& error) {
    return torch_failure(ErrorClass::kShape, where, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool memory = text.find("DefaultCPUAllocator") != std::string::npos;
    // libtorch has no class of its own for this one: zeros([-1]).
    if (text.find("negative dimension") != std::string::npos ||
        text.find("must be non-negative") != std::string::npos)
      return torch_failure(ErrorClass::kShape, where, text.c_str());
    return torch_failure(memory ? ErrorClass::kOutOfMemory : ErrorClass::kTorch, where,
                         text.c_str());
  } catch (const std::bad_alloc&) {
    return {ErrorClass::kOutOfMemory, where + ": out of memory"};
  } catch (const std::exception& error) {
    return torch_failure(ErrorClass::kTorch, where, error.what());
  } catch (...) {
    return {ErrorClass::kTorch, where + ": unknown exception"};
  }
}

napi_value make_error(napi_env env, const Instance& instance, ErrorClass error_class,
                      const std::string& message) {
  napi_value text = nullptr;
  napi_value constructor = nullptr;
  napi_value error = nullptr;
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_ref reference = instance.error_classes[static_cast<size_t>(error_class)];
  if (reference != nullptr && napi_get_reference_value(env, reference, &constructor) == napi_ok &&
      constructor != nullptr && napi_new_instance(env, constructor, 1, &text, &error) == napi_ok)
    return error;
  napi_create_error(env, nullptr, text, &error);
  return error;
}

void throw_current(napi_env env, const Instance& instance, const std::string& where) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) return;
  const Failure failure = current_failure(where);
  napi_throw(env, make_error(env, instance, failure.error_class, failure.message));
}

napi_valuetype type_of(napi_env env, napi_value value) {
  if (value == nullptr) return napi_undefined;
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, value, &type));
  return type;
}

bool is_nullish(napi_env env, napi_value value) {
  const napi_valuetype type = type_of(env, value);
  return type == napi_undefined || type == napi_null;
}

std::string describe(napi_env env, napi_value value) {
  bool array = false;
  switch (type_of(env, value)) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_string:
      return "a string";
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    case napi_bigint:
      return "a bigint";
    case napi_external:
      return "an external value";
    case napi_number: {
      double number = 0;
      napi_get_value_double(env, value, &number);
      char buffer[40];
      snprintf(buffer, sizeof buffer, "%.17g", number);
      return std::isnan(number) ? "NaN" : buffer;
    }
    case napi_object:
      napi_is_array(env, value, &array);
      return array ? "an array" : "an object";
  }
  return "an unknown value";
}

std::string get_string(napi_env env, napi_value value, const std::string& what) {
  if (type_of(env, value) != napi_string)
    throw BridgeError(ErrorClass::kType, what + " must be a string, got " + describe(env, value));
  size_t length = 0;
  check(env, napi_get_value_string_utf8(env, value, nullptr, 0, &length));
  std::string result(length, '\0');
  check(env, napi_get_value_string_utf8(env, value, result.data(), length + 1, &length));
  return result;
}

bool get_bool(napi_env env, napi_value value, const std::string& what) {
  bool result = false;
  if (value == nullptr || napi_get_value_bool(env, value, &result) != napi_ok)
    throw BridgeError(ErrorClass::kType, what + " must be a boolean, got " + describe(env, value));
  return result;
}

double get_double(napi_env env, napi_value value, const std::string& what) {
  double result = 0;
  if (value == nullptr || napi_get_value_double(env, value, &result) != napi_ok)
    throw BridgeError(ErrorClass::kType, what + " must be a number, got " + describe(env, value));
  return result;
}

int64_t get_integer(napi_env env, napi_value value, const std::string& what) {
  double number = 0;
  if (value != nullptr && napi_get_value_double(env, value, &number) == napi_ok) {
    if (std::trunc(number) == number && std::fabs(number) <= kSafe)
      return static_cast<int64_t>(number);
  } else if (type_of(env, value) == napi_bigint) {
    int64_t integer = 0;
    bool lossless = false;
    check(env, napi_get_value_bigint_int64(env, value, &integer, &lossless));
    if (lossless) return integer;
  }
  throw BridgeError(ErrorClass::kType,
                    what + " must be a safe integer, got " + describe(env, value));
}

uint32_t get_length(napi_env env, napi_value array, const std::string& what) {
  bool is_array = false;
  if (array != nullptr) check(env, napi_is_array(env, array, &is_array));
  if (!is_array)
    throw BridgeError(ErrorClass::kType, what + " must be an array, got " + describe(env, array));
  uint32_t length = 0;
  check(env, napi_get_array_length(env, array, &length));
  // A sparse array of 2^32 - 1 elements would keep the event loop busy for minutes.
  constexpr uint32_t kMost = 1 << 20;
  if (length > kMost)
    throw BridgeError(ErrorClass::kType, what + " must have at most " + std::to_string(kMost) +
                                             " elements, got " + std::to_string(length));
  return length;
}

napi_value get_element(napi_env env, napi_value array, uint32_t index) {
  napi_value element = nullptr;
  check(env, napi_get_element(env, array, index, &element));
  return element;
}

napi_value to_js(napi_env env, const std::string& value) {
  napi_value result = nullptr;
  check(env, napi_create_string_utf8(env, value.data(), value.size(), &result));
  return result;
}

napi_value to_js(napi_env env, double value) {
  napi_value result = nullptr;
  check(env, napi_create_double(env, value, &result));
  return result;
}

napi_value to_js(napi_env env, bool value) {
  napi_value result = nullptr;
  check(env, napi_get_boolean(env, value, &result));
  return result;
}

napi_value to_js(napi_env env, int64_t value) {
  napi_value result = nullptr;
  if (std::fabs(static_cast<double>(value)) <= kSafe)
    check(env, napi_create_double(env, static_cast<double>(value), &result));
  else
    check(env, napi_create_bigint_int64(env, value, &result));
  return result;
}

napi_value null_value(napi_env env) {
  napi_value result = nullptr;
  check(env, napi_get_null(env, &result));
  return result;
}

napi_value undefined_value(napi_env env) {
  napi_value result = nullptr;
  check(env, napi_get_undefined(env, &result));
  return result;
}

void define(napi_env env, napi_value exports, Instance* instance, const char* name,
            napi_callback callback) {
  napi_value function = nullptr;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, instance, &function));
  check(env, napi_set_named_property(env, exports, name, function));
}

}  // namespace spikenode::node
