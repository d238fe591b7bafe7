#include "node/handles.h"

#include <unordered_set>

#include "node/allocator.h"

namespace spikenode::node {
namespace {

constexpr int kIndexBits = 24;
constexpr int kGenerationBits = 21;
constexpr int kEnvironmentBits = 7;
constexpr int64_t kIndexMask = (int64_t{1} << kIndexBits) - 1;
constexpr int64_t kGenerationMask = (int64_t{1} << kGenerationBits) - 1;
constexpr int64_t kEnvironmentMask = (int64_t{1} << kEnvironmentBits) - 1;
constexpr int kGenerationShift = kIndexBits;
constexpr int kEnvironmentShift = kIndexBits + kGenerationBits;
constexpr int kKindShift = kEnvironmentShift + kEnvironmentBits;

using Storages = std::unordered_set<const c10::StorageImpl*>;

// The bytes of the tensor's storage, unless it is in `counted` already.
int64_t new_bytes(const at::Tensor& tensor, Storages& counted) {
  if (!tensor.has_storage() || !tensor.is_cpu()) return 0;
  const c10::StorageImpl* const storage = tensor.storage().unsafeGetStorageImpl();
  if (!counted.insert(storage).second) return 0;
  return block_bytes(static_cast<int64_t>(storage->nbytes()));
}

}  // namespace

HandleTable::Slot& HandleTable::take(HandleKind kind, uint32_t* index) {
  if (free_ != kNone) {
    *index = free_;
    free_ = slots_[free_].next_free;
  } else {
    if (static_cast<int64_t>(slots_.size()) > kIndexMask)
      throw BridgeError(ErrorClass::kOutOfMemory, "more than 16 million live tensors");
    *index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  }
  Slot& slot = slots_[*index];
  slot.kind = kind;
  slot.owner = Owner::kScopes;
  slot.used = true;
  slot.tracked = 0;
  ++live_;
  return slot;
}

double HandleTable::encode(HandleKind kind, uint32_t index, uint32_t generation) const {
  return static_cast<double>((static_cast<int64_t>(kind) << kKindShift) |
                             (static_cast<int64_t>(environment_) << kEnvironmentShift) |
                             (static_cast<int64_t>(generation) << kGenerationShift) | index);
}

double HandleTable::insert(at::Tensor tensor) {
  uint32_t index = 0;
  Slot& slot = take(HandleKind::kTensor, &index);
  slot.tensor = std::move(tensor);
  return encode(HandleKind::kTensor, index, slot.generation);
}

double HandleTable::insert(at::Generator generator) {
  uint32_t index = 0;
  Slot& slot = take(HandleKind::kGenerator, &index);
  slot.generator = std::move(generator);
  return encode(HandleKind::kGenerator, index, slot.generation);
}

const HandleTable::Slot* HandleTable::find(int64_t handle, HandleKind kind,
                                           const std::string& what) const {
  const int64_t index = handle & kIndexMask;
  const int64_t environment = (handle >> kEnvironmentShift) & kEnvironmentMask;
  if (handle < 0 || (handle >> kKindShift) != static_cast<int64_t>(kind) || environment == 0)
    throw BridgeError(ErrorClass::kType,
                      what + (kind == HandleKind::kTensor ? " is not a tensor handle"
                                                          : " is not a generator handle"));
  if (environment != environment_)
    throw BridgeError(ErrorClass::kType,
                      what + " belongs to another worker; send its values (toTypedArray) instead");
  if (index >= static_cast<int64_t>(slots_.size())) return nullptr;
  const Slot& slot = slots_[index];
  const int64_t generation = (handle >> kGenerationShift) & kGenerationMask;
  return slot.used && slot.kind == kind && slot.generation == generation ? &slot : nullptr;
}

const at::Tensor* HandleTable::peek(int64_t handle) const noexcept {
  const int64_t expected_high =
      (static_cast<int64_t>(HandleKind::kTensor) << kEnvironmentBits) | environment_;
  const auto index = static_cast<size_t>(handle & kIndexMask);
  if ((handle >> kEnvironmentShift) != expected_high || index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  const int64_t generation = (handle >> kGenerationShift) & kGenerationMask;
  const bool live = slot.used && slot.kind == HandleKind::kTensor && slot.generation == generation;
  return live ? &slot.tensor : nullptr;
}

const at::Tensor& HandleTable::tensor(int64_t handle, const std::string& what) const {
  const Slot* slot = find(handle, HandleKind::kTensor, what);
  if (slot == nullptr)
    throw BridgeError(ErrorClass::kDisposed,
                      what +
                          " has been disposed. A tensor lives as long as the scope it was made in: "
                          "return it from tidy(), or keep it with keep(tensor) or "
                          "module.registerBuffer(name, tensor)");
  return slot->tensor;
}

const at::Generator& HandleTable::generator(int64_t handle, const std::string& what) const {
  const Slot* slot = find(handle, HandleKind::kGenerator, what);
  if (slot == nullptr) throw BridgeError(ErrorClass::kDisposed, what + " has been disposed");
  return slot->generator;
}

bool HandleTable::drop(int64_t handle) {
  const HandleKind kind = static_cast<HandleKind>((handle >> kKindShift) & 1);
  if (find(handle, kind, "dispose: the handle") == nullptr) return false;
  const auto index = static_cast<uint32_t>(handle & kIndexMask);
  Slot& slot = slots_[index];
  // Taken out first: freeing a tensor can run arbitrary destructors of the graph.
  at::Tensor tensor = std::move(slot.tensor);
  at::Generator generator = std::move(slot.generator);
  slot.tensor = at::Tensor();
  slot.generator = at::Generator();
  tracked_bytes_ -= slot.tracked;
  slot.used = false;
  --live_;
  if (slot.generation < kGenerationMask) {
    ++slot.generation;
    slot.next_free = free_;
    free_ = index;
  }
  return true;
}

void HandleTable::track(int64_t handle) {
  if (find(handle, HandleKind::kTensor, "track: the handle") == nullptr) return;
  Slot& slot = slots_[handle & kIndexMask];
  slot.owner = Owner::kUndisposed;
  if (slot.tracked != 0 || !slot.tensor.has_storage()) return;
  // A view costs nothing of its own; whoever shares a storage with it is counted already.
  slot.tracked = slot.tensor.is_view() ? 0 : static_cast<int64_t>(slot.tensor.storage().nbytes());
  tracked_bytes_ += slot.tracked;
}

void HandleTable::own(int64_t handle, Owner owner) {
  if (find(handle, HandleKind::kTensor, "own: the handle") == nullptr) return;
  Slot& slot = slots_[handle & kIndexMask];
  slot.owner = owner;
  tracked_bytes_ -= slot.tracked;
  slot.tracked = 0;
}

Ownership HandleTable::ownership(bool with_gradients) const {
  std::array<std::vector<const at::Tensor*>, static_cast<size_t>(Owner::kCount)> owned;
  for (const Slot& slot : slots_) {
    if (slot.used && slot.kind == HandleKind::kTensor && slot.tensor.defined())
      owned[static_cast<size_t>(slot.owner)].push_back(&slot.tensor);
  }
  Ownership result;
  Storages counted;
  for (size_t owner = 0; owner < owned.size(); ++owner) {
    if (owner == static_cast<size_t>(Owner::kKept) && with_gradients) {
      std::unordered_set<const c10::TensorImpl*> seen;
      for (const auto& tensors : owned) {
        for (const at::Tensor* tensor : tensors) {
          if (!tensor->is_leaf() || !tensor->grad().defined()) continue;
          const at::Tensor& gradient = tensor->grad();
          if (seen.insert(gradient.unsafeGetTensorImpl()).second) ++result.gradients.tensors;
          result.gradients.bytes += new_bytes(gradient, counted);
        }
      }
    }
    Owned& own = result.owners[owner];
    own.tensors = static_cast<int64_t>(owned[owner].size());
    for (const at::Tensor* tensor : owned[owner]) own.bytes += new_bytes(*tensor, counted);
  }
  return result;
}

}  // namespace spikenode::node
