// surrogate_identity(u, g): the spike Θ(u) whose derivative is the tensor g. It is how surrogates
// that are written outside of the kernels take part: no code of theirs runs in backward.
#pragma once

#include <torch/library.h>

namespace spikenode {

void register_surrogate_identity(torch::Library& library);

}  // namespace spikenode
