// The general CUDA driver: parameters of one value for each neuron and their gradients, sequences
// of 16 bits with the membrane computed again in backward, and the smooth mode. The surrogate is
// chosen at run time, alike in all threads, so that it does not multiply the number of kernels.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/thread.cuh"
#include "neuron/reset.h"
#include "neuron/surrogate.h"

namespace spikenode::cuda {

template <class T>
__device__ __forceinline__ T load(const T* from) {
  return *from;
}
__device__ __forceinline__ float load(const BFloat16* from) {
  return __uint_as_float(static_cast<unsigned>(from->bits) << 16);
}
__device__ __forceinline__ float load(const Float16* from) {
  return __half2float(__ushort_as_half(from->bits));
}
template <class T>
__device__ __forceinline__ void store(T* to, T value) {
  *to = value;
}
__device__ __forceinline__ void store(BFloat16* to, float value) {
  to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
__device__ __forceinline__ void store(Float16* to, float value) {
  to->bits = __half_as_ushort(__float2half_rn(value));
}

template <class T>
__device__ __forceinline__ T parameter(const PerNeuron& from, double number, long i) {
  return from.data == nullptr ? T(number) : static_cast<const T*>(from.data)[i * from.stride];
}

/// The models of a call with the parameters of neuron i.
template <class T, template <class> class Neuron, bool hard>
struct Models {
  Neuron<T> neuron;
  Reset<T, hard> reset;
  const NeuronParameters& p;

  template <class Call>
  __device__ __forceinline__ Models(const Call& call, long i)
      : neuron(call.parameters, parameter<T>(call.tau, call.parameters.tau, i), rate_of(call, i)),
        reset(call.parameters, parameter<T>(call.threshold, call.parameters.v_threshold, i)),
        p(call.parameters) {}

  __device__ __forceinline__ T spike(T h) const {
    return p.spiking ? reset.template fire<T>(h)
                     : any_primitive<T>(p.surrogate, p.surrogate_parameters, h - reset.threshold);
  }
  __device__ __forceinline__ T slope(T h) const {
    return any_derivative<T>(p.surrogate, p.surrogate_parameters, h - reset.threshold);
  }

 private:
  template <class Call>
  static __device__ __forceinline__ T rate_of(const Call& call, long i) {
    const NeuronParameters& p = call.parameters;
    return parameter<T>(call.rate, p.multiply ? p.rate : double(T(1) / T(p.tau)), i);
  }
};

template <class S, template <class> class Neuron, bool hard>
__global__ void __launch_bounds__(threads_per_block)
    general_forward_kernel(const __grid_constant__ ForwardCall call) {
  using T = typename ComputeOf<S>::type;
  const long i = neuron_index();
  if (i >= call.neurons) return;
  const Models<T, Neuron, hard> models(call, i);
  T v = static_cast<const T*>(call.v)[i];
  for (long t = 0; t < call.steps; ++t) {
    if (call.checkpoints != nullptr && t > 0 && t % chunk_steps == 0)
      row<T>(call.checkpoints, t / chunk_steps - 1, call.neurons)[i] = v;
    const T h = models.neuron.template charge<T>(load(row<S>(call.x, t, call.x_stride) + i), v);
    const T s = models.spike(h);
    v = models.reset.template apply<T>(h, s);
    if (call.h_seq != nullptr) row<T>(call.h_seq, t, call.neurons)[i] = h;
    store(row<S>(call.s, t, call.neurons) + i, s);
    if (call.v_seq != nullptr) row<T>(call.v_seq, t, call.neurons)[i] = v;
  }
  static_cast<T*>(call.v_out)[i] = v;
}

/// The sums over time of one neuron.
template <class T>
struct Sums {
  T grad_v, rate = 0, threshold = 0;
};

/// One step back: h is the charged membrane, v the membrane before.
template <class S, class T, class M>
__device__ __forceinline__ void step_back(const BackwardCall& call, const M& models, long t, long i,
                                          T h, T v, Sums<T>& sums) {
  T grad_v = sums.grad_v;
  if (call.grad_v_seq != nullptr) grad_v += row<T>(call.grad_v_seq, t, call.grad_v_seq_stride)[i];
  const T grad_s = load(row<S>(call.grad_s, t, call.grad_s_stride) + i);
  const T slope = models.slope(h);
  const T s = models.spike(h);
  const T grad_h = models.reset.template adjoint<T>(h, s, slope, grad_s, grad_v);
  sums.rate += models.neuron.template grad_rate<T>(grad_h, h, v);
  sums.threshold += models.reset.template grad_threshold<T>(s, grad_h, grad_v);
  // h of this step has been read: grad_x may lie over it.
  if (call.grad_x != nullptr)
    store(row<S>(call.grad_x, t, call.neurons) + i, models.neuron.template grad_x<T>(grad_h));
  sums.grad_v = models.neuron.template grad_v<T>(grad_h);
}

template <class S, class T, class M>
__device__ void sweep_saved(const BackwardCall& call, const M& models, long i, Sums<T>& sums) {
  T h = row<T>(call.h, call.steps - 1, call.h_stride)[i];
  for (long t = call.steps - 1; t >= 0; --t) {
    const T before = t > 0 ? row<T>(call.h, t - 1, call.h_stride)[i] : T(0);
    T v = 0;
    if (call.grad_rate != nullptr)
      v = t > 0 ? models.reset.template apply<T>(before, models.spike(before))
                : static_cast<const T*>(call.v)[i];
    step_back<S>(call, models, t, i, h, v, sums);
    h = before;
  }
}

/// The states before the steps of a chunk are computed again; they stay in registers, since all
/// their indices are known when the kernel is compiled.
template <class S, class T, class M>
__device__ void sweep_again(const BackwardCall& call, const M& models, long i, Sums<T>& sums) {
  const long chunks = (call.steps + chunk_steps - 1) / chunk_steps;
  for (long chunk = chunks - 1; chunk >= 0; --chunk) {
    const long first = chunk * chunk_steps;
    T v[chunk_steps + 1];
    v[0] = chunk == 0 ? static_cast<const T*>(call.v)[i]
                      : row<T>(call.checkpoints, chunk - 1, call.neurons)[i];
#pragma unroll
    for (int k = 0; k < chunk_steps; ++k) {
      if (first + k >= call.steps) continue;
      const T x = load(row<S>(call.x, first + k, call.x_stride) + i);
      const T h = models.neuron.template charge<T>(x, v[k]);
      v[k + 1] = models.reset.template apply<T>(h, models.spike(h));
    }
#pragma unroll
    for (int k = chunk_steps - 1; k >= 0; --k) {
      const long t = first + k;
      if (t >= call.steps) continue;
      const T x = load(row<S>(call.x, t, call.x_stride) + i);
      step_back<S>(call, models, t, i, models.neuron.template charge<T>(x, v[k]), v[k], sums);
    }
  }
}

template <class S, template <class> class Neuron, bool hard>
__global__ void __launch_bounds__(threads_per_block)
    general_backward_kernel(const __grid_constant__ BackwardCall call) {
  using T = typename ComputeOf<S>::type;
  const long i = neuron_index();
  if (i >= call.neurons) return;
  const Models<T, Neuron, hard> models(call, i);
  Sums<T> sums{static_cast<const T*>(call.grad_v)[i]};
  if constexpr (sizeof(S) == 2) {
    sweep_again<S>(call, models, i, sums);
  } else {
    sweep_saved<S>(call, models, i, sums);
  }
  static_cast<T*>(call.grad_v)[i] = sums.grad_v;
  if (call.grad_rate != nullptr) static_cast<T*>(call.grad_rate)[i] = sums.rate;
  if (call.grad_threshold != nullptr) static_cast<T*>(call.grad_threshold)[i] = sums.threshold;
}

template <class S, template <class> class Neuron>
cudaError_t general_forward(const ForwardCall& call, cudaStream_t stream) {
  const unsigned grid = blocks(call.neurons);
  if (call.parameters.hard_reset) {
    general_forward_kernel<S, Neuron, true><<<grid, threads_per_block, 0, stream>>>(call);
  } else {
    general_forward_kernel<S, Neuron, false><<<grid, threads_per_block, 0, stream>>>(call);
  }
  return cudaGetLastError();
}

template <class S, template <class> class Neuron>
cudaError_t general_backward(const BackwardCall& call, cudaStream_t stream) {
  const unsigned grid = blocks(call.neurons);
  if (call.parameters.hard_reset) {
    general_backward_kernel<S, Neuron, true><<<grid, threads_per_block, 0, stream>>>(call);
  } else {
    general_backward_kernel<S, Neuron, false><<<grid, threads_per_block, 0, stream>>>(call);
  }
  return cudaGetLastError();
}

}  // namespace spikenode::cuda
