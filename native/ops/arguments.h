// The arguments that every neuron with one membrane shares, checked once for all of them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "neuron/parameters.h"

namespace spikenode {

/// Owned copies, as a graph keeps them for backward. The threshold's tensor, if there is one,
/// stands for the number; a graph keeps it apart.
struct MembraneArguments {
  double v_threshold;
  std::optional<double> v_reset;
  bool detach_reset;
  std::string surrogate;
  std::vector<double> surrogate_params;
  bool spiking;
  at::Tensor v_threshold_tensor;

  MembraneArguments(double v_threshold, std::optional<double> v_reset, bool detach_reset,
                    std::string_view surrogate, at::ArrayRef<double> surrogate_params, bool spiking,
                    const std::optional<at::Tensor>& v_threshold_tensor);
};

/// Fills what the arguments say into `parameters`; throws a ValueError that names the argument.
/// @return the threshold's tensor
at::Tensor set_membrane(NeuronParameters& parameters, const char* op,
                        const MembraneArguments& arguments);

void check_finite(const char* op, const char* argument, double value);
/// Finite and above 1, as a time constant in steps.
void check_above_one(const char* op, const char* argument, double value);

inline bool is_half(at::ScalarType dtype) { return dtype == at::kBFloat16 || dtype == at::kHalf; }
/// What a sequence of that dtype is computed in, states and parameters included.
inline at::ScalarType compute_type(at::ScalarType dtype) {
  return dtype == at::kDouble ? at::kDouble : at::kFloat;
}

/// Shape [T, *] and a supported dtype.
void check_sequence(const char* op, const at::Tensor& x_seq);
/// A state [*] of the dtype that x_seq is computed in, on its device.
void check_state(const char* op, const at::Tensor& x_seq, const at::Tensor& v);
/// A parameter that broadcasts over the neurons; an undefined one is right.
void check_parameter(const char* op, const char* argument, const at::Tensor& parameter,
                     const at::Tensor& x_seq);
/// A gradient that arrives in backward; an undefined one is right.
void check_gradient(const char* op, const char* argument, const at::Tensor& gradient,
                    at::IntArrayRef sizes, at::ScalarType dtype, const at::Tensor& like);

}  // namespace spikenode
