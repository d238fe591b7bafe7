// The autograd side of the operators of a neuron with one membrane: record `_<name>_train`, and on
// the way back call `_<name>_backward`, into the saved membrane where nobody can see it.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "ops/membrane.h"

namespace spikenode {

using NodePointer = decltype(torch::autograd::Edge::function);

/// Nodes are held by std::shared_ptr up to torch 2.12, by an intrusive pointer after it.
template <class N, class... Arguments>
NodePointer make_node(Arguments&&... arguments) {
  if constexpr (std::is_same_v<NodePointer, std::shared_ptr<torch::autograd::Node>>) {
    return NodePointer(new N(std::forward<Arguments>(arguments)...),
                       [](N* node) { deleteNode(node); });
  } else {
    return c10::make_intrusive<N>(std::forward<Arguments>(arguments)...);
  }
}

/// What a graph must be like for the gradient to go into the saved membrane: not kept, not
/// recorded, and the buffer in nobody else's hands (so neither is a tensor that went through
/// saved-tensor hooks).
bool may_overwrite(const Tensor& saved);
/// Ties gradients of a recorded backward to the graph of the inputs, so that differentiating them
/// is an error wherever it happens.
void forbid_second_derivative(const char* op, const torch::autograd::edge_list& edges,
                              std::initializer_list<Tensor> gradients);

template <class Family, class Own = typename Family::Own, class Shared = Common>
struct MembraneAutograd;

/// How a graph keeps an argument: as a value, and tensors apart.
template <class T>
struct Kept {
  using type = T;
};
template <>
struct Kept<const Tensor&> {
  using type = Tensor;
};
template <>
struct Kept<const std::optional<Tensor>&> {
  using type = std::optional<Tensor>;
};

template <class Family, class... Own, class... Shared>
struct MembraneAutograd<Family, std::tuple<Own...>, std::tuple<Shared...>> {
  using Operators = MembraneOperators<Family, std::tuple<Own...>, std::tuple<Shared...>>;
  using KeptOwn = std::tuple<typename Kept<Own>::type...>;

  static void implement(torch::Library& library) {
    const auto key = c10::DispatchKey::Autograd;
    const auto fallback = [] { return torch::autograd::autogradNotImplementedFallback(); };
    library.impl(Family::name, torch::dispatch(key, TORCH_FN(forward)));
    library.impl(Operators::train_name().c_str(), torch::dispatch(key, fallback()));
    library.impl(Operators::backward_name().c_str(), torch::dispatch(key, fallback()));
    const std::string in_place = Operators::backward_name() + ".inplace";
    library.impl(in_place.c_str(), torch::dispatch(key, fallback()));
    library.impl(in_place.c_str(),
                 torch::dispatch(c10::DispatchKey::ADInplaceOrView,
                                 torch::autograd::autogradNotImplementedInplaceOrViewFallback()));
  }

 private:
  template <class Signature>
  static c10::TypedOperatorHandle<Signature> find(const std::string& name, const char* overload) {
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow(("spikenode::" + name).c_str(), overload)
        .template typed<Signature>();
  }

  /// The inputs of a call that can have a gradient, in the order of Wanted.
  static std::array<Tensor, 4> differentiable(const Tensor& x_seq, const Tensor& v, Own... own,
                                              const MembraneArguments& arguments) {
    return {x_seq, v, Family::rate_tensor(own...), arguments.v_threshold_tensor};
  }

  struct Node : torch::autograd::Node {
    using Saved = torch::autograd::SavedVariable;
    // With their tensors taken out: those are saved as variables, so that a change is noticed.
    KeptOwn own;
    MembraneArguments arguments;
    Saved saved, x_seq, v, rate, threshold;

    Node(torch::autograd::edge_list&& edges, KeptOwn own, MembraneArguments arguments)
        : torch::autograd::Node(std::move(edges)),
          own(std::move(own)),
          arguments(std::move(arguments)) {
      this->arguments.v_threshold_tensor.reset();
      replace_rate({});
    }

    void save(const Tensor& what, const std::array<Tensor, 4>& inputs, bool keep_x, bool keep_v) {
      saved = Saved(what, /*is_output=*/false);
      if (keep_x) x_seq = Saved(inputs[0], false);
      if (keep_v) v = Saved(inputs[1], false);
      rate = Saved(inputs[2], false);
      threshold = Saved(inputs[3], false);
    }

    std::string name() const override {
      return std::string("spikenode::") + Family::name + "Backward";
    }

    void release_variables() override {
      std::lock_guard<std::mutex> lock(mutex_);
      for (Saved* one : {&saved, &x_seq, &v, &rate, &threshold}) one->reset_data();
    }

    torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
      std::lock_guard<std::mutex> lock(mutex_);
      const Tensor none;
      const Tensor& grad_v_seq = gradients.size() > 2 ? gradients[2] : none;
      if (!gradients[0].defined() && !gradients[1].defined() && !grad_v_seq.defined())
        return {none, none, none, none};
      Wanted wanted;
      for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = task_should_compute_output(i);
      Tensor memory = saved.unpack();
      auto [grad_x, grad_v, grad_rate, grad_threshold] =
          sweep(memory, gradients[0], gradients[1], grad_v_seq, wanted);
      if (at::GradMode::is_enabled()) {
        forbid_second_derivative(Family::name, next_edges(),
                                 {grad_x, grad_v, grad_rate, grad_threshold});
      }
      return {std::move(grad_x), std::move(grad_v), std::move(grad_rate),
              std::move(grad_threshold)};
    }

   private:
    void replace_rate(const Tensor& tensor) {
      const auto one = [&](auto& value) {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, Tensor>) value = tensor;
        if constexpr (std::is_same_v<Value, std::optional<Tensor>>) value = optional(tensor);
      };
      std::apply([&](auto&... values) { (one(values), ...); }, own);
    }
    static std::optional<Tensor> optional(const Tensor& t) {
      return t.defined() ? std::optional<Tensor>(t) : std::nullopt;
    }

    FourTensors sweep(Tensor& memory, const Tensor& grad_s, const Tensor& grad_v,
                      const Tensor& grad_v_seq, Wanted wanted) {
      static const auto plain = find<typename Operators::Backward>(Operators::backward_name(), "");
      static const auto in_place =
          find<typename Operators::InPlace>(Operators::backward_name(), "inplace");
      const Tensor x = x_seq.unpack();
      const bool overwrite =
          wanted[0] && !x.defined() && !saved.has_hooks() && may_overwrite(memory);
      replace_rate(rate.unpack());
      const Tensor state = v.unpack();
      const Tensor threshold_tensor = threshold.unpack();
      at::AutoDispatchBelowADInplaceOrView below;
      FourTensors result = std::apply(
          [&](const auto&... values) {
            const auto call = [&](const auto& op) {
              return op.call(memory, optional(x), optional(state), optional(grad_s),
                             optional(grad_v), optional(grad_v_seq), values...,
                             arguments.v_threshold, arguments.v_reset, arguments.detach_reset,
                             arguments.surrogate, arguments.surrogate_params, arguments.spiking,
                             optional(threshold_tensor), wanted);
            };
            return overwrite ? call(in_place) : call(plain);
          },
          own);
      replace_rate({});
      return result;
    }
  };

  static typename Operators::Three forward(const Tensor& x_seq, const Tensor& v, Own... own,
                                           Shared... shared, bool store_v_seq) {
    static const auto plain = find<typename Operators::Forward>(Family::name, "");
    static const auto train = find<typename Operators::Train>(Operators::train_name(), "");
    const auto call = [&](const auto& op) {
      at::AutoDispatchBelowADInplaceOrView below;
      return op.call(x_seq, v, own..., shared..., store_v_seq);
    };
    MembraneArguments arguments(shared...);
    const std::array<Tensor, 4> inputs = differentiable(x_seq, v, own..., arguments);
    bool requires_grad = false;
    for (const Tensor& input : inputs) {
      TORCH_CHECK_NOT_IMPLEMENTED(!torch::autograd::isFwGradDefined(input), Family::name,
                                  ": forward-mode derivatives are not implemented");
      requires_grad = requires_grad || (input.defined() && input.requires_grad());
    }
    if (!at::GradMode::is_enabled() || !requires_grad) return call(plain);
    auto [s_seq, v_out, v_seq, saved] = call(train);
    const NodePointer pointer = make_node<Node>(
        torch::autograd::collect_next_edges(inputs[0], inputs[1], inputs[2], inputs[3]),
        KeptOwn(own...), std::move(arguments));
    const bool half = is_half(x_seq.scalar_type());
    static_cast<Node&>(*pointer).save(
        saved, inputs, half,
        needs_state(x_seq.scalar_type(), inputs[2].defined() && inputs[2].requires_grad()));
    torch::autograd::set_history(s_seq, pointer);
    torch::autograd::set_history(v_out, pointer);
    if (v_seq.defined()) torch::autograd::set_history(v_seq, pointer);
    return {std::move(s_seq), std::move(v_out), std::move(v_seq)};
  }
};

}  // namespace spikenode
