// The operators of a neuron with one membrane, written once. A neuron declares a Family:
//   static constexpr const char* name, *schema;  // of its own arguments, each followed by ", "
//   using Own = std::tuple<...>;                 // their C++ types
//   static constexpr const char* rate_name;      // of the tensor that the leak is learned through
//   static void set(NeuronParameters&, own...);  // checks them
//   static at::Tensor rate_tensor(own...);       // undefined where the leak is a number
//   static void forward(const ForwardCall&, const at::Tensor& like);  // on one device
//   static void backward(const BackwardCall&, const at::Tensor& like);
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "cpu/kernels.h"
#include "ops/arguments.h"
#include "ops/layout.h"

namespace spikenode {

using at::Tensor;
using ForwardRun = void (*)(const ForwardCall&, const Tensor& like);
using BackwardRun = void (*)(const BackwardCall&, const Tensor& like);

/// A call's parameters, checked; the tensors are undefined where numbers say it.
struct Parameters {
  NeuronParameters numbers;
  const char* op;
  const char* rate_name;
  Tensor rate;  ///< tau, or the logit of 1 / tau where `numbers.multiply`
  Tensor threshold;
};

struct ForwardResult {
  /// The last two undefined where not asked for; `saved` is what backward needs: the charged
  /// membrane, or for 16 bits the states before each chunk of steps.
  Tensor s_seq, v_out, v_seq, saved;
};

/// What arrives in backward, and what was saved; any may be undefined that the call does not need.
struct BackwardInputs {
  Tensor saved;
  Tensor x_seq, v;  ///< the input for 16 bits only; the state for them and for the rate's gradient
  Tensor grad_s_seq, grad_v_out, grad_v_seq;
};

/// Of x_seq, v, rate and threshold: which gradients are wanted, and what they are.
using Wanted = std::array<bool, 4>;
using FourTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;

/// Allocates the results and runs the kernel; on the meta device nothing runs.
ForwardResult membrane_forward(const Parameters& parameters, const Tensor& x_seq, const Tensor& v,
                               bool store_v_seq, bool train, ForwardRun run);
/// The gradients, undefined where `wanted` says no. With `in_place` the first is written over the
/// saved membrane, which must be dense.
FourTensors membrane_backward(const Parameters& parameters, const BackwardInputs& inputs,
                              Wanted wanted, bool in_place, BackwardRun run);

/// Whether backward needs the initial state: to compute the membrane again, or for the leak.
inline bool needs_state(at::ScalarType storage, bool wants_rate) {
  return is_half(storage) || wants_rate;
}

/// The arguments that all neurons share, as MembraneArguments holds them.
using Common = std::tuple<double, std::optional<double>, bool, std::string_view,
                          at::ArrayRef<double>, bool, const std::optional<Tensor>&>;

template <class Family, class Own = typename Family::Own, class Shared = Common>
struct MembraneOperators;

template <class Family, class... Own, class... Shared>
struct MembraneOperators<Family, std::tuple<Own...>, std::tuple<Shared...>> {
  using OptionalTensor = std::optional<Tensor>;
  using Three = std::tuple<Tensor, Tensor, Tensor>;

  using Forward = Three(const Tensor&, const Tensor&, Own..., Shared..., bool);
  using Train = FourTensors(const Tensor&, const Tensor&, Own..., Shared..., bool);
  using Backward = FourTensors(const Tensor&, const OptionalTensor&, const OptionalTensor&,
                               const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                               Own..., Shared..., Wanted);
  using InPlace = FourTensors(Tensor&, const OptionalTensor&, const OptionalTensor&,
                              const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                              Own..., Shared..., Wanted);

  static std::string train_name() { return std::string("_") + Family::name + "_train"; }
  static std::string backward_name() { return std::string("_") + Family::name + "_backward"; }

  /// The schemas of the family; the public one has defaults, the others are called by us alone.
  static void define(torch::Library& library) {
    const std::string arguments =
        std::string(Family::schema) +
        "float v_threshold=1., float? v_reset=0., bool detach_reset=False, "
        "str surrogate=\"Sigmoid\", float[] surrogate_params=[], bool spiking=True, "
        "Tensor? v_threshold_tensor=None";
    const std::string inputs =
        "(Tensor x_seq, Tensor v, *, " + arguments + ", bool store_v_seq=False)";
    const std::string gradients =
        "Tensor? x_seq, Tensor? v, Tensor? grad_s_seq, Tensor? grad_v_out, Tensor? grad_v_seq, "
        "*, " +
        arguments + ", bool[4] output_mask=[True, True, True, True])";
    const std::string others = "Tensor grad_v, Tensor grad_rate, Tensor grad_threshold)";
    const std::string schemas[] = {
        Family::name + inputs + " -> (Tensor s_seq, Tensor v_out, Tensor v_seq)",
        train_name() + inputs + " -> (Tensor s_seq, Tensor v_out, Tensor v_seq, Tensor saved)",
        backward_name() + "(Tensor saved, " + gradients + " -> (Tensor grad_x, " + others,
        backward_name() + ".inplace(Tensor(a!) saved, " + gradients + " -> (Tensor(a!) grad_x, " +
            others};
    for (const std::string& schema : schemas) library.def(schema.c_str());
  }

  /// The kernels of one device.
  static void implement(torch::Library& library, c10::DispatchKey key) {
    library.impl(Family::name, torch::dispatch(key, TORCH_FN(forward)));
    library.impl(train_name().c_str(), torch::dispatch(key, TORCH_FN(train)));
    library.impl(backward_name().c_str(), torch::dispatch(key, TORCH_FN(backward)));
    library.impl((backward_name() + ".inplace").c_str(), torch::dispatch(key, TORCH_FN(in_place)));
  }

 private:
  static Parameters parameters(Own... own, Shared... shared) {
    Parameters result{{}, Family::name, Family::rate_name, Family::rate_tensor(own...), {}};
    Family::set(result.numbers, own...);
    result.threshold = set_membrane(result.numbers, Family::name, MembraneArguments(shared...));
    return result;
  }

  static Three forward(const Tensor& x_seq, const Tensor& v, Own... own, Shared... shared,
                       bool store_v_seq) {
    ForwardResult result = membrane_forward(parameters(own..., shared...), x_seq, v, store_v_seq,
                                            false, &Family::forward);
    return {std::move(result.s_seq), std::move(result.v_out), std::move(result.v_seq)};
  }

  static FourTensors train(const Tensor& x_seq, const Tensor& v, Own... own, Shared... shared,
                           bool store_v_seq) {
    ForwardResult result = membrane_forward(parameters(own..., shared...), x_seq, v, store_v_seq,
                                            true, &Family::forward);
    return {std::move(result.s_seq), std::move(result.v_out), std::move(result.v_seq),
            std::move(result.saved)};
  }

  static BackwardInputs inputs(const Tensor& saved, const OptionalTensor& x_seq,
                               const OptionalTensor& v, const OptionalTensor& grad_s,
                               const OptionalTensor& grad_v, const OptionalTensor& grad_v_seq) {
    const Tensor none;
    return {saved,
            x_seq.value_or(none),
            v.value_or(none),
            grad_s.value_or(none),
            grad_v.value_or(none),
            grad_v_seq.value_or(none)};
  }

  static FourTensors backward(const Tensor& saved, const OptionalTensor& x_seq,
                              const OptionalTensor& v, const OptionalTensor& grad_s,
                              const OptionalTensor& grad_v, const OptionalTensor& grad_v_seq,
                              Own... own, Shared... shared, Wanted output_mask) {
    return membrane_backward(parameters(own..., shared...),
                             inputs(saved, x_seq, v, grad_s, grad_v, grad_v_seq), output_mask,
                             false, &Family::backward);
  }

  static FourTensors in_place(Tensor& saved, const OptionalTensor& x_seq, const OptionalTensor& v,
                              const OptionalTensor& grad_s, const OptionalTensor& grad_v,
                              const OptionalTensor& grad_v_seq, Own... own, Shared... shared,
                              Wanted output_mask) {
    TORCH_CHECK_VALUE(output_mask[0] && !x_seq.has_value(), Family::name,
                      ": the in-place backward writes the gradient of x_seq over the membrane");
    return membrane_backward(parameters(own..., shared...),
                             inputs(saved, x_seq, v, grad_s, grad_v, grad_v_seq), output_mask, true,
                             &Family::backward);
  }
};

}  // namespace spikenode
