// The CPU driver: the time loop, loads and stores, and blocks of neurons. It knows no neuron; a
// file beside it instantiates it for each. Neurons are the inner loop, so that the memory streams
// are long; a block's state stays in the second cache between two steps.
#pragma once

#include "cpu/kernels.h"
#include "neuron/math.h"
#include "neuron/reset.h"
#include "neuron/surrogate.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

constexpr long block_bytes = 64 * 1024;
// A result of this size has left the nearer caches before anyone reads it.
constexpr long stream_bytes = 4L << 20;

template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
constexpr long lanes = SPIKENODE_VECTOR_BYTES / sizeof(T);

/// A whole vector where count is 0, else its first count lanes.
template <class T>
SPIKENODE_INLINE Vector<T> read(const T* from, long i, long count) {
  Vector<T> value{};
  if (count == 0) {
    __builtin_memcpy(&value, from + i, sizeof value);
  } else {
    __builtin_memcpy(&value, from + i, count * sizeof(T));
  }
  return value;
}
template <class T>
SPIKENODE_INLINE void write(T* to, long i, long count, Vector<T> value) {
  if (count == 0) {
    __builtin_memcpy(to + i, &value, sizeof value);
  } else {
    __builtin_memcpy(to + i, &value, count * sizeof(T));
  }
}

/// A store around the cache, for results that nobody reads soon; to is aligned to a vector.
template <class T>
SPIKENODE_INLINE void stream(T* to, Vector<T> value) {
#if defined(__AVX512F__)
  __builtin_ia32_movntps512(reinterpret_cast<float*>(to), (Floats)value);
#elif defined(__AVX2__)
  __builtin_ia32_movntps256(reinterpret_cast<float*>(to), (Floats)value);
#elif defined(__SSE2__)
  __builtin_ia32_movntps(reinterpret_cast<float*>(to), (Floats)value);
#else
  __builtin_memcpy(to, &value, sizeof value);
#endif
}

/// Orders what was streamed before what other threads read.
SPIKENODE_INLINE void finish_streams() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

template <class T>
SPIKENODE_INLINE bool is_aligned(const T* p) {
  return reinterpret_cast<__UINTPTR_TYPE__>(p) % SPIKENODE_VECTOR_BYTES == 0;
}

/// Calls body(offset, count) for whole vectors (count 0), then for the rest.
template <class T, class Body>
SPIKENODE_INLINE void each_vector(long begin, long end, const Body& body) {
  long i = begin;
  for (; i + lanes<T> <= end; i += lanes<T>) body(i, 0L);
  if (i < end) body(i, end - i);
}

template <class T, class Body>
SPIKENODE_INLINE void each_block(long begin, long end, const Body& body) {
  constexpr long size = block_bytes / sizeof(T);
  for (long i = begin; i < end; i += size) body(i, i + size < end ? i + size : end);
}

template <class T>
SPIKENODE_INLINE T* row(T* base, long t, long stride) {
  return base == nullptr ? nullptr : base + t * stride;
}

template <bool streamed, class T, class Neuron, class Reset, class Spike>
void forward_row(const Neuron& neuron, const Reset& reset, const Spike& spike, const T* x,
                 long ahead, const T* v, T* s, T* v_next, T* h_out, long begin, long end) {
  using V = Vector<T>;
  each_vector<T>(begin, end, [&](long i, long n) {
    __builtin_prefetch(x + i + ahead);
    const V h = neuron.template charge<V>(read(x, i, n), read(v, i, n));
    const V fired = spike(h);
    if constexpr (streamed) {
      if (h_out != nullptr) stream<T>(h_out + i, h);
      stream<T>(s + i, fired);
    } else {
      if (h_out != nullptr) write(h_out, i, n, h);
      write(s, i, n, fired);
    }
    write(v_next, i, n, reset.template apply<V>(h, fired));
  });
}

template <class T, class Neuron, class Reset, class Spike>
void forward_block(const ForwardCall& call, const Reset& reset, const Spike& spike, long begin,
                   long end) {
  const Neuron neuron(call.parameters);
  T* const s = static_cast<T*>(call.s);
  T* const v_out = static_cast<T*>(call.v_out);
  T* const v_seq = static_cast<T*>(call.v_seq);
  T* const h_seq = static_cast<T*>(call.h_seq);
  const T* v = static_cast<const T*>(call.v);
  // Whole vectors only: then no row ends within one.
  const bool streamed = call.steps * call.neurons * static_cast<long>(sizeof(T)) >= stream_bytes &&
                        call.neurons % lanes<T> == 0 && begin % lanes<T> == 0 && is_aligned(s) &&
                        is_aligned(h_seq);
  for (long t = 0; t < call.steps; ++t) {
    // The state is read from the row written last: v_out, or the step before in the sequence.
    T* const v_next = v_seq == nullptr ? v_out : row(v_seq, t, call.neurons);
    const long ahead = t + 1 < call.steps ? call.x_stride : 0;
    const auto step = streamed ? &forward_row<true, T, Neuron, Reset, Spike>
                               : &forward_row<false, T, Neuron, Reset, Spike>;
    step(neuron, reset, spike, row(static_cast<const T*>(call.x), t, call.x_stride), ahead, v,
         row(s, t, call.neurons), v_next, row(h_seq, t, call.neurons), begin, end);
    v = v_next;
  }
  if (streamed) finish_streams();
  if (v != v_out) {
    each_vector<T>(begin, end, [&](long i, long n) { write(v_out, i, n, read(v, i, n)); });
  }
}

template <class T, template <class> class Neuron, bool hard>
void forward_with_reset(const ForwardCall& call, long begin, long end) {
  using V = Vector<T>;
  const NeuronParameters& p = call.parameters;
  const Reset<T, hard> reset(p);
  const AnySurrogate<T> surrogate{p.surrogate, p.surrogate_parameters};
  const auto spike = [reset](V h) { return reset.template fire<V>(h); };
  const auto smooth = [reset, surrogate](V h) {
    return surrogate.template primitive<V>(h - reset.threshold);
  };
  each_block<T>(begin, end, [&](long first, long last) {
    if (p.spiking) {
      forward_block<T, Neuron<T>>(call, reset, spike, first, last);
    } else {
      forward_block<T, Neuron<T>>(call, reset, smooth, first, last);
    }
  });
}

template <class T, template <class> class Neuron>
void forward(const ForwardCall& call, long begin, long end) {
  call.parameters.hard_reset ? forward_with_reset<T, Neuron, true>(call, begin, end)
                             : forward_with_reset<T, Neuron, false>(call, begin, end);
}

template <class T, class Neuron, class Reset, class Spike, class Surrogate>
void backward_row(const Neuron neuron, const Reset reset, const Spike spike,
                  const Surrogate surrogate, const T* h_row, long h_ahead, const T* grad_s,
                  long grad_ahead, T* grad_x, T* grad_v, long begin, long end) {
  using V = Vector<T>;
  each_vector<T>(begin, end, [=](long i, long n) {
    __builtin_prefetch(h_row + i - h_ahead);
    __builtin_prefetch(grad_s + i - grad_ahead);
    const V h = read(h_row, i, n);
    const V slope = surrogate.template derivative<V>(h - reset.threshold);
    const V grad_h =
        reset.template adjoint<V>(h, spike(h), slope, read(grad_s, i, n), read<T>(grad_v, i, n));
    if (grad_x != nullptr) write(grad_x, i, n, neuron.template grad_x<V>(grad_h));
    write(grad_v, i, n, neuron.template grad_v<V>(grad_h));
  });
}

template <class T, class Neuron, class Reset, class Spike, class Surrogate>
void backward_block(const BackwardCall& call, const Reset& reset, const Spike& spike,
                    const Surrogate& surrogate, long begin, long end) {
  const Neuron neuron(call.parameters);
  const T* const h = static_cast<const T*>(call.h);
  const T* const grad_s = static_cast<const T*>(call.grad_s);
  const T* const grad_v_seq = static_cast<const T*>(call.grad_v_seq);
  T* const grad_v = static_cast<T*>(call.grad_v);
  for (long t = call.steps - 1; t >= 0; --t) {
    if (grad_v_seq != nullptr) {
      const T* const from = row(grad_v_seq, t, call.grad_v_seq_stride);
      each_vector<T>(begin, end, [&](long i, long n) {
        write(grad_v, i, n, read<T>(grad_v, i, n) + read(from, i, n));
      });
    }
    backward_row<T>(neuron, reset, spike, surrogate, row(h, t, call.h_stride),
                    t > 0 ? call.h_stride : 0, row(grad_s, t, call.grad_s_stride),
                    t > 0 ? call.grad_s_stride : 0,
                    row(static_cast<T*>(call.grad_x), t, call.neurons), grad_v, begin, end);
  }
}

template <class T, template <class> class Neuron, template <class> class Surrogate, bool hard>
void spiking_backward(const BackwardCall& call, long begin, long end) {
  using V = Vector<T>;
  const Reset<T, hard> reset(call.parameters);
  const Surrogate<T> surrogate(call.parameters.surrogate_parameters);
  const auto spike = [reset](V h) { return reset.template fire<V>(h); };
  each_block<T>(begin, end, [&](long first, long last) {
    backward_block<T, Neuron<T>>(call, reset, spike, surrogate, first, last);
  });
}

template <class T, template <class> class Neuron, bool hard>
void smooth_backward(const BackwardCall& call, long begin, long end) {
  using V = Vector<T>;
  const NeuronParameters& p = call.parameters;
  const Reset<T, hard> reset(p);
  const AnySurrogate<T> surrogate{p.surrogate, p.surrogate_parameters};
  const auto smooth = [reset, surrogate](V h) {
    return surrogate.template primitive<V>(h - reset.threshold);
  };
  each_block<T>(begin, end, [&](long first, long last) {
    backward_block<T, Neuron<T>>(call, reset, smooth, surrogate, first, last);
  });
}

template <class T, template <class> class Neuron, template <class> class Surrogate>
void backward(const BackwardCall& call, long begin, long end) {
  const bool hard = call.parameters.hard_reset;
  if (call.parameters.spiking) {
    hard ? spiking_backward<T, Neuron, Surrogate, true>(call, begin, end)
         : spiking_backward<T, Neuron, Surrogate, false>(call, begin, end);
  } else {
    hard ? smooth_backward<T, Neuron, true>(call, begin, end)
         : smooth_backward<T, Neuron, false>(call, begin, end);
  }
}

template <template <class> class Neuron>
constexpr Kernels kernels_of() {
#define SPIKENODE_FLOAT(name, ...) &backward<float, Neuron, name>,
#define SPIKENODE_DOUBLE(name, ...) &backward<double, Neuron, name>,
  return {{&forward<float, Neuron>, &forward<double, Neuron>},
          {{SPIKENODE_SURROGATES(SPIKENODE_FLOAT)}, {SPIKENODE_SURROGATES(SPIKENODE_DOUBLE)}}};
#undef SPIKENODE_FLOAT
#undef SPIKENODE_DOUBLE
}

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
