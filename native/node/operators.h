// Calls any operator of libtorch's dispatcher, converting by the operator's own schema.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <string>
#include <vector>

#include "node/bridge.h"

namespace spikenode::node {

enum class ArgumentKind : uint8_t {
  kTensor,
  kTensorList,
  kOptionalTensorList,
  kInt,
  kIntList,
  kDouble,
  kDoubleList,
  kBool,
  kBoolList,
  kString,
  kScalar,
  kWrappedNumber,  // a number for a Tensor argument, in which arithmetic takes it for a number
  kScalarList,
  kDType,
  kLayout,
  kDevice,
  kMemoryFormat,
  kGenerator,
};

struct OperatorArgument {
  std::string name;
  ArgumentKind kind;
  bool optional = false;
  bool has_default = false;
  c10::IValue default_value;
  int64_t list_size = 0;  // of a list that one value may stand for, 0 for none
};

// An operator with what its schema says, read once.
struct Operator {
  Operator(c10::OperatorHandle handle);

  c10::OperatorHandle handle;
  std::string name;  // as error messages call it: "add", "lif"
  std::vector<OperatorArgument> arguments;
  std::vector<bool> result_is_argument;  // in-place results: JavaScript has that object already
  bool divides = false;                  // and could divide integers
};

}  // namespace spikenode::node
