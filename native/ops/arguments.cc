#include "ops/arguments.h"

#include <c10/util/Exception.h>

#include <cmath>

namespace spikenode {
namespace {

std::string dtype_name(const at::Tensor& tensor) {
  return std::string(c10::getDtypeNames(tensor.scalar_type()).first);
}

struct SurrogateEntry {
  const char* name;
  SurrogateKind kind;
  size_t count;
  const char* names[2];
  double defaults[2];
};

#define SPIKENODE_ENTRY(name, count, first, first_default, second, second_default) \
  {#name, SurrogateKind::name, count, {first, second}, {first_default, second_default}},
constexpr SurrogateEntry surrogates[] = {SPIKENODE_SURROGATES(SPIKENODE_ENTRY)};
#undef SPIKENODE_ENTRY

const SurrogateEntry& find_surrogate(const char* op, std::string_view name) {
  std::string valid;
  for (const SurrogateEntry& entry : surrogates) {
    if (name == entry.name) return entry;
    valid += valid.empty() ? "" : ", ";
    valid += entry.name;
  }
  TORCH_CHECK_VALUE(false, op, ": argument 'surrogate' must be one of ", valid, ", got '", name,
                    "'");
}

void set_surrogate(NeuronParameters& parameters, const char* op, std::string_view name,
                   at::ArrayRef<double> values) {
  const SurrogateEntry& entry = find_surrogate(op, name);
  parameters.surrogate = entry.kind;
  TORCH_CHECK_VALUE(values.empty() || values.size() == entry.count, op,
                    ": argument 'surrogate_params' must have ", entry.count, " value(s) for ", name,
                    " or none, got ", values.size());
  for (size_t i = 0; i < entry.count; ++i) {
    const double value = values.empty() ? entry.defaults[i] : values[i];
    TORCH_CHECK_VALUE(std::isfinite(value) && value > 0, op, ": argument 'surrogate_params' (",
                      name, ".", entry.names[i], ") must be a finite number above 0, got ", value);
    parameters.surrogate_parameters[i] = value;
  }
}

}  // namespace

void check_finite(const char* op, const char* argument, double value) {
  TORCH_CHECK_VALUE(std::isfinite(value), op, ": argument '", argument, "' must be finite, got ",
                    value);
}

void check_above_one(const char* op, const char* argument, double value) {
  TORCH_CHECK_VALUE(std::isfinite(value) && value > 1, op, ": argument '", argument,
                    "' must be a finite number above 1, got ", value);
}

void set_membrane(NeuronParameters& parameters, const char* op, double v_threshold,
                  std::optional<double> v_reset, bool detach_reset, std::string_view surrogate,
                  at::ArrayRef<double> surrogate_params, bool spiking) {
  check_finite(op, "v_threshold", v_threshold);
  if (v_reset) check_finite(op, "v_reset", *v_reset);
  parameters.v_threshold = v_threshold;
  parameters.hard_reset = v_reset.has_value();
  parameters.v_reset = v_reset.value_or(0);
  parameters.detach_reset = detach_reset;
  parameters.spiking = spiking;
  set_surrogate(parameters, op, surrogate, surrogate_params);
}

void check_sequence(const char* op, const at::Tensor& x_seq) {
  TORCH_CHECK_VALUE(x_seq.dim() >= 1, op, ": argument 'x_seq' must have shape [T, ...], got []");
  const at::ScalarType dtype = x_seq.scalar_type();
  TORCH_CHECK_TYPE(dtype == at::kFloat || dtype == at::kDouble, op,
                   ": argument 'x_seq' must be of dtype float32 or float64, got ",
                   dtype_name(x_seq), "; convert it with .to(dtype)");
}

void check_state(const char* op, const at::Tensor& x_seq, const at::Tensor& v) {
  TORCH_CHECK_VALUE(v.sizes() == x_seq.sizes().slice(1), op, ": argument 'v' must have shape ",
                    x_seq.sizes().slice(1), ", got ", v.sizes());
  TORCH_CHECK_TYPE(v.scalar_type() == x_seq.scalar_type(), op, ": argument 'v' must be of dtype ",
                   dtype_name(x_seq), ", got ", dtype_name(v), "; convert it with .to(dtype)");
  TORCH_CHECK_VALUE(v.device() == x_seq.device(), op, ": argument 'v' must be on ", x_seq.device(),
                    ", got ", v.device());
}

void check_gradient(const char* op, const char* argument, const at::Tensor& gradient,
                    at::IntArrayRef sizes, const at::Tensor& like) {
  if (!gradient.defined()) return;
  TORCH_CHECK_VALUE(gradient.sizes() == sizes, op, ": argument '", argument, "' must have shape ",
                    sizes, ", got ", gradient.sizes());
  TORCH_CHECK_TYPE(gradient.scalar_type() == like.scalar_type(), op, ": argument '", argument,
                   "' must be of dtype ", dtype_name(like), ", got ", dtype_name(gradient));
  TORCH_CHECK_VALUE(gradient.device() == like.device(), op, ": argument '", argument,
                    "' must be on ", like.device(), ", got ", gradient.device());
}

}  // namespace spikenode
