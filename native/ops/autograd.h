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

template <class Family, class Own = typename Family::Own>
struct MembraneAutograd;

template <class Family, class... Own>
struct MembraneAutograd<Family, std::tuple<Own...>> {
  using Operators = MembraneOperators<Family, std::tuple<Own...>>;

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

  struct Node : torch::autograd::Node {
    std::tuple<Own...> own;
    MembraneArguments arguments;
    torch::autograd::SavedVariable h_seq;

    Node(torch::autograd::edge_list&& edges, std::tuple<Own...> own, MembraneArguments arguments,
         const Tensor& h)
        : torch::autograd::Node(std::move(edges)),
          own(std::move(own)),
          arguments(std::move(arguments)),
          h_seq(h, /*is_output=*/false) {}

    std::string name() const override {
      return std::string("spikenode::") + Family::name + "Backward";
    }

    void release_variables() override {
      std::lock_guard<std::mutex> lock(mutex_);
      h_seq.reset_data();
    }

    torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
      std::lock_guard<std::mutex> lock(mutex_);
      Tensor h = h_seq.unpack();
      const std::array<bool, 2> wanted{task_should_compute_output(0),
                                       task_should_compute_output(1)};
      const Tensor none;
      const Tensor& grad_v_seq = gradients.size() > 2 ? gradients[2] : none;
      if (!gradients[0].defined() && !gradients[1].defined() && !grad_v_seq.defined())
        return {none, none};
      auto [grad_x, grad_v] = sweep(h, gradients[0], gradients[1], grad_v_seq, wanted);
      if (at::GradMode::is_enabled()) {
        forbid_second_derivative(Family::name, next_edges(), {grad_x, grad_v});
      }
      return {std::move(grad_x), std::move(grad_v)};
    }

   private:
    std::tuple<Tensor, Tensor> sweep(Tensor& h, const Tensor& grad_s, const Tensor& grad_v,
                                     const Tensor& grad_v_seq, std::array<bool, 2> wanted) {
      static const auto plain = find<typename Operators::Backward>(Operators::backward_name(), "");
      static const auto in_place =
          find<typename Operators::InPlace>(Operators::backward_name(), "inplace");
      const auto optional = [](const Tensor& t) {
        return t.defined() ? std::optional<Tensor>(t) : std::nullopt;
      };
      const bool overwrite = wanted[0] && !h_seq.has_hooks() && may_overwrite(h);
      at::AutoDispatchBelowADInplaceOrView below;
      return std::apply(
          [&](const Own&... values) -> std::tuple<Tensor, Tensor> {
            const auto call = [&](const auto& op) {
              return op.call(h, optional(grad_s), optional(grad_v), optional(grad_v_seq), values...,
                             arguments.v_threshold, arguments.v_reset, arguments.detach_reset,
                             arguments.surrogate, arguments.surrogate_params, arguments.spiking,
                             wanted);
            };
            return overwrite ? call(in_place) : call(plain);
          },
          own);
    }
  };

  static typename Operators::Three forward(const Tensor& x_seq, const Tensor& v, Own... own,
                                           double v_threshold, std::optional<double> v_reset,
                                           bool detach_reset, std::string_view surrogate,
                                           at::ArrayRef<double> surrogate_params, bool spiking,
                                           bool store_v_seq) {
    static const auto plain = find<typename Operators::Forward>(Family::name, "");
    static const auto train = find<typename Operators::Train>(Operators::train_name(), "");
    TORCH_CHECK_NOT_IMPLEMENTED(
        !torch::autograd::isFwGradDefined(x_seq) && !torch::autograd::isFwGradDefined(v),
        Family::name, ": forward-mode derivatives are not implemented");
    const auto call = [&](const auto& op) {
      at::AutoDispatchBelowADInplaceOrView below;
      return op.call(x_seq, v, own..., v_threshold, v_reset, detach_reset, surrogate,
                     surrogate_params, spiking, store_v_seq);
    };
    if (!at::GradMode::is_enabled() || !(x_seq.requires_grad() || v.requires_grad()))
      return call(plain);
    auto [s_seq, v_out, v_seq, h_seq] = call(train);
    const NodePointer node =
        make_node<Node>(torch::autograd::collect_next_edges(x_seq, v), std::tuple<Own...>(own...),
                        MembraneArguments{v_threshold, v_reset, detach_reset,
                                          std::string(surrogate), surrogate_params.vec(), spiking},
                        h_seq);
    torch::autograd::set_history(s_seq, node);
    torch::autograd::set_history(v_out, node);
    if (v_seq.defined()) torch::autograd::set_history(v_seq, node);
    return {std::move(s_seq), std::move(v_out), std::move(v_seq)};
  }
};

}  // namespace spikenode
