// The sum of one number a neuron into the shape of a parameter that broadcasts over the neurons.
#pragma once

#include <ATen/core/Tensor.h>

namespace spikenode {

/// Sums `row` [*], dense in any order of its dimensions, into a shape that broadcasts to it. On the
/// CPU in double and in an order that the sizes alone decide, so the bits do not depend on the
/// number of threads, as those of libtorch's sum_to_size do.
at::Tensor reduce_to(const at::Tensor& row, at::IntArrayRef sizes);

}  // namespace spikenode
