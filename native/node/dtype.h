// Names of dtypes and devices as TypeScript spells them.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace spikenode::node {

// Both throw a BridgeError that begins with `what`.
c10::ScalarType dtype_from_name(const std::string& name, const std::string& what);
c10::Device device_from_name(const std::string& name, const std::string& what);
const char* dtype_name(c10::ScalarType dtype);

}  // namespace spikenode::node
