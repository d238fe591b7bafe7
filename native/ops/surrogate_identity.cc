#include "ops/surrogate_identity.h"

#include <ATen/core/Tensor.h>

#include "ops/arguments.h"
#include "ops/autograd.h"

namespace spikenode {
namespace {

constexpr const char* op_name = "surrogate_identity";

void check(const Tensor& u, const Tensor& g) {
  TORCH_CHECK_TYPE(at::isFloatingType(u.scalar_type()), op_name,
                   ": argument 'u' must be floating-point, got ",
                   c10::getDtypeNames(u.scalar_type()).first);
  TORCH_CHECK_VALUE(g.sizes() == u.sizes(), op_name, ": argument 'g' must have shape ", u.sizes(),
                    ", got ", g.sizes());
  check_gradient(op_name, "g", g, u.sizes(), u.scalar_type(), u);
}

Tensor forward(const Tensor& u, const Tensor& g) {
  check(u, g);
  return u.ge(0).to(u.scalar_type());
}

struct Node : torch::autograd::Node {
  torch::autograd::SavedVariable g;

  Node(torch::autograd::edge_list&& edges, const Tensor& g)
      : torch::autograd::Node(std::move(edges)), g(g.detach(), /*is_output=*/false) {}

  std::string name() const override { return "spikenode::surrogate_identityBackward"; }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    g.reset_data();
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    std::lock_guard<std::mutex> lock(mutex_);
    const Tensor none;
    if (!gradients[0].defined() || !task_should_compute_output(0)) return {none};
    Tensor grad_u;
    {
      const at::NoGradGuard no_grad;
      grad_u = gradients[0].mul(g.unpack());
    }
    if (at::GradMode::is_enabled()) forbid_second_derivative(op_name, next_edges(), {grad_u});
    return {std::move(grad_u)};
  }
};

Tensor autograd_forward(const Tensor& u, const Tensor& g) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("spikenode::surrogate_identity", "")
                             .typed<Tensor(const Tensor&, const Tensor&)>();
  TORCH_CHECK_NOT_IMPLEMENTED(!torch::autograd::isFwGradDefined(u), op_name,
                              ": forward-mode derivatives are not implemented");
  Tensor s;
  {
    at::AutoDispatchBelowADInplaceOrView below;
    s = op.call(u, g);
  }
  if (at::GradMode::is_enabled() && u.requires_grad()) {
    torch::autograd::set_history(s, make_node<Node>(torch::autograd::collect_next_edges(u), g));
  }
  return s;
}

}  // namespace

void register_surrogate_identity(torch::Library& library) {
  library.def("surrogate_identity(Tensor u, Tensor g) -> Tensor");
  // Made of libtorch's operators, so one definition serves every device.
  library.impl(op_name,
               torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(forward)));
  library.impl(op_name, torch::dispatch(c10::DispatchKey::Autograd, TORCH_FN(autograd_forward)));
}

}  // namespace spikenode
