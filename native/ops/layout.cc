#include "ops/layout.h"

#include <ATen/ExpandUtils.h>
#include <ATen/ops/empty_strided.h>
#include <c10/util/safe_numerics.h>

namespace spikenode {
namespace {

bool has_strides(at::IntArrayRef sizes, at::IntArrayRef strides, at::IntArrayRef wanted) {
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] > 1 && strides[i] != wanted[i]) return false;
  }
  return true;
}

}  // namespace

StepLayout::StepLayout(const at::Tensor& x_seq)
    : sizes(x_seq.sizes().slice(1).vec()),
      strides(at::infer_dense_strides(sizes, x_seq.strides().slice(1))),
      neurons(c10::multiply_integers(sizes)) {}

at::Tensor StepLayout::empty_state(const at::Tensor& like) const {
  return at::empty_strided(sizes, strides, like.options());
}

at::Tensor StepLayout::empty_sequence(const at::Tensor& like, int64_t steps) const {
  std::vector<int64_t> all_sizes{steps}, all_strides{std::max<int64_t>(neurons, 1)};
  all_sizes.insert(all_sizes.end(), sizes.begin(), sizes.end());
  all_strides.insert(all_strides.end(), strides.begin(), strides.end());
  return at::empty_strided(all_sizes, all_strides, like.options());
}

Rows rows(const at::Tensor& sequence, const StepLayout& layout) {
  const int64_t steps = sequence.size(0);
  if (sequence.numel() == 0) return {sequence, 0};
  if (has_strides(layout.sizes, sequence.strides().slice(1), layout.strides)) {
    return {sequence, sequence.stride(0)};
  }
  if (steps == 1 || sequence.stride(0) == 0) {
    return {layout.empty_state(sequence).copy_(sequence.select(0, 0)), 0};
  }
  return {layout.empty_sequence(sequence, steps).copy_(sequence), layout.neurons};
}

at::Tensor state(const at::Tensor& tensor, const StepLayout& layout) {
  if (has_strides(layout.sizes, tensor.strides(), layout.strides)) return tensor;
  return layout.empty_state(tensor).copy_(tensor);
}

}  // namespace spikenode
