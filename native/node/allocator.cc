#include "node/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace spikenode {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHuge = size_t{2} << 20;
constexpr size_t kLargestSmall = 256 << 10;
constexpr size_t kLargest = size_t{1} << 46;

// Size classes: multiples of 64 bytes up to 512, then eight for every power of two, so that at most
// an eighth is lost and a slightly different batch finds the same blocks.
struct SizeClass {
  size_t index, bytes;

  explicit SizeClass(size_t n) {
    if (n <= 512) {
      index = (n + kAlignment - 1) / kAlignment - 1;
      bytes = (index + 1) * kAlignment;
      return;
    }
    const int exponent = 63 - __builtin_clzll(n - 1);
    const size_t eighth = (n - 1) >> (exponent - 3);
    index = 8 + (exponent - 9) * 8 + (eighth - 8);
    bytes = (eighth + 1) << (exponent - 3);
  }
};

class SpinLock {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire)) {
      while (held_.load(std::memory_order_relaxed)) relax();
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  std::atomic<bool> held_{false};
};

/// Memory from the system, aligned to 2 MB; null where there is none.
void* map(size_t bytes) {
  const size_t padded = bytes + kHuge;
  void* const base =
      mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = (begin + kHuge - 1) & ~(kHuge - 1);
  if (aligned > begin) munmap(base, aligned - begin);
  const size_t tail = begin + padded - (aligned + bytes);
  if (tail > 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  return reinterpret_cast<void*>(aligned);
}

size_t round_to_page(size_t n) { return (n + 4095) & ~size_t{4095}; }

/// 2 MB for blocks of one small size; the header sits at its start, so that a small block is never
/// aligned to 2 MB and a large one always is.
struct alignas(kAlignment) Slab {
  size_t index, bytes;  ///< of the size class
  size_t carved = 0;    ///< blocks handed out for the first time so far
  size_t free = 0;      ///< of those, free ones; counted by empty() only

  static Slab* of(void* block) {
    return reinterpret_cast<Slab*>(reinterpret_cast<uintptr_t>(block) & ~(kHuge - 1));
  }
  size_t capacity() const { return (kHuge - sizeof(Slab)) / bytes; }
  void* block(size_t i) { return reinterpret_cast<char*>(this) + sizeof(Slab) + i * bytes; }
};

struct FreeBlock {
  FreeBlock* next;
};

/// The free blocks of one small size.
struct Bin {
  SpinLock lock;
  FreeBlock* free = nullptr;
  std::vector<Slab*> slabs;  ///< the last one may have room

  void* pop() {
    FreeBlock* const block = free;
    if (block != nullptr) free = block->next;
    return block;
  }
  void push(void* block) {
    FreeBlock* const freed = static_cast<FreeBlock*>(block);
    freed->next = free;
    free = freed;
  }
  /// A block that was never used; null where the system has no more.
  void* carve(const SizeClass& size) {
    if (slabs.empty() || slabs.back()->carved == slabs.back()->capacity()) {
      void* const memory = map(kHuge);
      if (memory == nullptr) return nullptr;
      slabs.push_back(new (memory) Slab{size.index, size.bytes});
    }
    Slab* const slab = slabs.back();
    return slab->block(slab->carved++);
  }
  /// Gives slabs back of which every block is free; returns the bytes of those blocks.
  size_t empty() {
    for (Slab* slab : slabs) slab->free = 0;
    for (FreeBlock* block = free; block != nullptr; block = block->next) ++Slab::of(block)->free;
    FreeBlock* kept = nullptr;
    for (FreeBlock *block = free, *next; block != nullptr; block = next) {
      next = block->next;
      if (Slab::of(block)->free == Slab::of(block)->carved) continue;
      block->next = kept;
      kept = block;
    }
    free = kept;
    size_t bytes = 0;
    std::erase_if(slabs, [&](Slab* slab) {
      if (slab->free != slab->carved) return false;
      bytes += slab->carved * slab->bytes;
      munmap(slab, kHuge);
      return true;
    });
    return bytes;
  }
};

class CachingAllocator final : public c10::Allocator {
 public:
  explicit CachingAllocator(int64_t limit) : limit_(limit), cache_limit_(limit / 2) {}

  c10::DataPtr allocate(size_t n) override {
    void* const block = n == 0 ? nullptr : take(n);
    return {block, block, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t n) const override {
    default_copy_data(to, from, n);
  }

  AllocatorStatistics statistics() const {
    const int64_t live = live_.load();
    return {live,      std::max<int64_t>(reserved_.load() - live, 0), peak_, limit_, blocks_,
            allocated_};
  }

  void reset_peak() { peak_ = live_.load(); }

  void empty() {
    for (Bin& bin : bins_) {
      std::lock_guard<SpinLock> guard(bin.lock);
      reserved_ -= static_cast<int64_t>(bin.empty());
    }
    std::lock_guard<std::mutex> guard(large_lock_);
    for (auto& [index, blocks] : large_free_) {
      for (void* block : blocks) unmap_large(block);
    }
    large_free_.clear();
  }

 private:
  static void release(void* block);

  void* take(size_t n) {
    if (n > kLargest) fail(n);
    const SizeClass size(n);
    void* const block = size.bytes <= kLargestSmall ? take_small(n, size) : take_large(n, size);
    const int64_t live =
        live_.fetch_add(static_cast<int64_t>(size.bytes), std::memory_order_relaxed) +
        static_cast<int64_t>(size.bytes);
    blocks_.fetch_add(1, std::memory_order_relaxed);
    allocated_.fetch_add(static_cast<int64_t>(size.bytes), std::memory_order_relaxed);
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (live > peak && !peak_.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
    }
    return block;
  }

  void* take_small(size_t n, const SizeClass& size) {
    Bin& bin = bins_[size.index];
    {
      std::lock_guard<SpinLock> guard(bin.lock);
      if (void* const block = bin.pop()) return block;
    }
    return grow(n, size.bytes, [&] {
      std::lock_guard<SpinLock> guard(bin.lock);
      return bin.carve(size);
    });
  }

  void* take_large(size_t n, const SizeClass& size) {
    {
      std::lock_guard<std::mutex> guard(large_lock_);
      const auto found = large_free_.find(size.index);
      if (found != large_free_.end() && !found->second.empty()) {
        void* const block = found->second.back();
        found->second.pop_back();
        return block;
      }
    }
    return grow(n, size.bytes, [&]() -> void* {
      void* const block = map(round_to_page(size.bytes));
      if (block == nullptr) return nullptr;
      if (size.bytes >= kHuge) madvise(block, round_to_page(size.bytes), MADV_HUGEPAGE);
      std::lock_guard<std::mutex> guard(large_lock_);
      large_.emplace(block, size);
      return block;
    });
  }

  /// More memory from the system, within the limit; what is cached goes first.
  template <class Get>
  void* grow(size_t n, size_t bytes, const Get& get) {
    for (const bool emptied : {false, true}) {
      if (emptied) empty();
      if (reserved_.fetch_add(static_cast<int64_t>(bytes)) + static_cast<int64_t>(bytes) <=
          limit_) {
        if (void* const block = get()) return block;
      }
      reserved_ -= static_cast<int64_t>(bytes);
    }
    fail(n);
  }

  [[noreturn]] void fail(size_t n) const {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "out of memory: ", n, " bytes asked for, ",
                     live_.load(), " live, limit ", limit_, " (SPIKENODE_MEMORY_LIMIT)");
    std::abort();  // not reached; the macro's branch is not known to the compiler
  }

  void give(void* block) {
    if ((reinterpret_cast<uintptr_t>(block) & (kHuge - 1)) != 0) {
      const Slab* const slab = Slab::of(block);
      Bin& bin = bins_[slab->index];
      live_.fetch_sub(static_cast<int64_t>(slab->bytes), std::memory_order_relaxed);
      std::lock_guard<SpinLock> guard(bin.lock);
      bin.push(block);
      return;
    }
    std::lock_guard<std::mutex> guard(large_lock_);
    const SizeClass size = large_.at(block);
    live_ -= static_cast<int64_t>(size.bytes);
    if (reserved_ - live_ > cache_limit_) {
      unmap_large(block);
    } else {
      large_free_[size.index].push_back(block);
    }
  }

  void unmap_large(void* block) {
    const auto found = large_.find(block);
    munmap(block, round_to_page(found->second.bytes));
    reserved_ -= static_cast<int64_t>(found->second.bytes);
    large_.erase(found);
  }

  const int64_t limit_, cache_limit_;
  std::atomic<int64_t> live_{0}, peak_{0};
  std::atomic<int64_t> blocks_{0}, allocated_{0};  ///< handed out since the start
  std::atomic<int64_t> reserved_{0};               ///< live and cached
  Bin bins_[8 + 9 * 8];                            ///< up to kLargestSmall
  std::mutex large_lock_;
  std::unordered_map<void*, SizeClass> large_;
  std::unordered_map<size_t, std::vector<void*>> large_free_;
};

CachingAllocator* installed = nullptr;

void CachingAllocator::release(void* block) {
  if (block != nullptr) installed->give(block);
}

int64_t parse_limit(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view suffix(end, text.data() + text.size() - end);
  const int shift = suffix.empty()  ? 0
                    : suffix == "K" ? 10
                    : suffix == "M" ? 20
                    : suffix == "G" ? 30
                                    : -1;
  TORCH_CHECK_VALUE(
      error == std::errc() && shift >= 0 && value > 0 &&
          value <= std::numeric_limits<int64_t>::max() >> std::max(shift, 0),
      "SPIKENODE_MEMORY_LIMIT must be a number of bytes, with K, M or G if wanted, got '", text,
      "'");
  return value << shift;
}

/// The smallest memory.max from the process's cgroup (version 2) up to the root.
int64_t cgroup_limit() {
  int64_t limit = std::numeric_limits<int64_t>::max();
  const auto lower = [&](const std::string& file) {
    std::ifstream stream(file);
    int64_t value = 0;
    if (stream >> value && value > 0) limit = std::min(limit, value);
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string path = line.substr(3); !path.empty() && path != "/";
         path.resize(path.find_last_of('/'))) {
      lower("/sys/fs/cgroup" + path + "/memory.max");
    }
  }
  lower("/sys/fs/cgroup/memory.max");  // a container sees its own group as the root
  lower("/sys/fs/cgroup/memory/memory.limit_in_bytes");  // version 1
  return limit;
}

int64_t memory_limit() {
  const char* const wanted = std::getenv("SPIKENODE_MEMORY_LIMIT");
  if (wanted != nullptr && *wanted != '\0') return parse_limit(wanted);
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return std::min(machine, cgroup_limit()) / 10 * 9;
}

}  // namespace

void install_caching_allocator() {
  static std::mutex lock;
  std::lock_guard<std::mutex> guard(lock);
  if (installed != nullptr) return;
  const char* const wanted = std::getenv("SPIKENODE_ALLOCATOR");
  const std::string_view kind = wanted == nullptr || *wanted == '\0' ? "caching" : wanted;
  TORCH_CHECK_VALUE(kind == "caching" || kind == "system",
                    "SPIKENODE_ALLOCATOR must be 'caching' or 'system', got '", kind, "'");
  if (kind == "system") return;
  installed = new CachingAllocator(memory_limit());
  c10::SetAllocator(c10::kCPU, installed, 1);
}

AllocatorStatistics allocator_statistics() {
  return installed == nullptr ? AllocatorStatistics{} : installed->statistics();
}

void reset_peak() {
  if (installed != nullptr) installed->reset_peak();
}

int64_t block_bytes(int64_t n) {
  if (installed == nullptr || n <= 0) return n;
  return static_cast<int64_t>(SizeClass(static_cast<size_t>(n)).bytes);
}

void empty_cache() {
  if (installed != nullptr) installed->empty();
}

}  // namespace spikenode
