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

/// Owned copies, as a graph keeps them for backward.
struct MembraneArguments {
  double v_threshold;
  std::optional<double> v_reset;
  bool detach_reset;
  std::string surrogate;
  std::vector<double> surrogate_params;
  bool spiking;
};

/// Fills what the arguments say into `parameters`; throws a ValueError that names the argument.
void set_membrane(NeuronParameters& parameters, const char* op, double v_threshold,
                  std::optional<double> v_reset, bool detach_reset, std::string_view surrogate,
                  at::ArrayRef<double> surrogate_params, bool spiking);

void check_finite(const char* op, const char* argument, double value);
/// Finite and above 1, as a time constant in steps.
void check_above_one(const char* op, const char* argument, double value);

/// Shape [T, *], a supported dtype, and a state [*] of the same dtype and device.
void check_sequence(const char* op, const at::Tensor& x_seq);
void check_state(const char* op, const at::Tensor& x_seq, const at::Tensor& v);
/// A gradient that arrives in backward; an undefined one is right.
void check_gradient(const char* op, const char* argument, const at::Tensor& gradient,
                    at::IntArrayRef sizes, const at::Tensor& like);

}  // namespace spikenode
