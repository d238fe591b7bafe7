// The operators of a neuron with one membrane, written once. A neuron declares a Family:
//   static constexpr const char* name, *schema;  // of its own arguments, each followed by ", "
//   using Own = std::tuple<...>;                 // their C++ types
//   static void set(NeuronParameters&, const char* op, own...);  // checks them
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

struct ForwardResult {
  Tensor s_seq, v_out, v_seq, h_seq;  ///< the last two undefined where not asked for
};
struct Gradients {
  Tensor s_seq, v_out, v_seq;  ///< any may be undefined
};

/// Allocates the results and runs the kernel; on the meta device nothing runs.
ForwardResult membrane_forward(const char* op, const NeuronParameters& parameters,
                               const Tensor& x_seq, const Tensor& v, bool store_v_seq,
                               bool store_h_seq, ForwardRun run);
/// Gradients of x_seq and v, undefined where `wanted` says no. With `in_place` the first is written
/// over h_seq, which must be dense.
std::tuple<Tensor, Tensor> membrane_backward(const char* op, const NeuronParameters& parameters,
                                             const Tensor& h_seq, const Gradients& gradients,
                                             std::array<bool, 2> wanted, bool in_place,
                                             BackwardRun run);

template <class Family, class Own = typename Family::Own>
struct MembraneOperators;

template <class Family, class... Own>
struct MembraneOperators<Family, std::tuple<Own...>> {
  using Doubles = at::ArrayRef<double>;
  using OptionalTensor = std::optional<Tensor>;
  using Three = std::tuple<Tensor, Tensor, Tensor>;
  using Four = std::tuple<Tensor, Tensor, Tensor, Tensor>;
  using Two = std::tuple<Tensor, Tensor>;

  using Forward = Three(const Tensor&, const Tensor&, Own..., double, std::optional<double>, bool,
                        std::string_view, Doubles, bool, bool);
  using Train = Four(const Tensor&, const Tensor&, Own..., double, std::optional<double>, bool,
                     std::string_view, Doubles, bool, bool);
  using Backward = Two(const Tensor&, const OptionalTensor&, const OptionalTensor&,
                       const OptionalTensor&, Own..., double, std::optional<double>, bool,
                       std::string_view, Doubles, bool, std::array<bool, 2>);
  using InPlace = Two(Tensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                      Own..., double, std::optional<double>, bool, std::string_view, Doubles, bool,
                      std::array<bool, 2>);

  static std::string train_name() { return std::string("_") + Family::name + "_train"; }
  static std::string backward_name() { return std::string("_") + Family::name + "_backward"; }

  /// The schemas of the family; the public one has defaults, the others are called by us alone.
  static void define(torch::Library& library) {
    const std::string common =
        "float v_threshold=1., float? v_reset=0., bool detach_reset=False, "
        "str surrogate=\"Sigmoid\", float[] surrogate_params=[], bool spiking=True";
    const std::string arguments = Family::schema + common;
    const std::string inputs =
        "(Tensor x_seq, Tensor v, *, " + arguments + ", bool store_v_seq=False)";
    const std::string gradients =
        "Tensor? grad_s_seq, Tensor? grad_v_out, Tensor? grad_v_seq, *, " + arguments +
        ", bool[2] output_mask=[True, True])";
    const std::string schemas[] = {
        Family::name + inputs + " -> (Tensor s_seq, Tensor v_out, Tensor v_seq)",
        train_name() + inputs + " -> (Tensor s_seq, Tensor v_out, Tensor v_seq, Tensor h_seq)",
        backward_name() + "(Tensor h_seq, " + gradients + " -> (Tensor grad_x, Tensor grad_v)",
        backward_name() + ".inplace(Tensor(a!) h_seq, " + gradients +
            " -> (Tensor(a!) grad_x, Tensor grad_v)"};
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
  static NeuronParameters parameters(Own... own, double v_threshold, std::optional<double> v_reset,
                                     bool detach_reset, std::string_view surrogate, Doubles params,
                                     bool spiking) {
    NeuronParameters result;
    Family::set(result, Family::name, own...);
    set_membrane(result, Family::name, v_threshold, v_reset, detach_reset, surrogate, params,
                 spiking);
    return result;
  }

  static Three forward(const Tensor& x_seq, const Tensor& v, Own... own, double v_threshold,
                       std::optional<double> v_reset, bool detach_reset, std::string_view surrogate,
                       Doubles surrogate_params, bool spiking, bool store_v_seq) {
    ForwardResult result = membrane_forward(Family::name,
                                            parameters(own..., v_threshold, v_reset, detach_reset,
                                                       surrogate, surrogate_params, spiking),
                                            x_seq, v, store_v_seq, false, &Family::forward);
    return {std::move(result.s_seq), std::move(result.v_out), std::move(result.v_seq)};
  }

  static Four train(const Tensor& x_seq, const Tensor& v, Own... own, double v_threshold,
                    std::optional<double> v_reset, bool detach_reset, std::string_view surrogate,
                    Doubles surrogate_params, bool spiking, bool store_v_seq) {
    ForwardResult result = membrane_forward(Family::name,
                                            parameters(own..., v_threshold, v_reset, detach_reset,
                                                       surrogate, surrogate_params, spiking),
                                            x_seq, v, store_v_seq, true, &Family::forward);
    return {std::move(result.s_seq), std::move(result.v_out), std::move(result.v_seq),
            std::move(result.h_seq)};
  }

  static Gradients gradients(const OptionalTensor& s, const OptionalTensor& v,
                             const OptionalTensor& seq) {
    return {s.value_or(Tensor()), v.value_or(Tensor()), seq.value_or(Tensor())};
  }

  static Two backward(const Tensor& h_seq, const OptionalTensor& grad_s,
                      const OptionalTensor& grad_v, const OptionalTensor& grad_v_seq, Own... own,
                      double v_threshold, std::optional<double> v_reset, bool detach_reset,
                      std::string_view surrogate, Doubles surrogate_params, bool spiking,
                      std::array<bool, 2> output_mask) {
    return membrane_backward(Family::name,
                             parameters(own..., v_threshold, v_reset, detach_reset, surrogate,
                                        surrogate_params, spiking),
                             h_seq, gradients(grad_s, grad_v, grad_v_seq), output_mask, false,
                             &Family::backward);
  }

  static Two in_place(Tensor& h_seq, const OptionalTensor& grad_s, const OptionalTensor& grad_v,
                      const OptionalTensor& grad_v_seq, Own... own, double v_threshold,
                      std::optional<double> v_reset, bool detach_reset, std::string_view surrogate,
                      Doubles surrogate_params, bool spiking, std::array<bool, 2> output_mask) {
    TORCH_CHECK_VALUE(output_mask[0], Family::name,
                      ": the in-place backward writes the gradient of x_seq");
    return membrane_backward(Family::name,
                             parameters(own..., v_threshold, v_reset, detach_reset, surrogate,
                                        surrogate_params, spiking),
                             h_seq, gradients(grad_s, grad_v, grad_v_seq), output_mask, true,
                             &Family::backward);
  }
};

}  // namespace spikenode
