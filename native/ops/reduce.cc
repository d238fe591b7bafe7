#include "ops/reduce.h"

#include <ATen/ExpandUtils.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty_strided.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace spikenode {
namespace {

constexpr int64_t piece = 16384;           // numbers that are summed in one go
constexpr int64_t partial_sums = 1 << 18;  // doubles that the blocks may take together

/// Neighbouring dimensions in memory that are all summed over or all kept.
struct Group {
  int64_t size;
  bool kept;
};

struct Plan {
  std::vector<Group> groups;  ///< slowest first; the last one is the run
  int64_t outer = 1, kept = 1;
  at::Tensor result;  ///< its memory in the order of the kept groups

  Plan(const at::Tensor& row, at::IntArrayRef sizes) {
    const int64_t missing = row.dim() - static_cast<int64_t>(sizes.size());
    std::vector<int64_t> order(row.dim());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return row.stride(a) > row.stride(b); });
    std::vector<int64_t> strides(sizes.size(), 1);
    for (const int64_t dim : order) {
      if (row.size(dim) == 1) continue;
      const bool is_kept = dim >= missing && sizes[dim - missing] != 1;
      if (groups.empty() || groups.back().kept != is_kept) groups.push_back({1, is_kept});
      groups.back().size *= row.size(dim);
    }
    if (groups.empty()) groups.push_back({1, false});
    for (auto dim = order.rbegin(); dim != order.rend(); ++dim) {
      if (*dim < missing || sizes[*dim - missing] == 1) continue;
      strides[*dim - missing] = kept;
      kept *= row.size(*dim);
    }
    for (size_t i = 0; i + 1 < groups.size(); ++i) outer *= groups[i].size;
    result = at::empty_strided(sizes, strides, row.options());
  }

  /// Where the run of that number begins among the kept.
  int64_t kept_index(int64_t index) const {
    int64_t at = 0, scale = groups.back().kept ? groups.back().size : 1;
    for (size_t i = groups.size() - 1; i-- > 0;) {
      if (groups[i].kept) {
        at += index % groups[i].size * scale;
        scale *= groups[i].size;
      }
      index /= groups[i].size;
    }
    return at;
  }
};

/// In eight chains and a fixed tree: short enough for the latency of an addition.
template <class T>
double sum(const T* from, int64_t count) {
  double chains[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int k = 0; k < 8; ++k) chains[k] += from[i + k];
  }
  for (int k = 0; i < count; ++i, ++k) chains[k] += from[i];
  return ((chains[0] + chains[4]) + (chains[1] + chains[5])) +
         ((chains[2] + chains[6]) + (chains[3] + chains[7]));
}

template <class T>
void add_piece(const Plan& plan, const T* row, int64_t unit, int64_t pieces, double* into) {
  const Group& run = plan.groups.back();
  const int64_t outer = unit / pieces, begin = unit % pieces * piece;
  const int64_t count = std::min(piece, run.size - begin);
  const T* const from = row + outer * run.size + begin;
  double* const to = into + plan.kept_index(outer);
  if (!run.kept) {
    *to += sum(from, count);
    return;
  }
  for (int64_t i = 0; i < count; ++i) to[begin + i] += from[i];
}

template <class T>
void reduce(const Plan& plan, const T* row, T* result) {
  const int64_t pieces = (plan.groups.back().size + piece - 1) / piece;
  const int64_t units = plan.outer * pieces;
  const int64_t size = plan.outer * plan.groups.back().size;
  const int64_t most = std::min(units, std::max<int64_t>(1, partial_sums / plan.kept));
  const int64_t blocks = std::clamp<int64_t>(size / piece, 1, most);
  std::vector<double> sums(blocks * plan.kept);
  at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      for (int64_t unit = units * block / blocks; unit < units * (block + 1) / blocks; ++unit)
        add_piece(plan, row, unit, pieces, sums.data() + block * plan.kept);
    }
  });
  for (int64_t k = 0; k < plan.kept; ++k) {
    double total = 0;
    for (int64_t block = 0; block < blocks; ++block) total += sums[block * plan.kept + k];
    result[k] = static_cast<T>(total);
  }
}

}  // namespace

at::Tensor reduce_to(const at::Tensor& row, at::IntArrayRef sizes) {
  if (row.sizes() == sizes) return row;
  if (!row.is_cpu() || row.numel() == 0) return at::sum_to(row, sizes);
  const Plan plan(row, sizes);
  if (row.scalar_type() == at::kDouble) {
    reduce(plan, row.const_data_ptr<double>(), plan.result.mutable_data_ptr<double>());
  } else {
    reduce(plan, row.const_data_ptr<float>(), plan.result.mutable_data_ptr<float>());
  }
  return plan.result;
}

}  // namespace spikenode
