// Tensors from and to JavaScript memory, and what a Tensor object tells of itself.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/safe_numerics.h>

#include <cstring>
#include <vector>

#include "node/dtype.h"
#include "node/instance.h"

namespace spikenode::node {
namespace {

int64_t handle_argument(const Arguments& arguments, size_t index, const char* what) {
  return get_integer(arguments.env, arguments[index], what);
}

const at::Tensor& self(const Arguments& arguments) {
  return arguments.instance->handles.tensor(handle_argument(arguments, 0, "the tensor"),
                                            "the tensor");
}

std::vector<int64_t> get_shape(const Arguments& arguments, napi_value value) {
  const std::string what = "tensor: argument 'shape'";
  const uint32_t rank = get_length(arguments.env, value, what);
  std::vector<int64_t> shape;
  int64_t elements = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const int64_t size = get_integer(arguments.env, get_element(arguments.env, value, i), what);
    if (size < 0 || __builtin_mul_overflow(elements, size, &elements))
      throw BridgeError(
          ErrorClass::kShape,
          what + " must have sizes >= 0 whose product fits 64 bits, got " + std::to_string(size));
    shape.push_back(size);
  }
  if (rank > 64)
    throw BridgeError(ErrorClass::kShape,
                      what + " must have at most 64 dimensions, got " + std::to_string(rank));
  return shape;
}

struct Bytes {
  const void* data = nullptr;
  size_t length = 0;
};

Bytes get_bytes(const Arguments& arguments, napi_value value) {
  bool is_typed = false;
  if (value != nullptr) check(arguments.env, napi_is_typedarray(arguments.env, value, &is_typed));
  if (!is_typed)
    throw BridgeError(ErrorClass::kType, "tensor: argument 'data' must be a typed array, got " +
                                             describe(arguments.env, value));
  static constexpr size_t kElementSize[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  napi_typedarray_type type = napi_int8_array;
  Bytes bytes;
  size_t elements = 0;
  void* data = nullptr;
  check(arguments.env,
        napi_get_typedarray_info(arguments.env, value, &type, &elements, &data, nullptr, nullptr));
  if (static_cast<size_t>(type) >= std::size(kElementSize))
    throw BridgeError(ErrorClass::kType, "tensor: argument 'data' has an unknown element type");
  bytes.data = data;
  bytes.length = elements * kElementSize[type];
  return bytes;
}

// fromData(typedArray, dtype, shape): one copy into memory of our own. The element type of the
// array has been matched with the dtype by the caller; sizes are checked here.
napi_value from_data(Arguments& arguments) {
  napi_env env = arguments.env;
  const c10::ScalarType dtype =
      dtype_from_name(get_string(env, arguments[1], "tensor: argument 'dtype'"), "tensor: dtype");
  const std::vector<int64_t> shape = get_shape(arguments, arguments[2]);
  // Last, since a getter of the shape may have detached the buffer.
  const Bytes bytes = get_bytes(arguments, arguments[0]);
  uint64_t expected = c10::elementSize(dtype);
  for (int64_t size : shape) {
    if (c10::mul_overflows(expected, static_cast<uint64_t>(size), &expected))
      throw BridgeError(ErrorClass::kShape, "tensor: argument 'shape' has too many elements");
  }
  if (expected != bytes.length)
    throw BridgeError(ErrorClass::kShape,
                      "tensor: argument 'data' must have " +
                          std::to_string(expected / c10::elementSize(dtype)) +
                          " elements for this shape, got " +
                          std::to_string(bytes.length / c10::elementSize(dtype)));
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(dtype));
  if (bytes.length > 0) std::memcpy(tensor.mutable_data_ptr(), bytes.data, bytes.length);
  return to_js(env, arguments.instance->handles.insert(std::move(tensor)));
}

// Dense values on the CPU in a type that has a typed array: 16-bit floats become float32.
at::Tensor readable(const at::Tensor& tensor) {
  c10::AutoGradMode no_grad(false);
  const c10::ScalarType dtype = tensor.scalar_type();
  const bool half = dtype == c10::ScalarType::Half || dtype == c10::ScalarType::BFloat16;
  if (c10::isComplexType(dtype))
    throw BridgeError(ErrorClass::kDType,
                      "complex values have no typed array; take .real or .imag first");
  return tensor.detach().to(c10::kCPU, half ? c10::ScalarType::Float : dtype).contiguous();
}

napi_value to_buffer(napi_env env, const at::Tensor& tensor) {
  void* data = nullptr;
  napi_value buffer = nullptr;
  check(env, napi_create_arraybuffer(env, tensor.nbytes(), &data, &buffer));
  if (tensor.nbytes() > 0) std::memcpy(data, tensor.const_data_ptr(), tensor.nbytes());
  return buffer;
}

// toData(handle): an ArrayBuffer of the values, row-major.
napi_value to_data(Arguments& arguments) {
  const at::Tensor tensor = self(arguments);
  return to_buffer(arguments.env, readable(tensor));
}

// toDataAsync(handle): the same, waited for and converted on the worker.
napi_value to_data_async(Arguments& arguments) {
  const at::Tensor tensor = self(arguments);
  auto job = std::make_unique<Worker::Job>();
  auto values = std::make_shared<at::Tensor>();
  job->name = "toTypedArrayAsync";
  job->run = [tensor, values] { *values = readable(tensor); };
  job->result = [values](napi_env env) { return to_buffer(env, *values); };
  return arguments.instance->worker.submit(std::move(job), arguments.instance);
}

napi_value integers(napi_env env, c10::IntArrayRef values) {
  napi_value result = nullptr;
  check(env, napi_create_array_with_length(env, values.size(), &result));
  for (size_t i = 0; i < values.size(); ++i)
    check(env, napi_set_element(env, result, static_cast<uint32_t>(i), to_js(env, values[i])));
  return result;
}

napi_value shape(Arguments& arguments) { return integers(arguments.env, self(arguments).sizes()); }
napi_value strides(Arguments& arguments) {
  return integers(arguments.env, self(arguments).strides());
}
napi_value dtype(Arguments& arguments) {
  return to_js(arguments.env, std::string(dtype_name(self(arguments).scalar_type())));
}
napi_value device(Arguments& arguments) {
  return to_js(arguments.env, self(arguments).device().str());
}
napi_value element_count(Arguments& arguments) {
  return to_js(arguments.env, self(arguments).numel());
}
napi_value shares_storage(Arguments& arguments) {
  const at::Tensor& other = arguments.instance->handles.tensor(
      handle_argument(arguments, 1, "the other tensor"), "the other tensor");
  return to_js(arguments.env, self(arguments).is_alias_of(other));
}

// alias(handle): a second handle of the same tensor, with an owner of its own.
napi_value alias(Arguments& arguments) {
  at::Tensor tensor = self(arguments);
  return to_js(arguments.env, arguments.instance->handles.insert(std::move(tensor)));
}

// V8 hears of tracked bytes in steps, since each report may start a collection.
void report_bytes(Instance& instance) {
  constexpr int64_t kStep = 1 << 20;
  const int64_t change = instance.handles.tracked_bytes() - instance.reported_bytes;
  if (change > -kStep && change < kStep) return;
  int64_t total = 0;
  napi_adjust_external_memory(instance.env, change, &total);
  instance.reported_bytes += change;
}

napi_value dispose(Arguments& arguments) {
  const bool dropped =
      arguments.instance->handles.drop(handle_argument(arguments, 0, "dispose: the handle"));
  report_bytes(*arguments.instance);
  return to_js(arguments.env, dropped);
}

// track(handle): no scope owns it; returns the bytes that are tracked now.
napi_value track(Arguments& arguments) {
  arguments.instance->handles.track(handle_argument(arguments, 0, "track: the handle"));
  report_bytes(*arguments.instance);
  return to_js(arguments.env, arguments.instance->handles.tracked_bytes());
}

// own(handle, owner): something other than a scope owns it now.
napi_value own(Arguments& arguments) {
  const int64_t owner = handle_argument(arguments, 1, "own: the owner");
  if (owner < 0 || owner >= static_cast<int64_t>(Owner::kCount))
    throw BridgeError(ErrorClass::kType, "own: the owner has no such number");
  arguments.instance->handles.own(handle_argument(arguments, 0, "own: the handle"),
                                  static_cast<Owner>(owner));
  return undefined_value(arguments.env);
}

// isDisposed(handle)
napi_value is_disposed(Arguments& arguments) {
  const int64_t handle = handle_argument(arguments, 0, "the tensor");
  return to_js(arguments.env, arguments.instance->handles.peek(handle) == nullptr);
}

}  // namespace

void define_tensors(napi_env env, napi_value exports, Instance* instance) {
  define(env, exports, instance, "fromData", guarded<from_data>);
  define(env, exports, instance, "toData", guarded<to_data>);
  define(env, exports, instance, "toDataAsync", guarded<to_data_async>);
  define(env, exports, instance, "shape", guarded<shape>);
  define(env, exports, instance, "strides", guarded<strides>);
  define(env, exports, instance, "dtype", guarded<dtype>);
  define(env, exports, instance, "device", guarded<device>);
  define(env, exports, instance, "elementCount", guarded<element_count>);
  define(env, exports, instance, "sharesStorage", guarded<shares_storage>);
  define(env, exports, instance, "alias", guarded<alias>);
  define(env, exports, instance, "dispose", guarded<dispose>);
  define(env, exports, instance, "track", guarded<track>);
  define(env, exports, instance, "own", guarded<own>);
  define(env, exports, instance, "isDisposed", guarded<is_disposed>);
}

}  // namespace spikenode::node
