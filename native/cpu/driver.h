// The plain CPU driver: the time loop, loads and stores, and blocks of neurons, where parameters
// are numbers and the membrane is saved; cpu/general.h has the rest. It knows no neuron; a file
// beside it instantiates it for each. Neurons are the inner loop, so that the memory streams are
// long; a block's state stays in the second cache between two steps.
#pragma once

#include "cpu/general.h"
#include "cpu/kernels.h"
#include "cpu/vector.h"
#include "neuron/reset.h"
#include "neuron/surrogate.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

constexpr long block_bytes = 64 * 1024;
constexpr long lead_bytes = 4096;  // how far ahead of the arithmetic memory is asked for

/// A store that leaves the line out of the caches and does not read it first. `to` must be aligned.
template <class T>
SPIKENODE_INLINE void write_past_caches(T* to, Vector<T> value) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    __builtin_ia32_movntps512(to, value);
  } else {
    __builtin_ia32_movntpd512(to, value);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    __builtin_ia32_movntps256(to, value);
  } else {
    __builtin_ia32_movntpd256(to, value);
  }
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4) {
    __builtin_ia32_movntps(to, value);
  } else {
    __builtin_ia32_movntpd(to, value);
  }
#else
  write<T>(to, 0, 0, value);
#endif
}

/// A row of results; those of a large call go past the caches where their rows are aligned.
template <class T>
struct Output {
  T* row;
  bool past_caches;

  SPIKENODE_INLINE Output(T* base, long t, long stride, long begin, bool past_caches)
      : row(base == nullptr ? nullptr : base + t * stride),
        past_caches(past_caches && (unsigned long)(row + begin) % SPIKENODE_VECTOR_BYTES == 0) {}
  // A store to a line that is not in the caches reads it first, so ask for it too.
  SPIKENODE_INLINE void prefetch(long i) const {
    if (!past_caches) __builtin_prefetch(row + i, 1);
  }
  SPIKENODE_INLINE void put(long i, long count, Vector<T> value) const {
    if (past_caches && count == 0) {
      write_past_caches(row + i, value);
    } else {
      write(row, i, count, value);
    }
  }
};

/// Calls body(offset, count, lead, next) where offset + lead is what will be needed soon: in the
/// next row if `next`, else in this one.
template <class T, class Body>
SPIKENODE_INLINE void each_vector_ahead(long begin, long end, const Body& body) {
  constexpr long lead = lead_bytes / sizeof(T);
  const long last = end - begin > lead ? begin + (end - begin - lead) / lanes<T> * lanes<T> : begin;
  each_vector<T>(begin, last, [&](long i, long n) { body(i, n, lead, false); });
  each_vector<T>(last, end, [&](long i, long n) { body(i, n, begin - last, true); });
}

template <class T, class Body>
SPIKENODE_INLINE void each_block(long begin, long end, const Body& body) {
  constexpr long size = block_bytes / sizeof(T);
  for (long i = begin; i < end; i += size) body(i, i + size < end ? i + size : end);
#if defined(__SSE2__)
  __builtin_ia32_sfence();  // stores past the caches are ordered by nothing else
#endif
}

// The models go by value: behind a reference they would be read again after every store.
template <class T, class Neuron, class Reset>
void forward_row(Neuron neuron, Reset reset, const T* x, long x_next, long out_next, const T* v,
                 Output<T> s, Output<T> h_out, T* v_next, long begin, long end) {
  using V = Vector<T>;
  each_vector_ahead<T>(begin, end, [=](long i, long n, long lead, bool next) {
    __builtin_prefetch(x + i + lead + (next ? x_next : 0));
    s.prefetch(i + lead + (next ? out_next : 0));
    if (h_out.row != nullptr) h_out.prefetch(i + lead + (next ? out_next : 0));
    const V h = neuron.template charge<V>(read(x, i, n), read(v, i, n));
    const V fired = reset.template fire<V>(h);
    if (h_out.row != nullptr) h_out.put(i, n, h);
    s.put(i, n, fired);
    write(v_next, i, n, reset.template apply<V>(h, fired));
  });
}

template <class T, class Neuron, class Reset>
void forward_block(const ForwardCall& call, const Reset& reset, long begin, long end,
                   bool past_caches) {
  const Neuron neuron(call.parameters);
  T* const s = static_cast<T*>(call.s);
  T* const v_out = static_cast<T*>(call.v_out);
  T* const v_seq = static_cast<T*>(call.v_seq);
  T* const h_seq = static_cast<T*>(call.h_seq);
  const T* v = static_cast<const T*>(call.v);
  for (long t = 0; t < call.steps; ++t) {
    // The state is read from the row written last: v_out, or the step before in the sequence.
    T* const v_next = v_seq == nullptr ? v_out : v_seq + t * call.neurons;
    const bool last = t + 1 == call.steps;
    forward_row<T>(neuron, reset, static_cast<const T*>(call.x) + t * call.x_stride,
                   last ? 0 : call.x_stride, last ? 0 : call.neurons, v,
                   Output<T>(s, t, call.neurons, begin, past_caches),
                   Output<T>(h_seq, t, call.neurons, begin, past_caches), v_next, begin, end);
    v = v_next;
  }
  if (v != v_out) {
    each_vector<T>(begin, end, [&](long i, long n) { write(v_out, i, n, read(v, i, n)); });
  }
}

template <class T, template <class> class Neuron, bool hard>
void forward_with_reset(const ForwardCall& call, long begin, long end, bool past_caches) {
  const Reset<T, hard> reset(call.parameters);
  each_block<T>(begin, end, [&](long first, long last) {
    forward_block<T, Neuron<T>>(call, reset, first, last, past_caches);
  });
}

template <class T, template <class> class Neuron>
void forward(const ForwardCall& call, long begin, long end, bool past_caches) {
  call.parameters.hard_reset ? forward_with_reset<T, Neuron, true>(call, begin, end, past_caches)
                             : forward_with_reset<T, Neuron, false>(call, begin, end, past_caches);
}

template <class T, class Neuron, class Reset, class Surrogate>
void backward_row(Neuron neuron, Reset reset, Surrogate surrogate, const T* h_row, long h_next,
                  const T* grad_s, long grad_next, Output<T> grad_x, T* grad_v, long begin,
                  long end) {
  using V = Vector<T>;
  each_vector_ahead<T>(begin, end, [=](long i, long n, long lead, bool next) {
    __builtin_prefetch(h_row + i + lead - (next ? h_next : 0));
    __builtin_prefetch(grad_s + i + lead - (next ? grad_next : 0));
    const V h = read(h_row, i, n);
    const V slope = surrogate.template derivative<V>(h - reset.threshold);
    const V grad_h = reset.template adjoint<V>(h, reset.template fire<V>(h), slope,
                                               read(grad_s, i, n), read<T>(grad_v, i, n));
    if (grad_x.row != nullptr) grad_x.put(i, n, neuron.template grad_x<V>(grad_h));
    write(grad_v, i, n, neuron.template grad_v<V>(grad_h));
  });
}

template <class T, class Neuron, class Reset, class Surrogate>
void backward_block(const BackwardCall& call, const Reset& reset, const Surrogate& surrogate,
                    long begin, long end, bool past_caches) {
  const Neuron neuron(call.parameters);
  const T* const h = static_cast<const T*>(call.h);
  const T* const grad_s = static_cast<const T*>(call.grad_s);
  const T* const grad_v_seq = static_cast<const T*>(call.grad_v_seq);
  T* const grad_x = static_cast<T*>(call.grad_x);
  T* const grad_v = static_cast<T*>(call.grad_v);
  for (long t = call.steps - 1; t >= 0; --t) {
    if (grad_v_seq != nullptr) {
      const T* const from = grad_v_seq + t * call.grad_v_seq_stride;
      each_vector<T>(begin, end, [&](long i, long n) {
        write(grad_v, i, n, read<T>(grad_v, i, n) + read(from, i, n));
      });
    }
    // A gradient over h lands in lines that are in the caches already.
    backward_row<T>(neuron, reset, surrogate, h + t * call.h_stride, t > 0 ? call.h_stride : 0,
                    grad_s + t * call.grad_s_stride, t > 0 ? call.grad_s_stride : 0,
                    Output<T>(grad_x, t, call.neurons, begin, past_caches && grad_x != h), grad_v,
                    begin, end);
  }
}

template <class T, template <class> class Neuron, template <class> class Surrogate, bool hard>
void backward_with_reset(const BackwardCall& call, long begin, long end, bool past_caches) {
  const Reset<T, hard> reset(call.parameters);
  const Surrogate<T> surrogate(call.parameters.surrogate_parameters);
  each_block<T>(begin, end, [&](long first, long last) {
    backward_block<T, Neuron<T>>(call, reset, surrogate, first, last, past_caches);
  });
}

template <class T, template <class> class Neuron, template <class> class Surrogate>
void backward(const BackwardCall& call, long begin, long end, bool past_caches) {
  call.parameters.hard_reset
      ? backward_with_reset<T, Neuron, Surrogate, true>(call, begin, end, past_caches)
      : backward_with_reset<T, Neuron, Surrogate, false>(call, begin, end, past_caches);
}

template <template <class> class Neuron>
constexpr Kernels kernels_of() {
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

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
