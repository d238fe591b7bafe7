#include "node/dtype.h"

#include <c10/util/Exception.h>

#include <cctype>

#include "node/bridge.h"

namespace spikenode::node {
namespace {

struct Entry {
  const char* name;
  c10::ScalarType dtype;
};
constexpr Entry kEntries[] = {
    {"float32", c10::ScalarType::Float},
    {"float64", c10::ScalarType::Double},
    {"float16", c10::ScalarType::Half},
    {"bfloat16", c10::ScalarType::BFloat16},
    {"int64", c10::ScalarType::Long},
    {"int32", c10::ScalarType::Int},
    {"int16", c10::ScalarType::Short},
    {"int8", c10::ScalarType::Char},
    {"uint8", c10::ScalarType::Byte},
    {"bool", c10::ScalarType::Bool},
    {"complex64", c10::ScalarType::ComplexFloat},
    {"complex128", c10::ScalarType::ComplexDouble},
};

}  // namespace

c10::ScalarType dtype_from_name(const std::string& name, const std::string& what) {
  std::string names;
  for (const Entry& entry : kEntries) {
    if (name == entry.name) return entry.dtype;
    names += std::string(names.empty() ? "" : ", ") + entry.name;
  }
  throw BridgeError(ErrorClass::kType, what + " must be one of " + names + ", got '" + name + "'");
}

const char* dtype_name(c10::ScalarType dtype) {
  for (const Entry& entry : kEntries)
    if (dtype == entry.dtype) return entry.name;
  return c10::toString(dtype);
}

c10::Device device_from_name(const std::string& name, const std::string& what) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "meta") return c10::Device(c10::kMeta);
  if (name == "cuda") return c10::Device(c10::kCUDA);
  const bool indexed = name.size() > 5 && name.size() < 9 && name.compare(0, 5, "cuda:") == 0;
  bool digits = indexed;
  for (size_t i = 5; indexed && i < name.size(); ++i)
    digits = digits && std::isdigit(static_cast<unsigned char>(name[i])) != 0;
  const int index = digits ? std::stoi(name.substr(5)) : -1;
  if (index >= 0 && index < 128)
    return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
  throw BridgeError(ErrorClass::kType,
                    what + " must be 'cpu', 'cuda' or 'cuda:<index>', got '" + name + "'");
}

}  // namespace spikenode::node
