#include "ops/membrane.h"

#include <ATen/ops/zeros_like.h>

namespace spikenode {
namespace {

void* data(const Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr() : nullptr; }

/// An expanded zero where no gradient arrived: one row, read again at every step.
Rows gradient_rows(const Tensor& gradient, const StepLayout& layout, const Tensor& like) {
  if (gradient.defined()) return rows(gradient, layout);
  return {layout.empty_state(like).zero_(), 0};
}

}  // namespace

ForwardResult membrane_forward(const char* op, const NeuronParameters& parameters,
                               const Tensor& x_seq, const Tensor& v, bool store_v_seq,
                               bool store_h_seq, ForwardRun run) {
  check_sequence(op, x_seq);
  check_state(op, x_seq, v);
  const int64_t steps = x_seq.size(0);
  const StepLayout layout(x_seq);
  ForwardResult result{layout.empty_sequence(x_seq, steps), layout.empty_state(v), {}, {}};
  if (store_v_seq) result.v_seq = layout.empty_sequence(x_seq, steps);
  if (store_h_seq) result.h_seq = layout.empty_sequence(x_seq, steps);
  if (x_seq.is_meta()) return result;
  if (steps == 0 || layout.neurons == 0) {
    result.v_out.copy_(v);
    return result;
  }
  const Rows x = rows(x_seq, layout);
  const Tensor initial = state(v, layout);
  const ForwardCall call{parameters,         steps,
                         layout.neurons,     x.tensor.const_data_ptr(),
                         x.stride,           initial.const_data_ptr(),
                         data(result.s_seq), data(result.v_out),
                         data(result.v_seq), data(result.h_seq)};
  run(call, x_seq);
  return result;
}

std::tuple<Tensor, Tensor> membrane_backward(const char* op, const NeuronParameters& parameters,
                                             const Tensor& h_seq, const Gradients& gradients,
                                             std::array<bool, 2> wanted, bool in_place,
                                             BackwardRun run) {
  check_sequence(op, h_seq);
  check_gradient(op, "grad_s_seq", gradients.s_seq, h_seq.sizes(), h_seq);
  check_gradient(op, "grad_v_out", gradients.v_out, h_seq.sizes().slice(1), h_seq);
  check_gradient(op, "grad_v_seq", gradients.v_seq, h_seq.sizes(), h_seq);
  const int64_t steps = h_seq.size(0);
  const StepLayout layout(h_seq);
  // The state's gradient is the accumulator of the sweep, so it is there even if nobody wants it.
  Tensor grad_v = layout.empty_state(h_seq);
  Tensor grad_x = in_place ? h_seq : wanted[0] ? layout.empty_sequence(h_seq, steps) : Tensor();
  if (!h_seq.is_meta()) {
    gradients.v_out.defined() ? grad_v.copy_(gradients.v_out) : grad_v.zero_();
    if (steps > 0 && layout.neurons > 0) {
      const Rows h = rows(h_seq, layout);
      TORCH_CHECK_VALUE(
          !in_place || (h.tensor.is_same(h_seq) && (steps == 1 || h.stride == layout.neurons)), op,
          ": argument 'h_seq' must be dense to be overwritten");
      const Rows grad_s = gradient_rows(gradients.s_seq, layout, h_seq);
      Rows grad_v_seq{{}, 0};
      if (gradients.v_seq.defined()) grad_v_seq = rows(gradients.v_seq, layout);
      const BackwardCall call{
          parameters,
          steps,
          layout.neurons,
          h.tensor.const_data_ptr(),
          h.stride,
          grad_s.tensor.const_data_ptr(),
          grad_s.stride,
          grad_v_seq.tensor.defined() ? grad_v_seq.tensor.const_data_ptr() : nullptr,
          grad_v_seq.stride,
          data(grad_x),
          data(grad_v)};
      run(call, h_seq);
    }
  }
  return {std::move(grad_x), wanted[1] ? std::move(grad_v) : Tensor()};
}

}  // namespace spikenode
