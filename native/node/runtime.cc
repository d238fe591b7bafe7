// Seeds, threads, devices, memory, and the addon's initialisation.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Generator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "node/allocator.h"
#include "node/dtype.h"
#include "node/instance.h"

// Of libspikenode: 0 when another copy of it had registered the operators first.
extern "C" int spikenode_registered();
extern "C" uint64_t aoti_torch_abi_version();  // of libtorch_cpu

namespace spikenode::node {
namespace {

int64_t device_count(c10::DeviceType type) {
  if (!c10::impl::hasDeviceGuardImpl(type)) return 0;
  return c10::impl::getDeviceGuardImpl(type)->deviceCount();
}

// A device that is there, with its index.
c10::Device present_device(const Arguments& arguments, size_t index, const std::string& name) {
  const std::string what = name + ": argument 'device'";
  const c10::Device device =
      device_from_name(get_string(arguments.env, arguments[index], what), what);
  if (device.is_cpu()) return device;
  if (std::max<int64_t>(device.index(), 0) >= device_count(device.type()))
    throw BridgeError(ErrorClass::kTorch, name + ": no " + device.str() + " device is present");
  return device.has_index() ? device : c10::impl::getDeviceGuardImpl(device.type())->getDevice();
}

// The allocator of CUDA tensors; null before the first of them.
c10::DeviceAllocator* cuda_allocator() {
  if (device_count(c10::kCUDA) == 0) return nullptr;
  auto* const allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(c10::kCUDA));
  return allocator != nullptr && allocator->initialized() ? allocator : nullptr;
}

napi_value manual_seed(Arguments& arguments) {
  const int64_t seed = get_integer(arguments.env, arguments[0], "manualSeed: argument 'seed'");
  at::manual_seed(static_cast<uint64_t>(seed));
  return undefined_value(arguments.env);
}

// createGenerator(device, seed)
napi_value create_generator(Arguments& arguments) {
  const c10::Device device = present_device(arguments, 0, "Generator");
  const at::Generator generator = device.is_cpu()
                                      ? at::detail::createCPUGenerator()
                                      : at::globalContext().defaultGenerator(device).clone();
  const int64_t seed = get_integer(arguments.env, arguments[1], "Generator: argument 'seed'");
  at::Generator(generator).set_current_seed(static_cast<uint64_t>(seed));
  return to_js(arguments.env, arguments.instance->handles.insert(generator));
}

// The generator of a handle, or libtorch's default one of the device that is named.
at::Generator generator_argument(const Arguments& arguments, const std::string& name) {
  if (type_of(arguments.env, arguments[0]) == napi_string)
    return at::globalContext().defaultGenerator(present_device(arguments, 0, name));
  const std::string what = "the generator";
  return arguments.instance->handles.generator(get_integer(arguments.env, arguments[0], what),
                                               what);
}

napi_value seed_generator(Arguments& arguments) {
  at::Generator generator = generator_argument(arguments, "manualSeed");
  const int64_t seed = get_integer(arguments.env, arguments[1], "manualSeed: argument 'seed'");
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(static_cast<uint64_t>(seed));
  return undefined_value(arguments.env);
}

napi_value generator_state(Arguments& arguments) {
  at::Generator generator = generator_argument(arguments, "getRngState");
  std::lock_guard<std::mutex> lock(generator.mutex());
  return to_js(arguments.env, arguments.instance->handles.insert(generator.get_state()));
}

napi_value set_generator_state(Arguments& arguments) {
  at::Generator generator = generator_argument(arguments, "setRngState");
  const std::string what = "setState: argument 'state'";
  const at::Tensor state =
      arguments.instance->handles.tensor(get_integer(arguments.env, arguments[1], what), what);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
  return undefined_value(arguments.env);
}

napi_value get_threads(Arguments& arguments) {
  return to_js(arguments.env, static_cast<double>(at::get_num_threads()));
}

napi_value set_threads(Arguments& arguments) {
  const std::string what = "setNumThreads: argument 'count'";
  const int64_t count = get_integer(arguments.env, arguments[0], what);
  if (count < 1 || count > 1024)
    throw BridgeError(ErrorClass::kShape,
                      what + " must be between 1 and 1024, got " + std::to_string(count));
  at::set_num_threads(static_cast<int>(count));
  return undefined_value(arguments.env);
}

napi_value cuda_device_count(Arguments& arguments) {
  return to_js(arguments.env, static_cast<double>(device_count(c10::kCUDA)));
}

napi_value numbers(napi_env env, const std::vector<int64_t>& values) {
  napi_value result = nullptr;
  check(env, napi_create_array_with_length(env, values.size(), &result));
  for (uint32_t i = 0; i < values.size(); ++i)
    check(env, napi_set_element(env, result, i, to_js(env, static_cast<double>(values[i]))));
  return result;
}

// memory(): [live handles, live bytes, cached bytes, peak bytes, limit, tracked bytes, allocations,
// allocated bytes], then tensors and bytes of each owner and of the gradients
napi_value memory(Arguments& arguments) {
  const Instance& instance = *arguments.instance;
  const AllocatorStatistics statistics = allocator_statistics();
  // A backward in flight may be writing gradients.
  const Ownership ownership = instance.handles.ownership(!instance.worker.busy());
  std::vector<int64_t> values = {instance.handles.live(), statistics.live_bytes,
                                 statistics.cached_bytes, statistics.peak_bytes,
                                 statistics.limit_bytes,  instance.handles.tracked_bytes(),
                                 statistics.allocations,  statistics.allocated_bytes};
  for (const Owned& owned : ownership.owners)
    values.insert(values.end(), {owned.tensors, owned.bytes});
  values.insert(values.end(), {ownership.gradients.tensors, ownership.gradients.bytes});
  return numbers(arguments.env, values);
}

// deviceMemory(): [live bytes, cached bytes, peak bytes, allocations] of each CUDA device in turn
napi_value device_memory(Arguments& arguments) {
  std::vector<int64_t> values;
  c10::DeviceAllocator* const allocator = cuda_allocator();
  const int64_t count = allocator == nullptr ? 0 : device_count(c10::kCUDA);
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  for (int64_t index = 0; index < count; ++index) {
    const auto statistics = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(index));
    const auto& live = statistics.allocated_bytes[kAll];
    values.insert(values.end(),
                  {live.current, statistics.reserved_bytes[kAll].current - live.current, live.peak,
                   statistics.allocation[kAll].allocated});
  }
  return numbers(arguments.env, values);
}

// synchronize(device): waits until the device has done what it was given.
napi_value synchronize(Arguments& arguments) {
  const c10::Device device = present_device(arguments, 0, "synchronize");
  if (!device.is_cpu())
    c10::impl::getDeviceGuardImpl(device.type())->synchronizeDevice(device.index());
  return undefined_value(arguments.env);
}

napi_value reset_peak_memory(Arguments& arguments) {
  reset_peak();
  if (c10::DeviceAllocator* const allocator = cuda_allocator(); allocator != nullptr) {
    for (int64_t index = 0; index < device_count(c10::kCUDA); ++index)
      allocator->resetPeakStats(static_cast<c10::DeviceIndex>(index));
  }
  return undefined_value(arguments.env);
}

// blockBytes(n): what the allocator counts for n bytes.
napi_value block_size(Arguments& arguments) {
  const int64_t n = get_integer(arguments.env, arguments[0], "blockBytes: argument 'bytes'");
  return to_js(arguments.env, static_cast<double>(block_bytes(n)));
}

napi_value clear_cache(Arguments& arguments) {
  empty_cache();
  if (c10::DeviceAllocator* const allocator = cuda_allocator(); allocator != nullptr)
    allocator->emptyCache();
  return undefined_value(arguments.env);
}

// stopWorkers(): see Worker::stop_all.
napi_value stop_workers(Arguments& arguments) {
  Worker::stop_all();
  return undefined_value(arguments.env);
}

// version(): of the libtorch that runs, not of the headers; its bytes from the top are major,
// minor, patch.
napi_value version(Arguments& arguments) {
  const uint64_t version = aoti_torch_abi_version();
  const auto part = [version](int shift) { return std::to_string(version >> shift & 0xff); };
  return to_js(arguments.env, part(56) + "." + part(48) + "." + part(40));
}

// registered(): false when another copy of the package had registered its operators first.
napi_value registered(Arguments& arguments) {
  return to_js(arguments.env, spikenode_registered() != 0);
}

// setErrorClasses([TypeError, DTypeError, ...]), in the order of ErrorClass.
napi_value set_error_classes(Arguments& arguments) {
  const auto expected = static_cast<uint32_t>(ErrorClass::kCount);
  if (get_length(arguments.env, arguments[0], "setErrorClasses: the argument") != expected)
    throw BridgeError(ErrorClass::kType, "setErrorClasses: wrong number of classes");
  for (uint32_t i = 0; i < expected; ++i) {
    const napi_value error_class = get_element(arguments.env, arguments[0], i);
    napi_ref& reference = arguments.instance->error_classes[i];
    if (reference != nullptr) napi_delete_reference(arguments.env, reference);
    check(arguments.env, napi_create_reference(arguments.env, error_class, 1, &reference));
  }
  return undefined_value(arguments.env);
}

void prepare_process() {
  static std::once_flag once;
  std::call_once(once, install_caching_allocator);
}

uint32_t next_environment() {
  static std::atomic<uint32_t> counter{0};
  // 1 to 127: 0 marks what is no handle. Numbers come round; a handle of an ended worker that is
  // sent to the worker 127 environments later is told from its tensors by the generation.
  return counter.fetch_add(1) % 127 + 1;
}

napi_value init(napi_env env, napi_value exports) {
  auto* instance = new Instance(env, next_environment());
  if (napi_set_instance_data(
          env, instance, [](napi_env, void* data, void*) { delete static_cast<Instance*>(data); },
          nullptr) != napi_ok) {
    delete instance;
    return nullptr;
  }
  try {
    prepare_process();
    define_operators(env, exports, instance);
    define_tensors(env, exports, instance);
    define_autocast(env, exports, instance);
    define_autograd(env, exports, instance);
    define_batches(env, exports, instance);
    define_runtime(env, exports, instance);
  } catch (...) {
    throw_current(env, *instance, "spikenode");
  }
  return exports;
}

}  // namespace

void define_runtime(napi_env env, napi_value exports, Instance* instance) {
  define(env, exports, instance, "manualSeed", guarded<manual_seed>);
  define(env, exports, instance, "createGenerator", guarded<create_generator>);
  define(env, exports, instance, "seedGenerator", guarded<seed_generator>);
  define(env, exports, instance, "generatorState", guarded<generator_state>);
  define(env, exports, instance, "setGeneratorState", guarded<set_generator_state>);
  define(env, exports, instance, "getNumThreads", guarded<get_threads>);
  define(env, exports, instance, "setNumThreads", guarded<set_threads>);
  define(env, exports, instance, "cudaDeviceCount", guarded<cuda_device_count>);
  define(env, exports, instance, "memory", guarded<memory>);
  define(env, exports, instance, "deviceMemory", guarded<device_memory>);
  define(env, exports, instance, "synchronize", guarded<synchronize>);
  define(env, exports, instance, "resetPeakMemory", guarded<reset_peak_memory>);
  define(env, exports, instance, "blockBytes", guarded<block_size>);
  define(env, exports, instance, "emptyCache", guarded<clear_cache>);
  define(env, exports, instance, "stopWorkers", guarded<stop_workers>);
  define(env, exports, instance, "version", guarded<version>);
  define(env, exports, instance, "registered", guarded<registered>);
  define(env, exports, instance, "setErrorClasses", guarded<set_error_classes>);
}

}  // namespace spikenode::node

NAPI_MODULE(spikenode, spikenode::node::init)
