#include "ops/arguments.h"

#include <ATen/ExpandUtils.h>
#include <c10/util/Exception.h>

#include <cmath>

#include "neuron/surrogate.h"

namespace spikenode {
namespace {

std::string dtype_name(at::ScalarType dtype) {
  return std::string(c10::getDtypeNames(dtype).first);
}

/// What a surrogate's parameter may be.
enum class Limits { any, positive, above_one, terms };
constexpr const char* limit_names[] = {"a finite number", "a finite number above 0",
                                       "a finite number above 1", "an integer from 2 to 1000"};

bool is_within(Limits limits, double value) {
  switch (limits) {
    case Limits::any:
      return std::isfinite(value);
    case Limits::positive:
      return std::isfinite(value) && value > 0;
    case Limits::above_one:
      return std::isfinite(value) && value > 1;
    case Limits::terms:
      return value >= 2 && value <= 1000 && value == std::floor(value);
  }
  return false;
}

struct SurrogateEntry {
  const char* name;
  SurrogateKind kind;
  size_t count;
  const char* names[2];
  Limits limits[2];
  double defaults[2];
  bool has_primitive;
};

#define SPIKENODE_ENTRY(name, count, first, first_limits, first_default, second, second_limits, \
                        second_default)                                                         \
  {#name,                                                                                       \
   SurrogateKind::name,                                                                         \
   count,                                                                                       \
   {first, second},                                                                             \
   {Limits::first_limits, Limits::second_limits},                                               \
   {first_default, second_default},                                                             \
   has_primitive<name<float>>(nullptr)},
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

void set_surrogate(NeuronParameters& parameters, const char* op,
                   const MembraneArguments& arguments) {
  const SurrogateEntry& entry = find_surrogate(op, arguments.surrogate);
  const std::vector<double>& values = arguments.surrogate_params;
  parameters.surrogate = entry.kind;
  TORCH_CHECK_VALUE(values.empty() || values.size() == entry.count, op,
                    ": argument 'surrogate_params' must have ", entry.count, " value(s) for ",
                    entry.name, " or none, got ", values.size());
  for (size_t i = 0; i < entry.count; ++i) {
    const double value = values.empty() ? entry.defaults[i] : values[i];
    TORCH_CHECK_VALUE(is_within(entry.limits[i], value), op, ": argument 'surrogate_params' (",
                      entry.name, ".", entry.names[i], ") must be ",
                      limit_names[static_cast<int>(entry.limits[i])], ", got ", value);
    parameters.surrogate_parameters[i] = value;
  }
  TORCH_CHECK_VALUE(arguments.spiking || entry.has_primitive, op,
                    ": argument 'spiking' must be true: ", entry.name,
                    " has no primitive to stand for the spike");
  parameters.spiking = arguments.spiking;
}

}  // namespace

MembraneArguments::MembraneArguments(double v_threshold, std::optional<double> v_reset,
                                     bool detach_reset, std::string_view surrogate,
                                     at::ArrayRef<double> surrogate_params, bool spiking,
                                     const std::optional<at::Tensor>& v_threshold_tensor)
    : v_threshold(v_threshold),
      v_reset(v_reset),
      detach_reset(detach_reset),
      surrogate(surrogate),
      surrogate_params(surrogate_params.vec()),
      spiking(spiking),
      v_threshold_tensor(v_threshold_tensor.value_or(at::Tensor())) {}

void check_finite(const char* op, const char* argument, double value) {
  TORCH_CHECK_VALUE(std::isfinite(value), op, ": argument '", argument, "' must be finite, got ",
                    value);
}

void check_above_one(const char* op, const char* argument, double value) {
  TORCH_CHECK_VALUE(std::isfinite(value) && value > 1, op, ": argument '", argument,
                    "' must be a finite number above 1, got ", value);
}

at::Tensor set_membrane(NeuronParameters& parameters, const char* op,
                        const MembraneArguments& arguments) {
  check_finite(op, "v_threshold", arguments.v_threshold);
  if (arguments.v_reset) check_finite(op, "v_reset", *arguments.v_reset);
  parameters.v_threshold = arguments.v_threshold;
  parameters.hard_reset = arguments.v_reset.has_value();
  parameters.v_reset = arguments.v_reset.value_or(0);
  parameters.detach_reset = arguments.detach_reset;
  set_surrogate(parameters, op, arguments);
  return arguments.v_threshold_tensor;
}

void check_sequence(const char* op, const at::Tensor& x_seq) {
  TORCH_CHECK_VALUE(x_seq.dim() >= 1, op, ": argument 'x_seq' must have shape [T, ...], got []");
  const at::ScalarType dtype = x_seq.scalar_type();
  TORCH_CHECK_TYPE(
      dtype == at::kFloat || dtype == at::kDouble || is_half(dtype), op,
      ": argument 'x_seq' must be of dtype float32, float64, bfloat16 or float16, got ",
      dtype_name(dtype), "; convert it with .to(dtype)");
}

void check_state(const char* op, const at::Tensor& x_seq, const at::Tensor& v) {
  const at::ScalarType expected = compute_type(x_seq.scalar_type());
  TORCH_CHECK_VALUE(v.sizes() == x_seq.sizes().slice(1), op, ": argument 'v' must have shape ",
                    x_seq.sizes().slice(1), ", got ", v.sizes());
  TORCH_CHECK_TYPE(v.scalar_type() == expected, op, ": argument 'v' must be of dtype ",
                   dtype_name(expected), ", got ", dtype_name(v.scalar_type()),
                   "; convert it with .to(dtype)");
  TORCH_CHECK_VALUE(v.device() == x_seq.device(), op, ": argument 'v' must be on ", x_seq.device(),
                    ", got ", v.device());
}

void check_parameter(const char* op, const char* argument, const at::Tensor& parameter,
                     const at::Tensor& x_seq) {
  if (!parameter.defined()) return;
  const at::ScalarType expected = compute_type(x_seq.scalar_type());
  TORCH_CHECK_VALUE(at::is_expandable_to(parameter.sizes(), x_seq.sizes().slice(1)), op,
                    ": argument '", argument, "' must broadcast to the shape of one step, ",
                    x_seq.sizes().slice(1), ", got ", parameter.sizes());
  TORCH_CHECK_TYPE(parameter.scalar_type() == expected, op, ": argument '", argument,
                   "' must be of dtype ", dtype_name(expected), ", got ",
                   dtype_name(parameter.scalar_type()), "; convert it with .to(dtype)");
  TORCH_CHECK_VALUE(parameter.device() == x_seq.device(), op, ": argument '", argument,
                    "' must be on ", x_seq.device(), ", got ", parameter.device());
}

void check_gradient(const char* op, const char* argument, const at::Tensor& gradient,
                    at::IntArrayRef sizes, at::ScalarType dtype, const at::Tensor& like) {
  if (!gradient.defined()) return;
  TORCH_CHECK_VALUE(gradient.sizes() == sizes, op, ": argument '", argument, "' must have shape ",
                    sizes, ", got ", gradient.sizes());
  TORCH_CHECK_TYPE(gradient.scalar_type() == dtype, op, ": argument '", argument,
                   "' must be of dtype ", dtype_name(dtype), ", got ",
                   dtype_name(gradient.scalar_type()));
  TORCH_CHECK_VALUE(gradient.device() == like.device(), op, ": argument '", argument,
                    "' must be on ", like.device(), ", got ", gradient.device());
}

}  // namespace spikenode
