// The plain CUDA driver: parameters are numbers and the membrane is saved; cuda/general.cuh has the
// rest. It knows no neuron; a file beside it instantiates it for each.
#pragma once

#include "cuda/general.cuh"
#include "cuda/thread.cuh"
#include "neuron/reset.h"
#include "neuron/surrogate.h"

namespace spikenode::cuda {

template <class T, template <class> class Neuron, bool hard>
__global__ void __launch_bounds__(threads_per_block)
    forward_kernel(const __grid_constant__ ForwardCall call) {
  const long i = neuron_index();
  if (i >= call.neurons) return;
  const Neuron<T> neuron(call.parameters);
  const Reset<T, hard> reset(call.parameters);
  T v = static_cast<const T*>(call.v)[i];
  for (long t = 0; t < call.steps; ++t) {
    const T h = neuron.template charge<T>(row<T>(call.x, t, call.x_stride)[i], v);
    const T s = reset.template fire<T>(h);
    v = reset.template apply<T>(h, s);
    if (call.h_seq != nullptr) row<T>(call.h_seq, t, call.neurons)[i] = h;
    row<T>(call.s, t, call.neurons)[i] = s;
    if (call.v_seq != nullptr) row<T>(call.v_seq, t, call.neurons)[i] = v;
  }
  static_cast<T*>(call.v_out)[i] = v;
}

template <class T, template <class> class Neuron, template <class> class Surrogate, bool hard>
__global__ void __launch_bounds__(threads_per_block)
    backward_kernel(const __grid_constant__ BackwardCall call) {
  const long i = neuron_index();
  if (i >= call.neurons) return;
  const Neuron<T> neuron(call.parameters);
  const Reset<T, hard> reset(call.parameters);
  const Surrogate<T> surrogate(call.parameters.surrogate_parameters);
  T grad_v = static_cast<const T*>(call.grad_v)[i];
  for (long t = call.steps - 1; t >= 0; --t) {
    if (call.grad_v_seq != nullptr) grad_v += row<T>(call.grad_v_seq, t, call.grad_v_seq_stride)[i];
    const T h = row<T>(call.h, t, call.h_stride)[i];
    const T grad_s = row<T>(call.grad_s, t, call.grad_s_stride)[i];
    const T slope = surrogate.template derivative<T>(h - reset.threshold);
    const T s = reset.template fire<T>(h);
    const T grad_h = reset.template adjoint<T>(h, s, slope, grad_s, grad_v);
    // h of this step has been read: grad_x may lie over it.
    if (call.grad_x != nullptr) {
      row<T>(call.grad_x, t, call.neurons)[i] = neuron.template grad_x<T>(grad_h);
    }
    grad_v = neuron.template grad_v<T>(grad_h);
  }
  static_cast<T*>(call.grad_v)[i] = grad_v;
}

template <class T, template <class> class Neuron>
cudaError_t forward(const ForwardCall& call, cudaStream_t stream) {
  if (call.parameters.hard_reset) {
    forward_kernel<T, Neuron, true><<<blocks(call.neurons), threads_per_block, 0, stream>>>(call);
  } else {
    forward_kernel<T, Neuron, false><<<blocks(call.neurons), threads_per_block, 0, stream>>>(call);
  }
  return cudaGetLastError();
}

template <class T, template <class> class Neuron, template <class> class Surrogate>
cudaError_t backward(const BackwardCall& call, cudaStream_t stream) {
  const unsigned grid = blocks(call.neurons);
  if (call.parameters.hard_reset) {
    backward_kernel<T, Neuron, Surrogate, true><<<grid, threads_per_block, 0, stream>>>(call);
  } else {
    backward_kernel<T, Neuron, Surrogate, false><<<grid, threads_per_block, 0, stream>>>(call);
  }
  return cudaGetLastError();
}

template <template <class> class Neuron>
constexpr KernelFamily kernels_of() {
#define SPIKENODE_FLOAT(name, ...) &backward<float, Neuron, name>,
#define SPIKENODE_DOUBLE(name, ...) &backward<double, Neuron, name>,
  return {{&forward<float, Neuron>, &forward<double, Neuron>},
          {{SPIKENODE_SURROGATES(SPIKENODE_FLOAT)}, {SPIKENODE_SURROGATES(SPIKENODE_DOUBLE)}},
          {&general_forward<float, Neuron>, &general_forward<double, Neuron>,
           &general_forward<BFloat16, Neuron>, &general_forward<Float16, Neuron>},
          {&general_backward<float, Neuron>, &general_backward<double, Neuron>,
           &general_backward<BFloat16, Neuron>, &general_backward<Float16, Neuron>}};
#undef SPIKENODE_FLOAT
#undef SPIKENODE_DOUBLE
}

}  // namespace spikenode::cuda
