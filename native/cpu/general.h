// The general CPU driver: parameters of one value for each neuron and their gradients, sequences of
// 16 bits with the membrane computed again in backward, and the smooth mode. Neurons go in tiles
// whose scratch stays in the nearest cache; the surrogate is a call per tile, so that it does not
// multiply the number of kernels.
#pragma once

#include "cpu/kernels.h"
#include "cpu/surrogates.h"
#include "cpu/vector.h"
#include "neuron/reset.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

constexpr long tile = 1024;

/// A parameter as the vector of the neurons at i.
template <class T>
struct Parameter {
  const T* row;
  T value;
  SPIKENODE_INLINE Parameter(const PerNeuron& from, double number)
      : row(static_cast<const T*>(from.data)), value(T(number)) {}
  SPIKENODE_INLINE Vector<T> at(long i, long n) const {
    return row != nullptr ? read(row, i, n) : splat<Vector<T>>(value);
  }
};

/// The models of neurons with parameters of their own, from the tile at `begin`. By value in the
/// loops: behind a reference all would be read again after every store.
template <class T, template <class> class Neuron, bool hard>
struct OwnModels {
  using V = Vector<T>;
  NeuronParameters p;
  Parameter<T> tau, rate, threshold;
  long begin;
  SPIKENODE_INLINE Neuron<V> neuron(long i, long n) const {
    return Neuron<V>(p, tau.at(begin + i, n), rate.at(begin + i, n));
  }
  SPIKENODE_INLINE Reset<V, hard> reset(long i, long n) const {
    return Reset<V, hard>(p, threshold.at(begin + i, n));
  }
};

/// The same where one number serves all neurons.
template <class T, template <class> class Neuron, bool hard>
struct SharedModels {
  using V = Vector<T>;
  Neuron<V> shared;
  Reset<V, hard> resets;
  SPIKENODE_INLINE Neuron<V> neuron(long, long) const { return shared; }
  SPIKENODE_INLINE Reset<V, hard> reset(long, long) const { return resets; }
};

/// What a call's parameters say.
template <class T, template <class> class Neuron, bool hard>
struct Models {
  using V = Vector<T>;
  const NeuronParameters& p;
  Parameter<T> tau, rate, threshold;
  SurrogateRows<T> surrogate;

  template <class Call>
  explicit Models(const Call& call)
      : p(call.parameters),
        tau(call.tau, p.tau),
        rate(call.rate, p.multiply ? p.rate : double(T(1) / T(p.tau))),
        threshold(call.threshold, p.v_threshold),
        surrogate(surrogate_rows<T>(p.surrogate)) {}

  /// Calls body(models) with those of the tile at `begin`.
  template <class Body>
  SPIKENODE_INLINE void with(long begin, const Body& body) const {
    if (tau.row == nullptr && rate.row == nullptr && threshold.row == nullptr) {
      body(SharedModels<T, Neuron, hard>{Neuron<V>(p, splat<V>(tau.value), splat<V>(rate.value)),
                                         Reset<V, hard>(p, splat<V>(threshold.value))});
    } else {
      body(OwnModels<T, Neuron, hard>{p, tau, rate, threshold, begin});
    }
  }
  /// Of the membranes h of the tile at `begin`, which lie at h.
  void derivative(const T* h, long begin, long count, T* to) const {
    surrogate.derivative(p.surrogate_parameters, h, offset(begin), threshold.value, to, count);
  }
  void primitive(const T* h, long begin, long count, T* to) const {
    surrogate.primitive(p.surrogate_parameters, h, offset(begin), threshold.value, to, count);
  }

 private:
  const T* offset(long begin) const {
    return threshold.row == nullptr ? nullptr : threshold.row + begin;
  }
};

/// Calls body(begin, count) for every tile.
template <class Body>
SPIKENODE_INLINE void each_tile(long begin, long end, const Body& body) {
  for (long i = begin; i < end; i += tile) body(i, i + tile < end ? tile : end - i);
}

/// One step of a tile: the charged membrane into h, the membrane after the reset into v, the spikes
/// into s; h and s may be null. All are the tile's own. `next` is the input of the step after.
template <class S, class T, class M>
void charge_tile(const M& models, const S* x, const S* next, long begin, long count, T* h, T* v,
                 S* s) {
  using V = Vector<T>;
  models.with(begin, [=](auto at) {
    each_vector<T>(0, count, [=](long i, long n) {
      __builtin_prefetch(next + i);
      const auto reset = at.reset(i, n);
      const V charged = at.neuron(i, n).template charge<V>(read_as(x, i, n), read<T>(v, i, n));
      const V fired = reset.template fire<V>(charged);
      if (h != nullptr) write(h, i, n, charged);
      if (s != nullptr) write_as(s, i, n, fired);
      write(v, i, n, reset.template apply<V>(charged, fired));
    });
  });
}

/// The same in the smooth mode; h must not be null.
template <class S, class T, class M>
void charge_tile_smoothly(const M& models, const S* x, long begin, long count, T* h, T* v, S* s) {
  using V = Vector<T>;
  alignas(64) T smooth[tile];
  T* const fired = smooth;
  models.with(begin, [=](auto at) {
    each_vector<T>(0, count, [=](long i, long n) {
      write(h, i, n, at.neuron(i, n).template charge<V>(read_as(x, i, n), read<T>(v, i, n)));
    });
  });
  models.primitive(h, begin, count, fired);
  models.with(begin, [=](auto at) {
    each_vector<T>(0, count, [=](long i, long n) {
      const V spike = read<T>(fired, i, n);
      if (s != nullptr) write_as(s, i, n, spike);
      write(v, i, n, at.reset(i, n).template apply<V>(read<T>(h, i, n), spike));
    });
  });
}

template <class T>
SPIKENODE_INLINE void copy_tile(const T* from, T* to, long count) {
  __builtin_memcpy(to, from, count * sizeof(T));
}

template <class S, template <class> class Neuron, bool hard>
void general_forward_with_reset(const ForwardCall& call, long begin, long end) {
  using T = typename ComputeOf<S>::type;
  const Models<T, Neuron, hard> models(call);
  const S* const x = static_cast<const S*>(call.x);
  S* const s = static_cast<S*>(call.s);
  T* const v_out = static_cast<T*>(call.v_out);
  T* const v_seq = static_cast<T*>(call.v_seq);
  T* const h_seq = static_cast<T*>(call.h_seq);
  T* const checkpoints = static_cast<T*>(call.checkpoints);
  each_tile(begin, end, [&](long first, long count) {
    alignas(64) T scratch[tile];
    T* const v = v_out + first;
    copy_tile(static_cast<const T*>(call.v) + first, v, count);
    for (long t = 0; t < call.steps; ++t) {
      const long row = t * call.neurons + first;
      if (checkpoints != nullptr && t > 0 && t % chunk_steps == 0)
        copy_tile(v, checkpoints + (t / chunk_steps - 1) * call.neurons + first, count);
      const S* const x_t = x + t * call.x_stride + first;
      if (call.parameters.spiking) {
        charge_tile<S, T>(models, x_t, x_t + (t + 1 < call.steps ? call.x_stride : 0), first, count,
                          h_seq != nullptr ? h_seq + row : nullptr, v, s + row);
      } else {
        T* const h = h_seq != nullptr ? h_seq + row : scratch;
        charge_tile_smoothly<S, T>(models, x_t, first, count, h, v, s + row);
      }
      if (v_seq != nullptr) copy_tile(v, v_seq + row, count);
    }
  });
}

template <class S, template <class> class Neuron>
void general_forward(const ForwardCall& call, long begin, long end) {
  call.parameters.hard_reset ? general_forward_with_reset<S, Neuron, true>(call, begin, end)
                             : general_forward_with_reset<S, Neuron, false>(call, begin, end);
}

/// What one step of a tile works on; the pointers are the tile's own, null as in BackwardCall.
template <class S, class T>
struct TileStep {
  const T* h;
  const T* h_before;  ///< of the step before; null: v_before is its membrane after the reset
  const T* v_before;
  const S* grad_s;
  const S* next_grad_s;  ///< what later steps read is asked for now
  const T* next_h;
  const T* grad_v_seq;
  S* grad_x;
  T *grad_v, *grad_rate, *grad_threshold;
};

template <class S, class T, class M>
void backward_tile(const M& models, const TileStep<S, T>& step, long begin, long count) {
  using V = Vector<T>;
  alignas(64) T slopes[tile], smooth[tile], smooth_before[tile];
  const bool spiking = models.p.spiking;
  models.derivative(step.h, begin, count, slopes);
  if (!spiking) {
    models.primitive(step.h, begin, count, smooth);
    if (step.h_before != nullptr) models.primitive(step.h_before, begin, count, smooth_before);
  }
  const T *const slope = slopes, *const s_now = smooth, *const s_before = smooth_before;
  models.with(begin, [=](auto at) {
    each_vector<T>(0, count, [=](long i, long n) {
      __builtin_prefetch(step.next_grad_s + i);
      __builtin_prefetch(step.next_h + i);
      const auto neuron = at.neuron(i, n);
      const auto reset = at.reset(i, n);
      const V h = read<T>(step.h, i, n);
      const V s = spiking ? reset.template fire<V>(h) : read<T>(s_now, i, n);
      V grad_v = read<T>(step.grad_v, i, n);
      if (step.grad_v_seq != nullptr) grad_v = grad_v + read<T>(step.grad_v_seq, i, n);
      const V grad_h =
          reset.template adjoint<V>(h, s, read<T>(slope, i, n), read_as(step.grad_s, i, n), grad_v);
      if (step.grad_rate != nullptr) {
        V v;
        if (step.h_before != nullptr) {
          const V before = read<T>(step.h_before, i, n);
          const V fired = spiking ? reset.template fire<V>(before) : read<T>(s_before, i, n);
          v = reset.template apply<V>(before, fired);
        } else {
          v = read<T>(step.v_before, i, n);
        }
        write(step.grad_rate, i, n,
              read<T>(step.grad_rate, i, n) + neuron.template grad_rate<V>(grad_h, h, v));
      }
      if (step.grad_threshold != nullptr) {
        write(step.grad_threshold, i, n,
              read<T>(step.grad_threshold, i, n) +
                  reset.template grad_threshold<V>(s, grad_h, grad_v));
      }
      // The membrane of this step has been read: the gradient may lie over it.
      if (step.grad_x != nullptr) write_as(step.grad_x, i, n, neuron.template grad_x<V>(grad_h));
      write(step.grad_v, i, n, neuron.template grad_v<V>(grad_h));
    });
  });
}

/// Where a tile's membranes come from: the saved ones, or a chunk computed again into `scratch`.
template <class S, class T, class M>
class Membranes {
 public:
  Membranes(const BackwardCall& call, const M& models, T* scratch, long begin, long count)
      : call_(call), models_(models), scratch_(scratch), begin_(begin), count_(count) {}

  /// Fills in the membranes of step t; to be asked for in falling order of t.
  void at(long t, TileStep<S, T>& step) {
    if (call_.h != nullptr) {
      step.h = saved(t);
      step.h_before = t > 0 ? saved(t - 1) : nullptr;
      // Of the membranes it is the first that this step does not read.
      const long first_unread = t - (step.grad_rate != nullptr ? 2 : 1);
      step.next_h = saved(first_unread > 0 ? first_unread : 0);
      step.v_before = static_cast<const T*>(call_.v);
      if (step.v_before != nullptr) step.v_before += begin_;
      return;
    }
    const long place = t % chunk_steps;
    if (place == chunk_steps - 1 || t == call_.steps - 1) recompute(t - place, place + 1);
    step.h = scratch_ + place * tile;
    step.h_before = place > 0 ? step.h - tile : nullptr;
    step.next_h = step.h;
    step.v_before = before_chunk(t);
  }

 private:
  const T* saved(long t) const {
    return static_cast<const T*>(call_.h) + t * call_.h_stride + begin_;
  }
  const T* before_chunk(long t) const {
    const long chunk = t / chunk_steps;
    const T* const states = static_cast<const T*>(chunk == 0 ? call_.v : call_.checkpoints);
    return states + (chunk == 0 ? 0 : (chunk - 1) * call_.neurons) + begin_;
  }
  void recompute(long first, long steps) {
    alignas(64) T v[tile];
    copy_tile(before_chunk(first), v, count_);
    for (long k = 0; k < steps; ++k) {
      const S* const x = static_cast<const S*>(call_.x) + (first + k) * call_.x_stride + begin_;
      T* const h = scratch_ + k * tile;
      if (models_.p.spiking) {
        charge_tile<S, T>(models_, x, x + (k + 1 < steps ? call_.x_stride : 0), begin_, count_, h,
                          v, nullptr);
      } else {
        charge_tile_smoothly<S, T>(models_, x, begin_, count_, h, v, nullptr);
      }
    }
  }

  const BackwardCall& call_;
  const M& models_;
  T* scratch_;
  long begin_, count_;
};

template <class S, template <class> class Neuron, bool hard>
void general_backward_with_reset(const BackwardCall& call, long begin, long end) {
  using T = typename ComputeOf<S>::type;
  const Models<T, Neuron, hard> models(call);
  const auto own = [&](auto* base, long t, long stride, long first) {
    return base == nullptr ? nullptr : base + t * stride + first;
  };
  alignas(64) T scratch[chunk_steps * tile];
  each_tile(begin, end, [&](long first, long count) {
    Membranes<S, T, Models<T, Neuron, hard>> membranes(call, models, scratch, first, count);
    TileStep<S, T> step{};
    step.grad_v = static_cast<T*>(call.grad_v) + first;
    step.grad_rate = own(static_cast<T*>(call.grad_rate), 0, 0, first);
    step.grad_threshold = own(static_cast<T*>(call.grad_threshold), 0, 0, first);
    for (long t = call.steps - 1; t >= 0; --t) {
      membranes.at(t, step);
      step.grad_s = own(static_cast<const S*>(call.grad_s), t, call.grad_s_stride, first);
      step.next_grad_s = step.grad_s - (t > 0 ? call.grad_s_stride : 0);
      step.grad_v_seq =
          own(static_cast<const T*>(call.grad_v_seq), t, call.grad_v_seq_stride, first);
      step.grad_x = own(static_cast<S*>(call.grad_x), t, call.neurons, first);
      backward_tile(models, step, first, count);
    }
  });
}

template <class S, template <class> class Neuron>
void general_backward(const BackwardCall& call, long begin, long end) {
  call.parameters.hard_reset ? general_backward_with_reset<S, Neuron, true>(call, begin, end)
                             : general_backward_with_reset<S, Neuron, false>(call, begin, end);
}

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
