#include "cpu/surrogates.h"

#include "cpu/vector.h"
#include "neuron/surrogate.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {
namespace {

template <class T, class Body>
SPIKENODE_INLINE void each_u(const T* h, const T* thresholds, T threshold, T* to, long count,
                             const Body& body) {
  each_vector<T>(0, count, [&](long i, long n) {
    const Vector<T> u = read(h, i, n) - (thresholds == nullptr ? splat<Vector<T>>(threshold)
                                                               : read(thresholds, i, n));
    write(to, i, n, body(u));
  });
}

template <class T, class Surrogate>
void derivative(const double* parameters, const T* h, const T* thresholds, T threshold, T* to,
                long count) {
  const Surrogate surrogate(parameters);
  each_u(h, thresholds, threshold, to, count,
         [surrogate](Vector<T> u) { return surrogate.template derivative<Vector<T>>(u); });
}

template <class T, class Surrogate>
void primitive(const double* parameters, const T* h, const T* thresholds, T threshold, T* to,
               long count) {
  const Surrogate surrogate(parameters);
  each_u(h, thresholds, threshold, to, count,
         [surrogate](Vector<T> u) { return primitive_of<Surrogate, Vector<T>>(surrogate, u); });
}

#define SPIKENODE_ROWS(name, ...) {&derivative<T, name<T>>, &primitive<T, name<T>>},
template <class T>
constexpr SurrogateRows<T> all_rows[] = {SPIKENODE_SURROGATES(SPIKENODE_ROWS)};
#undef SPIKENODE_ROWS

}  // namespace

template <>
const SurrogateRows<float>& surrogate_rows<float>(SurrogateKind kind) {
  return all_rows<float>[static_cast<int>(kind)];
}
template <>
const SurrogateRows<double>& surrogate_rows<double>(SurrogateKind kind) {
  return all_rows<double>[static_cast<int>(kind)];
}

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
