// The table behind every Tensor and Generator object of one environment.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "node/bridge.h"

namespace spikenode::node {

enum class HandleKind : uint8_t { kTensor = 0, kGenerator = 1 };

// Who disposes a tensor, in the order of lib/tensor/owner.ts.
enum class Owner : uint8_t {
  kParameters,
  kBuffers,
  kStates,
  kOptimizer,
  kData,
  kKept,
  kScopes,
  kUndisposed,
  kCount
};

struct Owned {
  int64_t tensors = 0;
  int64_t bytes = 0;  // of the storages that no owner before this one has
};

// What is owned in one environment. CPU bytes, as the allocator counts them.
struct Ownership {
  std::array<Owned, static_cast<size_t>(Owner::kCount)> owners;
  Owned gradients;
};

// A handle is one safe integer: kind (1 bit), environment (7), generation (21), index (24). A slot
// that has used up its generations is retired, so a stale handle can never name another tensor.
class HandleTable {
 public:
  explicit HandleTable(uint32_t environment) : environment_(environment) {}
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  double insert(at::Tensor tensor);
  double insert(at::Generator generator);
  // Null for anything but a live tensor of this environment; says nothing about why.
  const at::Tensor* peek(int64_t handle) const noexcept;
  // By value where JavaScript may run before the last use: a getter can dispose what it likes.
  const at::Tensor& tensor(int64_t handle, const std::string& what) const;
  const at::Generator& generator(int64_t handle, const std::string& what) const;
  // False when it was gone already.
  bool drop(int64_t handle);
  // Marks a tensor that no scope owns; its bytes count as tracked until it is dropped.
  void track(int64_t handle);
  // Gives a tensor an owner other than a scope or the garbage collector.
  void own(int64_t handle, Owner owner);

  int64_t live() const { return live_; }
  // Each storage counts for its first owner in the order of Owner, gradients coming before kKept.
  Ownership ownership(bool with_gradients) const;
  int64_t tracked_bytes() const { return tracked_bytes_; }

 private:
  struct Slot {
    at::Tensor tensor;
    at::Generator generator;
    int64_t tracked = 0;
    uint32_t generation = 0;
    uint32_t next_free = 0;
    HandleKind kind = HandleKind::kTensor;
    Owner owner = Owner::kScopes;
    bool used = false;
  };
  Slot& take(HandleKind kind, uint32_t* index);
  double encode(HandleKind kind, uint32_t index, uint32_t generation) const;
  // Null when the handle is stale; throws for one of another environment or no handle at all.
  const Slot* find(int64_t handle, HandleKind kind, const std::string& what) const;

  const uint32_t environment_;
  std::vector<Slot> slots_;
  uint32_t free_ = kNone;
  int64_t live_ = 0;
  int64_t tracked_bytes_ = 0;
  static constexpr uint32_t kNone = UINT32_MAX;
};

}  // namespace spikenode::node
