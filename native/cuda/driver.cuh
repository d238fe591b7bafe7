// The CUDA driver: a thread owns one neuron through all steps, with the state in registers, so that
// neighbouring threads read and write neighbouring addresses. It knows no neuron; a file beside it
// instantiates it for each.
#pragma once

#include "cuda/launch.h"
#include "neuron/reset.h"
#include "neuron/surrogate.h"

namespace spikenode::cuda {

constexpr int threads_per_block = 256;

template <class T>
__device__ __forceinline__ const T* row(const void* base, long t, long stride) {
  return static_cast<const T*>(base) + t * stride;
}
template <class T>
__device__ __forceinline__ T* row(void* base, long t, long stride) {
  return static_cast<T*>(base) + t * stride;
}
__device__ __forceinline__ long neuron_index() {
  return static_cast<long>(blockIdx.x) * threads_per_block + threadIdx.x;
}

template <class T, template <class> class Neuron, bool hard>
__global__ void __launch_bounds__(threads_per_block) forward_kernel(ForwardCall call) {
  const long i = neuron_index();
  if (i >= call.neurons) return;
  const NeuronParameters& p = call.parameters;
  const Neuron<T> neuron(p);
  const Reset<T, hard> reset(p);
  const AnySurrogate<T> surrogate{p.surrogate, p.surrogate_parameters};
  T v = static_cast<const T*>(call.v)[i];
  for (long t = 0; t < call.steps; ++t) {
    const T x = row<T>(call.x, t, call.x_stride)[i];
    const T h = neuron.template charge<T>(x, v);
    const T s = p.spiking ? reset.template fire<T>(h)
                          : surrogate.template primitive<T>(h - reset.threshold);
    v = reset.template apply<T>(h, s);
    if (call.h_seq != nullptr) row<T>(call.h_seq, t, call.neurons)[i] = h;
    row<T>(call.s, t, call.neurons)[i] = s;
    if (call.v_seq != nullptr) row<T>(call.v_seq, t, call.neurons)[i] = v;
  }
  static_cast<T*>(call.v_out)[i] = v;
}

template <class T, template <class> class Neuron, template <class> class Surrogate, bool hard>
__global__ void __launch_bounds__(threads_per_block) backward_kernel(BackwardCall call) {
  const long i = neuron_index();
  if (i >= call.neurons) return;
  const NeuronParameters& p = call.parameters;
  const Neuron<T> neuron(p);
  const Reset<T, hard> reset(p);
  const Surrogate<T> surrogate(p.surrogate_parameters);
  T grad_v = static_cast<const T*>(call.grad_v)[i];
  for (long t = call.steps - 1; t >= 0; --t) {
    if (call.grad_v_seq != nullptr) grad_v += row<T>(call.grad_v_seq, t, call.grad_v_seq_stride)[i];
    const T h = row<T>(call.h, t, call.h_stride)[i];
    const T grad_s = row<T>(call.grad_s, t, call.grad_s_stride)[i];
    const T u = h - reset.threshold;
    const T slope = surrogate.template derivative<T>(u);
    const T s = p.spiking ? reset.template fire<T>(h) : surrogate.template primitive<T>(u);
    const T grad_h = reset.template adjoint<T>(h, s, slope, grad_s, grad_v);
    // h of this step has been read: grad_x may lie over it.
    if (call.grad_x != nullptr) {
      row<T>(call.grad_x, t, call.neurons)[i] = neuron.template grad_x<T>(grad_h);
    }
    grad_v = neuron.template grad_v<T>(grad_h);
  }
  static_cast<T*>(call.grad_v)[i] = grad_v;
}

inline unsigned blocks(long neurons) {
  return static_cast<unsigned>((neurons + threads_per_block - 1) / threads_per_block);
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
          {{SPIKENODE_SURROGATES(SPIKENODE_FLOAT)}, {SPIKENODE_SURROGATES(SPIKENODE_DOUBLE)}}};
#undef SPIKENODE_FLOAT
#undef SPIKENODE_DOUBLE
}

}  // namespace spikenode::cuda
