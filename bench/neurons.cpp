// LIF (tau 2, threshold 1, hard reset to 0, detached reset, ATan alpha 2) through the operator
// spikenode::lif, interleaved in one process with (a) the same maths as a loop of libtorch
// operators and (b) a plain vector loop over the bytes that this variant must move; then other
// neurons, surrogates, parameters and dtypes against (b). Prints ns per neuron and step and paired
// ratios. Usage: bench_neurons [pairs]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "node/allocator.h"

// Of libspikenode; the call also keeps the linker from leaving that library out.
extern "C" int spikenode_registered();

namespace {

using at::Tensor;
constexpr double kTau = 2, kThreshold = 1, kAlpha = 2, kHalfPi = 1.5707963267948966;

struct Spike : torch::autograd::Function<Spike> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& u) {
    context->save_for_backward({u});
    return u.ge(0).to(u.scalar_type());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const Tensor u = context->get_saved_variables()[0];
    return {gradients[0] * (kAlpha / 2 / (kHalfPi * kAlpha * u).pow_(2).add_(1))};
  }
};

// (a)
Tensor operator_loop(const Tensor& x) {
  Tensor v = at::zeros_like(x[0]);
  std::vector<Tensor> spikes;
  for (const Tensor& x_t : x.unbind(0)) {
    v = v + (x_t - v) / kTau;
    const Tensor s = Spike::apply(v - kThreshold);
    v = (1 - s.detach()) * v;
    spikes.push_back(s);
  }
  return at::stack(spikes);
}

using Result = std::tuple<Tensor, Tensor, Tensor>;
using Optional = std::optional<Tensor>;

// The public operators, called unboxed as C++ users would.
Tensor lif(const Tensor& x, const Tensor& v, std::string_view surrogate, const Optional& tau,
           const Optional& threshold) {
  using Signature = Result(const Tensor&, const Tensor&, double, bool, const Optional&, double,
                           std::optional<double>, bool, std::string_view, at::ArrayRef<double>,
                           bool, const Optional&, bool);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("spikenode::lif", "").typed<Signature>();
  return std::get<0>(
      op.call(x, v, kTau, true, tau, kThreshold, 0., true, surrogate, {}, true, threshold, false));
}
Tensor parametric_lif(const Tensor& x, const Tensor& v, const Tensor& w) {
  using Signature =
      Result(const Tensor&, const Tensor&, const Tensor&, bool, double, std::optional<double>, bool,
             std::string_view, at::ArrayRef<double>, bool, const Optional&, bool);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("spikenode::parametric_lif", "")
                             .typed<Signature>();
  return std::get<0>(op.call(x, v, w, true, kThreshold, 0., true, "ATan", {}, true, {}, false));
}
Tensor fused(const Tensor& x, const Tensor& v) { return lif(x, v, "ATan", {}, {}); }

// (b): ordinary stores. Forward reads x and writes s and h; backward reads the gradient and h and
// writes over h; inference reads x and writes s.
void move_forward(const float* __restrict x, float* __restrict s, float* __restrict h, int64_t n) {
  for (int64_t i = 0; i < n; ++i) s[i] = h[i] = x[i];
}
void move_backward(const float* __restrict g, float* __restrict h, int64_t n) {
  for (int64_t i = 0; i < n; ++i) h[i] += g[i];
}
void move_inference(const float* __restrict x, float* __restrict s, int64_t n) {
  for (int64_t i = 0; i < n; ++i) s[i] = x[i];
}

double nanoseconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

struct Quartiles {
  double low, median, high;
};
Quartiles quartiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return values[static_cast<size_t>(q * (values.size() - 1) + .5)];
  };
  return {at(.25), at(.5), at(.75)};
}
std::vector<double> ratios(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (size_t i = 0; i < a.size(); ++i) result.push_back(a[i] / b[i]);
  return result;
}
std::vector<double> sums(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (size_t i = 0; i < a.size(); ++i) result.push_back(a[i] + b[i]);
  return result;
}

// Times of one way to compute, pair by pair, in ns per neuron and step.
struct Times {
  std::vector<double> forward, backward, inference;
};

void print_row(const char* name, const std::vector<double>& ours, const std::vector<double>& loop,
               const std::vector<double>& copy) {
  const Quartiles a = quartiles(ratios(loop, ours));
  const Quartiles b = quartiles(ratios(copy, ours));
  std::printf("    %-19s %6.3f %7.2f %6.3f   %6.1f (%.1f to %.1f)   %4.0f %% (%.0f to %.0f)\n",
              name, quartiles(ours).median, quartiles(loop).median, quartiles(copy).median,
              a.median, a.low, a.high, 100 * b.median, 100 * b.low, 100 * b.high);
}

class Case {
 public:
  Case(int64_t steps, int64_t neurons)
      : elements_(steps * neurons),
        x_(at::rand({steps, neurons}).mul_(2).requires_grad_()),
        v_(at::zeros({neurons})),
        gradient_(at::randn({steps, neurons})),
        s_(at::zeros({steps, neurons})),
        h_(at::zeros({steps, neurons})) {}

  void run(int pairs, Times& ours, Times& loop, Times& copy) {
    for (int i = -1; i < pairs; ++i) {  // the first round warms up
      Times a, b, c;
      once(a, [this] { return fused(x_, v_); });
      once(b, [this] { return operator_loop(x_); });
      moves(c);
      if (i < 0) continue;
      append(ours, a);
      append(loop, b);
      append(copy, c);
    }
  }

 private:
  void once(Times& times, const std::function<Tensor()>& compute) const {
    Tensor s;
    times.forward.push_back(per_element([&] { s = compute(); }));
    times.backward.push_back(per_element(
        [&] { torch::autograd::grad({s}, {x_}, {gradient_}, /*retain_graph=*/false); }));
    s.reset();
    at::NoGradGuard no_grad;
    times.inference.push_back(per_element([&] { compute(); }));
  }
  void moves(Times& times) const {
    const float* x = x_.const_data_ptr<float>();
    const float* g = gradient_.const_data_ptr<float>();
    float* s = s_.mutable_data_ptr<float>();
    float* h = h_.mutable_data_ptr<float>();
    times.forward.push_back(
        spread([=](int64_t i, int64_t n) { move_forward(x + i, s + i, h + i, n); }));
    times.backward.push_back(spread([=](int64_t i, int64_t n) { move_backward(g + i, h + i, n); }));
    times.inference.push_back(
        spread([=](int64_t i, int64_t n) { move_inference(x + i, s + i, n); }));
  }
  double per_element(const std::function<void()>& body) const {
    return nanoseconds(body) / static_cast<double>(elements_);
  }
  double spread(const std::function<void(int64_t, int64_t)>& body) const {
    return per_element([&] {
      at::parallel_for(0, elements_, 32768,
                       [&](int64_t begin, int64_t end) { body(begin, end - begin); });
    });
  }
  static void append(Times& to, const Times& from) {
    to.forward.push_back(from.forward[0]);
    to.backward.push_back(from.backward[0]);
    to.inference.push_back(from.inference[0]);
  }

  int64_t elements_;
  Tensor x_, v_, gradient_, s_, h_;
};

// Another neuron, surrogate, form of parameters or dtype beside a copy of the bytes that it must
// move: saved membranes as above; for 16 bits x, and one checkpoint of a state in 16 steps.
struct Variant {
  const char* name;
  at::ScalarType dtype;
  std::vector<Tensor> parameters;  // that are learned
  std::function<Tensor(const Tensor& x, const Tensor& v)> compute;
};

template <class T>
void copy_variant(Times& times, const Tensor& x, const Tensor& g, Tensor& s, Tensor& h) {
  const T* from = static_cast<const T*>(x.const_data_ptr());
  const T* gradient = static_cast<const T*>(g.const_data_ptr());
  T* to = static_cast<T*>(s.mutable_data_ptr());
  T* saved = static_cast<T*>(h.mutable_data_ptr());
  const auto spread = [&](const std::function<void(int64_t, int64_t)>& body) {
    return nanoseconds([&] {
             at::parallel_for(0, x.numel(), 32768,
                              [&](int64_t begin, int64_t end) { body(begin, end); });
           }) /
           static_cast<double>(x.numel());
  };
  const bool half = sizeof(T) == 2;
  times.forward.push_back(spread([=](int64_t begin, int64_t end) {
    if (half) {
      for (int64_t i = begin; i < end; ++i) to[i] = from[i];
    } else {
      for (int64_t i = begin; i < end; ++i) to[i] = saved[i] = from[i];
    }
  }));
  times.backward.push_back(spread([=](int64_t begin, int64_t end) {
    if (half) {
      for (int64_t i = begin; i < end; ++i) to[i] = from[i] ^ gradient[i];
    } else {
      for (int64_t i = begin; i < end; ++i) saved[i] ^= gradient[i];
    }
  }));
}

void run_variant(const Variant& variant, int64_t steps, int64_t neurons, int pairs) {
  const Tensor x = at::rand({steps, neurons}).mul_(2).to(variant.dtype).requires_grad_();
  const Tensor v = at::zeros({neurons});
  const Tensor g = at::randn({steps, neurons}).to(variant.dtype);
  Tensor s = at::zeros_like(g), h = at::zeros_like(g);
  std::vector<Tensor> inputs{x};
  inputs.insert(inputs.end(), variant.parameters.begin(), variant.parameters.end());
  Times ours, copy;
  const double elements = static_cast<double>(steps * neurons);
  for (int i = -1; i < pairs; ++i) {
    Tensor out;
    const double forward = nanoseconds([&] { out = variant.compute(x, v); }) / elements;
    const double backward =
        nanoseconds([&] { torch::autograd::grad({out}, inputs, {g}); }) / elements;
    Times moved;
    variant.dtype == at::kFloat ? copy_variant<uint32_t>(moved, x, g, s, h)
                                : copy_variant<uint16_t>(moved, x, g, s, h);
    if (i < 0) continue;
    ours.forward.push_back(forward);
    ours.backward.push_back(backward);
    copy.forward.push_back(moved.forward[0]);
    copy.backward.push_back(moved.backward[0]);
  }
  const auto percent = [](const std::vector<double>& a, const std::vector<double>& b) {
    return 100 * quartiles(ratios(a, b)).median;
  };
  std::printf("    %-34s %6.3f %6.3f   %6.3f %6.3f   %4.0f %% %4.0f %%\n", variant.name,
              quartiles(ours.forward).median, quartiles(ours.backward).median,
              quartiles(copy.forward).median, quartiles(copy.backward).median,
              percent(copy.forward, ours.forward), percent(copy.backward, ours.backward));
}

void run_variants(int pairs) {
  constexpr int64_t steps = 16, neurons = 1 << 16;
  const auto learned = [](const Tensor& values) { return values.clone().requires_grad_(); };
  const Tensor one = learned(at::full({1}, kTau)), threshold = learned(at::full({1}, kThreshold));
  const Tensor all = learned(at::full({neurons}, kTau)), w = learned(at::zeros({}));
  const auto with = [](std::string_view surrogate, const Optional& tau, const Optional& threshold) {
    return [=](const Tensor& x, const Tensor& v) { return lif(x, v, surrogate, tau, threshold); };
  };
  const Variant variants[] = {
      {"LIF, ATan", at::kFloat, {}, with("ATan", {}, {})},
      {"LIF, Sigmoid", at::kFloat, {}, with("Sigmoid", {}, {})},
      {"LIF, Erf", at::kFloat, {}, with("Erf", {}, {})},
      {"LIF, a learned tau for all", at::kFloat, {one}, with("ATan", one, {})},
      {"LIF, a learned tau for each", at::kFloat, {all}, with("ATan", all, {})},
      {"LIF, learned tau and threshold",
       at::kFloat,
       {one, threshold},
       with("ATan", one, threshold)},
      {"ParametricLIF, learned w",
       at::kFloat,
       {w},
       [=](const Tensor& x, const Tensor& v) { return parametric_lif(x, v, w); }},
      {"LIF, ATan, bfloat16", at::kBFloat16, {}, with("ATan", {}, {})},
      {"LIF, ATan, float16", at::kHalf, {}, with("ATan", {}, {})}};
  std::printf(
      "\nVariants, %ld x %ld, 1 thread; ns per neuron, step: forward and backward, a copy's, of "
      "the copy's speed\n",
      steps, neurons);
  at::set_num_threads(1);
  for (const Variant& variant : variants) run_variant(variant, steps, neurons, pairs);
}

}  // namespace

int main(int argc, char** argv) {
  const int pairs = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15;
  spikenode::install_caching_allocator();
  if (spikenode_registered() == 0) return 1;
  constexpr int64_t sizes[][2] = {
      {4, 1 << 20}, {16, 1 << 16}, {16, 1 << 20}, {64, 1 << 12}, {256, 1 << 12}};
  std::printf("LIF, ATan, hard reset, float32; medians of %d interleaved rounds (quartiles)\n",
              pairs);
  std::printf(
      "    ns per neuron, step  ours    loop   copy   times faster than loop   of the copy's "
      "speed\n");
  for (const auto& [steps, neurons] : sizes) {
    std::vector<double> alone;
    for (const int threads : {1, 2}) {
      at::set_num_threads(threads);
      Times ours, loop, copy;
      Case(steps, neurons).run(pairs, ours, loop, copy);
      const std::vector<double> both = sums(ours.forward, ours.backward);
      std::printf("%ld x %ld, %d thread%s\n", steps, neurons, threads, threads > 1 ? "s" : "");
      print_row("training forward", ours.forward, loop.forward, copy.forward);
      print_row("backward", ours.backward, loop.backward, copy.backward);
      print_row("forward + backward", both, sums(loop.forward, loop.backward),
                sums(copy.forward, copy.backward));
      print_row("inference", ours.inference, loop.inference, copy.inference);
      if (threads == 1) {
        alone = both;
      } else {
        const Quartiles gain = quartiles(ratios(alone, both));
        std::printf("    two threads against one: %.2f (%.2f to %.2f)\n", gain.median, gain.low,
                    gain.high);
      }
    }
  }
  run_variants(pairs);
  return 0;
}
