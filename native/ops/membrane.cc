#include "ops/membrane.h"

#include "ops/reduce.h"

namespace spikenode {
namespace {

void* data(const Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr() : nullptr; }
const void* const_data(const Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}

Storage storage_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return Storage::Double;
    case at::kBFloat16:
      return Storage::BFloat16;
    case at::kHalf:
      return Storage::Float16;
    default:
      return Storage::Float;
  }
}

/// States that are saved where the membrane is computed again.
int64_t checkpoint_count(int64_t steps) { return std::max<int64_t>(0, (steps - 1) / chunk_steps); }

/// An expanded zero where no gradient arrived: one row, read again at every step.
Rows gradient_rows(const Tensor& gradient, const StepLayout& layout, const Tensor& like) {
  if (gradient.defined()) return rows(gradient, layout);
  return {layout.empty_state(like).zero_(), 0};
}

/// Parameters as the kernels take them: a tensor of one number on the CPU becomes that number.
struct KernelParameters {
  NeuronParameters numbers;
  Tensor tau, rate, threshold;  ///< what PerNeuron points to

  KernelParameters(const Parameters& from, const StepLayout& layout, bool backward)
      : numbers(from.numbers) {
    if (from.rate.defined()) set_rate(from.rate, layout, backward);
    if (!from.threshold.defined()) return;
    if (is_number(from.threshold)) {
      numbers.v_threshold = from.threshold.item<double>();
    } else {
      threshold = row(from.threshold, layout);
    }
  }

  static PerNeuron per_neuron(const Tensor& tensor) {
    if (!tensor.defined()) return {};
    return {tensor.const_data_ptr(), tensor.numel() == 1 ? 0 : 1};
  }

 private:
  static bool is_number(const Tensor& tensor) { return tensor.is_cpu() && tensor.numel() == 1; }
  static Tensor row(const Tensor& parameter, const StepLayout& layout) {
    return parameter.numel() == 1 ? parameter : state(parameter.expand(layout.sizes), layout);
  }

  // Forward divides by tau, as the numbers of other systems come about; backward multiplies.
  void set_rate(const Tensor& parameter, const StepLayout& layout, bool backward) {
    if (is_number(parameter)) {
      numbers.multiply ? numbers.rate = parameter.sigmoid().item<double>()
                       : numbers.tau = parameter.item<double>();
    } else if (numbers.multiply) {
      rate = row(parameter.sigmoid(), layout);
    } else {
      // In backward too: the membrane is computed again for 16 bits.
      tau = row(parameter, layout);
      if (backward) rate = row(parameter.reciprocal(), layout);
    }
  }
};

/// From what the kernel summed up over time to the gradient of the rate's tensor; with decay_input
/// the kernel left a division by the rate r open. tau: dr = -dtau / tau^2; w: dr = r (1 - r) dw.
Tensor rate_gradient(const Parameters& parameters, const Tensor& sums) {
  const Tensor gradient = reduce_to(sums, parameters.rate.sizes());
  const bool decay_input = parameters.numbers.decay_input;
  if (!parameters.numbers.multiply) {
    const Tensor scaled = gradient.neg().div_(parameters.rate);
    return decay_input ? scaled : scaled.div_(parameters.rate);
  }
  const Tensor rate = parameters.rate.sigmoid();
  const Tensor scaled = gradient.mul(rate.neg().add_(1));
  return decay_input ? scaled : scaled.mul_(rate);
}

void check_parameters(const Parameters& parameters, const Tensor& x_seq) {
  check_parameter(parameters.op, parameters.rate_name, parameters.rate, x_seq);
  check_parameter(parameters.op, "v_threshold", parameters.threshold, x_seq);
}

}  // namespace

ForwardResult membrane_forward(const Parameters& parameters, const Tensor& x_seq, const Tensor& v,
                               bool store_v_seq, bool train, ForwardRun run) {
  check_sequence(parameters.op, x_seq);
  check_state(parameters.op, x_seq, v);
  check_parameters(parameters, x_seq);
  const int64_t steps = x_seq.size(0);
  const StepLayout layout(x_seq);
  const bool half = is_half(x_seq.scalar_type());
  ForwardResult result{layout.empty_sequence(x_seq, steps), layout.empty_state(v), {}, {}};
  if (store_v_seq) result.v_seq = layout.empty_sequence(v, steps);
  if (train) {
    result.saved = layout.empty_sequence(v, half ? checkpoint_count(steps) : steps);
  }
  if (x_seq.is_meta()) return result;
  if (steps == 0 || layout.neurons == 0) {
    result.v_out.copy_(v);
    return result;
  }
  const Rows x = rows(x_seq, layout);
  const Tensor initial = state(v, layout);
  const KernelParameters kernel(parameters, layout, false);
  ForwardCall call{};
  call.parameters = kernel.numbers;
  call.storage = storage_of(x_seq.scalar_type());
  call.steps = steps;
  call.neurons = layout.neurons;
  call.tau = KernelParameters::per_neuron(kernel.tau);
  call.rate = KernelParameters::per_neuron(kernel.rate);
  call.threshold = KernelParameters::per_neuron(kernel.threshold);
  call.x = x.tensor.const_data_ptr();
  call.x_stride = x.stride;
  call.v = initial.const_data_ptr();
  call.s = data(result.s_seq);
  call.v_out = data(result.v_out);
  call.v_seq = data(result.v_seq);
  (half ? call.checkpoints : call.h_seq) = data(result.saved);
  run(call, x_seq);
  return result;
}

FourTensors membrane_backward(const Parameters& parameters, const BackwardInputs& inputs,
                              Wanted wanted, bool in_place, BackwardRun run) {
  const char* const op = parameters.op;
  const bool again = inputs.x_seq.defined();
  const Tensor& source = again ? inputs.x_seq : inputs.saved;
  check_sequence(op, source);
  check_parameters(parameters, source);
  const at::ScalarType dtype = source.scalar_type(), state_dtype = compute_type(dtype);
  const at::IntArrayRef sizes = source.sizes(), step = sizes.slice(1);
  wanted[2] = wanted[2] && parameters.rate.defined();
  wanted[3] = wanted[3] && parameters.threshold.defined();
  TORCH_CHECK_VALUE(again == is_half(dtype), op,
                    ": argument 'x_seq' is for 16 bits, and only for them");
  TORCH_CHECK_VALUE(inputs.v.defined() || !needs_state(dtype, wanted[2]), op,
                    ": argument 'v' is needed for this gradient");
  if (inputs.v.defined()) check_state(op, source, inputs.v);
  check_gradient(op, "grad_s_seq", inputs.grad_s_seq, sizes, dtype, source);
  check_gradient(op, "grad_v_out", inputs.grad_v_out, step, state_dtype, source);
  check_gradient(op, "grad_v_seq", inputs.grad_v_seq, sizes, state_dtype, source);
  const int64_t steps = source.size(0);
  if (again) {
    std::vector<int64_t> expected = sizes.vec();
    expected[0] = checkpoint_count(steps);
    check_gradient(op, "saved", inputs.saved, expected, state_dtype, source);
  }
  const StepLayout layout(source);
  // The state's gradient is the accumulator of the sweep, so it is there even if nobody wants it.
  const Tensor grad_v = layout.empty_state(inputs.saved);
  const Tensor grad_x = in_place    ? inputs.saved
                        : wanted[0] ? layout.empty_sequence(source, steps)
                                    : Tensor();
  const auto sums = [&](bool is_wanted) {
    return is_wanted ? layout.empty_state(inputs.saved).zero_() : Tensor();
  };
  const Tensor rate_sums = sums(wanted[2]), threshold_sums = sums(wanted[3]);
  if (!source.is_meta()) {
    inputs.grad_v_out.defined() ? grad_v.copy_(inputs.grad_v_out) : grad_v.zero_();
  }
  if (!source.is_meta() && steps > 0 && layout.neurons > 0) {
    const Rows from = rows(source, layout);
    TORCH_CHECK_VALUE(
        !in_place || (from.tensor.is_same(source) && (steps == 1 || from.stride == layout.neurons)),
        op, ": argument 'saved' must be dense to be overwritten");
    Rows checkpoints{{}, 0};
    if (again) checkpoints = rows(inputs.saved, layout);
    TORCH_CHECK_VALUE(checkpoints.stride == 0 || checkpoints.stride == layout.neurons ||
                          inputs.saved.size(0) == 1,
                      op, ": argument 'saved' must be dense");
    const Rows grad_s = gradient_rows(inputs.grad_s_seq, layout, source);
    Rows grad_v_seq{{}, 0};
    if (inputs.grad_v_seq.defined()) grad_v_seq = rows(inputs.grad_v_seq, layout);
    const Tensor initial = inputs.v.defined() ? state(inputs.v, layout) : Tensor();
    const KernelParameters kernel(parameters, layout, true);
    BackwardCall call{};
    call.parameters = kernel.numbers;
    call.storage = storage_of(dtype);
    call.steps = steps;
    call.neurons = layout.neurons;
    call.tau = KernelParameters::per_neuron(kernel.tau);
    call.rate = KernelParameters::per_neuron(kernel.rate);
    call.threshold = KernelParameters::per_neuron(kernel.threshold);
    (again ? call.x : call.h) = from.tensor.const_data_ptr();
    (again ? call.x_stride : call.h_stride) = from.stride;
    call.checkpoints = const_data(checkpoints.tensor);
    call.v = const_data(initial);
    call.grad_s = grad_s.tensor.const_data_ptr();
    call.grad_s_stride = grad_s.stride;
    call.grad_v_seq = const_data(grad_v_seq.tensor);
    call.grad_v_seq_stride = grad_v_seq.stride;
    call.grad_x = data(grad_x);
    call.grad_v = data(grad_v);
    call.grad_rate = data(rate_sums);
    call.grad_threshold = data(threshold_sums);
    run(call, source);
  }
  return {grad_x, wanted[1] ? grad_v : Tensor(),
          wanted[2] ? rate_gradient(parameters, rate_sums) : Tensor(),
          wanted[3] ? reduce_to(threshold_sums, parameters.threshold.sizes()) : Tensor()};
}

}  // namespace spikenode
