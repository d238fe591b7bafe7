// Batches of a data set, gathered on a native thread.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "node/instance.h"

namespace spikenode::node {
namespace {

constexpr int64_t cache_line = 64;
constexpr size_t rows_ahead = 4;

std::vector<int64_t> get_samples(const Arguments& arguments, size_t index, int64_t count) {
  const std::string what = "gather: argument 'samples'";
  const napi_value value = arguments[index];
  bool is_typed = false;
  if (value != nullptr) check(arguments.env, napi_is_typedarray(arguments.env, value, &is_typed));
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (is_typed)
    check(arguments.env,
          napi_get_typedarray_info(arguments.env, value, &type, &length, &data, nullptr, nullptr));
  if (!is_typed || (type != napi_int32_array && type != napi_bigint64_array))
    throw BridgeError(ErrorClass::kType, what + " must be an Int32Array or a BigInt64Array, got " +
                                             describe(arguments.env, value));
  std::vector<int64_t> samples(length);
  for (size_t i = 0; i < length; ++i) {
    samples[i] = type == napi_int32_array ? static_cast<const int32_t*>(data)[i]
                                          : static_cast<const int64_t*>(data)[i];
    if (samples[i] < 0 || samples[i] >= count)
      throw BridgeError(ErrorClass::kShape, what + " must have numbers from 0 to " +
                                                std::to_string(count - 1) + ", got " +
                                                std::to_string(samples[i]));
  }
  return samples;
}

#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif
void divide(const uint8_t* from, float* to, int64_t count, float scale) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]) / scale;
}

// Bytes divided by a scale, as double precision gives them after one more rounding.
class Scaled {
 public:
  explicit Scaled(double scale) : scale_(static_cast<float>(scale)), is_quotient_(true) {
    for (size_t byte = 0; byte < values_.size(); ++byte) {
      values_[byte] = static_cast<float>(static_cast<double>(byte) / scale);
      is_quotient_ = is_quotient_ && values_[byte] == static_cast<float>(byte) / scale_;
    }
  }
  void write(const uint8_t* from, float* to, int64_t count) const {
    // Vectors divide faster than a table is read, and for nearly every scale to the same bits.
    if (is_quotient_) return divide(from, to, count, scale_);
    for (int64_t i = 0; i < count; ++i) to[i] = values_[from[i]];
  }

 private:
  std::array<float, 256> values_;
  float scale_;
  bool is_quotient_;
};

// The rows of `source` ([S, *], dense) with the given numbers, in float32; bytes are divided by
// `scale` in double precision and rounded once, as JavaScript does it.
at::Tensor gathered(const at::Tensor& source, const std::vector<int64_t>& samples, double scale) {
  std::vector<int64_t> shape = source.sizes().vec();
  const int64_t width = source.numel() / std::max<int64_t>(shape[0], 1);
  shape[0] = static_cast<int64_t>(samples.size());
  at::Tensor result = at::empty(shape, at::TensorOptions().dtype(c10::ScalarType::Float));
  if (result.numel() == 0) return result;
  float* out = result.mutable_data_ptr<float>();
  if (source.scalar_type() == c10::ScalarType::Float) {
    const float* const in = source.const_data_ptr<float>();
    for (const int64_t sample : samples) {
      std::memcpy(out, in + sample * width, static_cast<size_t>(width) * sizeof(float));
      out += width;
    }
    return result;
  }
  const Scaled scaled(scale);
  const uint8_t* const in = source.const_data_ptr<uint8_t>();
  for (size_t k = 0; k < samples.size(); ++k) {
    // Rows lie anywhere: without this each begins with a wait for memory.
    const uint8_t* const ahead = in + samples[std::min(k + rows_ahead, samples.size() - 1)] * width;
    for (int64_t i = 0; i < width; i += cache_line) __builtin_prefetch(ahead + i);
    scaled.write(in + samples[k] * width, out, width);
    out += width;
  }
  return result;
}

// gather(handle, samples, scale): a promise of the handle of a new float32 tensor, which belongs to
// no scope. Runs on the loader's thread, in the order of the calls.
napi_value gather(Arguments& arguments) {
  Instance* const instance = arguments.instance;
  const std::string what = "gather: argument 'source'";
  const at::Tensor source =
      instance->handles.tensor(get_integer(arguments.env, arguments[0], what), what);
  const c10::ScalarType dtype = source.scalar_type();
  if (dtype != c10::ScalarType::Float && dtype != c10::ScalarType::Byte)
    throw BridgeError(ErrorClass::kDType, what + " must be float32 or uint8");
  if (source.dim() < 1 || !source.is_cpu() || !source.is_contiguous())
    throw BridgeError(ErrorClass::kShape, what + " must be dense, on the CPU, with samples first");
  const double scale = get_double(arguments.env, arguments[2], "gather: argument 'scale'");
  auto job = std::make_unique<Worker::Job>();
  auto result = std::make_shared<at::Tensor>();
  job->name = "gather";
  job->run = [source, samples = get_samples(arguments, 1, source.size(0)), scale, result] {
    *result = gathered(source, samples, scale);
  };
  job->result = [result, instance](napi_env env) {
    return to_js(env, instance->handles.insert(std::move(*result)));
  };
  return instance->loader.submit(std::move(job), instance);
}

}  // namespace

void define_batches(napi_env env, napi_value exports, Instance* instance) {
  define(env, exports, instance, "gather", guarded<gather>);
}

}  // namespace spikenode::node
