#include "ops/autograd.h"

#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/graph_task.h>

namespace spikenode {

bool may_overwrite(const Tensor& saved) {
  // The graph and the caller hold the tensor, nobody else; and nobody holds a view of its storage.
  return !at::GradMode::is_enabled() && !torch::autograd::get_current_graph_task_keep_graph() &&
         saved.use_count() <= 2 && saved.storage().use_count() == 1;
}

void forbid_second_derivative(const char* op, const torch::autograd::edge_list& edges,
                              std::initializer_list<Tensor> gradients) {
  const NodePointer error = make_node<torch::autograd::Error>(
      std::string("spikenode::") + op + ": second derivatives are not implemented",
      torch::autograd::edge_list(edges));
  for (const Tensor& gradient : gradients) {
    if (gradient.defined()) torch::autograd::set_history(gradient, error);
  }
}

}  // namespace spikenode
