#include "node/operators.h"

#include <ATen/ScalarOps.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/result_type.h>
#include <c10/core/Device.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>

#include <cmath>

#include "node/dtype.h"
#include "node/instance.h"

namespace spikenode::node {
namespace {

using c10::IValue;
using c10::TypeKind;

[[noreturn]] void unsupported(const std::string& name, const c10::Type& type) {
  throw BridgeError(ErrorClass::kType,
                    name + ": arguments of type " + type.str() + " cannot come from JavaScript");
}

ArgumentKind list_kind(const c10::Type& element, const std::string& name) {
  switch (element.kind()) {
    case TypeKind::TensorType:
      return ArgumentKind::kTensorList;
    case TypeKind::OptionalType:
      if (element.containedType(0)->kind() == TypeKind::TensorType)
        return ArgumentKind::kOptionalTensorList;
      break;
    case TypeKind::IntType:
    case TypeKind::SymIntType:
      return ArgumentKind::kIntList;
    case TypeKind::FloatType:
      return ArgumentKind::kDoubleList;
    case TypeKind::BoolType:
      return ArgumentKind::kBoolList;
    case TypeKind::NumberType:
      return ArgumentKind::kScalarList;
    default:
      break;
  }
  unsupported(name, element);
}

// `type` is the real type: the plain one shows dtype, layout and symbolic integers as int.
ArgumentKind kind_of(const c10::Type& type, const std::string& name) {
  switch (type.kind()) {
    case TypeKind::TensorType:
      return ArgumentKind::kTensor;
    case TypeKind::IntType:
    case TypeKind::SymIntType:
      return ArgumentKind::kInt;
    case TypeKind::FloatType:
      return ArgumentKind::kDouble;
    case TypeKind::BoolType:
      return ArgumentKind::kBool;
    case TypeKind::StringType:
      return ArgumentKind::kString;
    case TypeKind::NumberType:
      return ArgumentKind::kScalar;
    case TypeKind::ScalarTypeType:
      return ArgumentKind::kDType;
    case TypeKind::LayoutType:
      return ArgumentKind::kLayout;
    case TypeKind::DeviceObjType:
      return ArgumentKind::kDevice;
    case TypeKind::MemoryFormatType:
      return ArgumentKind::kMemoryFormat;
    case TypeKind::GeneratorType:
      return ArgumentKind::kGenerator;
    case TypeKind::ListType:
      return list_kind(*type.containedType(0), name);
    default:
      unsupported(name, type);
  }
}

std::string describe_argument(const Operator& op, const OperatorArgument& argument) {
  return op.name + ": argument '" + argument.name + "'";
}

c10::Scalar to_scalar(napi_env env, napi_value value, const std::string& what) {
  switch (type_of(env, value)) {
    case napi_number: {
      const double number = get_double(env, value, what);
      // As in Python, an integer stays an integer; -0 is not one.
      if (std::trunc(number) == number && std::fabs(number) <= 9007199254740991.0 &&
          !(number == 0 && std::signbit(number)))
        return static_cast<int64_t>(number);
      return number;
    }
    case napi_bigint:
      return get_integer(env, value, what);
    case napi_boolean:
      return get_bool(env, value, what);
    default:
      throw BridgeError(ErrorClass::kType,
                        what + " must be a number or Tensor, got " + describe(env, value));
  }
}

c10::Layout to_layout(napi_env env, napi_value value, const std::string& what) {
  const std::string name = get_string(env, value, what);
  if (name == "strided") return c10::kStrided;
  if (name == "sparse_coo") return c10::kSparse;
  throw BridgeError(ErrorClass::kType,
                    what + " must be 'strided' or 'sparse_coo', got '" + name + "'");
}

c10::MemoryFormat to_memory_format(napi_env env, napi_value value, const std::string& what) {
  const std::string name = get_string(env, value, what);
  if (name == "contiguous_format") return c10::MemoryFormat::Contiguous;
  if (name == "preserve_format") return c10::MemoryFormat::Preserve;
  if (name == "channels_last") return c10::MemoryFormat::ChannelsLast;
  if (name == "channels_last_3d") return c10::MemoryFormat::ChannelsLast3d;
  throw BridgeError(ErrorClass::kType,
                    what +
                        " must be 'contiguous_format', 'preserve_format', 'channels_last' or "
                        "'channels_last_3d', got '" +
                        name + "'");
}

// Slow paths and everything that needs an error text: one argument of one operator.
class Converter {
 public:
  Converter(const Arguments& arguments, const Operator& op) : arguments_(arguments), op_(op) {}

  IValue convert(const OperatorArgument& argument, napi_value value) const {
    napi_env env = arguments_.env;
    if (argument.kind == ArgumentKind::kTensor && value != nullptr) {
      // The hot path: no text is made unless something is wrong.
      double number = 0;
      if (napi_get_value_double(env, value, &number) == napi_ok && std::fabs(number) < 9.1e15) {
        const at::Tensor* tensor = arguments_.instance->handles.peek(static_cast<int64_t>(number));
        if (tensor != nullptr) return *tensor;
      }
    }
    const napi_valuetype type = type_of(env, value);
    if (type == napi_undefined) {
      if (argument.has_default) return argument.default_value;
      if (argument.optional) return IValue();
      throw BridgeError(ErrorClass::kType,
                        describe_argument(op_, argument) + " is required, got undefined");
    }
    if (type == napi_null) {
      if (argument.optional) return IValue();
      throw BridgeError(ErrorClass::kType, describe_argument(op_, argument) + " must not be null");
    }
    return convert_value(argument, value);
  }

 private:
  IValue convert_value(const OperatorArgument& argument, napi_value value) const {
    napi_env env = arguments_.env;
    const std::string what = describe_argument(op_, argument);
    switch (argument.kind) {
      case ArgumentKind::kTensor:
        return tensor(value, what);
      case ArgumentKind::kTensorList: {
        c10::List<at::Tensor> list;
        each(value, what, [&](napi_value element) { list.push_back(tensor(element, what)); });
        return list;
      }
      case ArgumentKind::kOptionalTensorList: {
        c10::List<std::optional<at::Tensor>> list;
        each(value, what, [&](napi_value element) {
          if (is_nullish(env, element))
            list.push_back(std::nullopt);
          else
            list.push_back(tensor(element, what));
        });
        return list;
      }
      case ArgumentKind::kInt:
        return get_integer(env, value, what);
      case ArgumentKind::kIntList: {
        c10::List<int64_t> list;
        if (argument.list_size > 0 && type_of(env, value) == napi_number) {
          const int64_t number = get_integer(env, value, what);
          for (int64_t i = 0; i < argument.list_size; ++i) list.push_back(number);
        } else {
          each(value, what,
               [&](napi_value element) { list.push_back(get_integer(env, element, what)); });
        }
        return list;
      }
      case ArgumentKind::kDouble:
        return get_double(env, value, what);
      case ArgumentKind::kDoubleList: {
        c10::List<double> list;
        each(value, what,
             [&](napi_value element) { list.push_back(get_double(env, element, what)); });
        return list;
      }
      case ArgumentKind::kBool:
        return get_bool(env, value, what);
      case ArgumentKind::kBoolList: {
        c10::List<bool> list;
        each(value, what,
             [&](napi_value element) { list.push_back(get_bool(env, element, what)); });
        return list;
      }
      case ArgumentKind::kString:
        return get_string(env, value, what);
      case ArgumentKind::kScalar:
        return IValue(to_scalar(env, value, what));
      case ArgumentKind::kWrappedNumber:
        return at::native::wrapped_scalar_tensor(to_scalar(env, value, what));
      case ArgumentKind::kScalarList: {
        c10::impl::GenericList list(c10::NumberType::get());
        each(value, what,
             [&](napi_value element) { list.push_back(IValue(to_scalar(env, element, what))); });
        return list;
      }
      case ArgumentKind::kDType:
        return static_cast<int64_t>(dtype_from_name(get_string(env, value, what), what));
      case ArgumentKind::kLayout:
        return static_cast<int64_t>(to_layout(env, value, what));
      case ArgumentKind::kDevice:
        return device_from_name(get_string(env, value, what), what);
      case ArgumentKind::kMemoryFormat:
        return static_cast<int64_t>(to_memory_format(env, value, what));
      case ArgumentKind::kGenerator:
        return arguments_.instance->handles.generator(get_integer(env, value, what), what);
    }
    throw BridgeError(ErrorClass::kType, what + " has an unknown kind");
  }

  at::Tensor tensor(napi_value value, const std::string& what) const {
    if (type_of(arguments_.env, value) != napi_number)
      throw BridgeError(ErrorClass::kType,
                        what + " must be a Tensor, got " + describe(arguments_.env, value));
    return arguments_.instance->handles.tensor(get_integer(arguments_.env, value, what), what);
  }

  template <typename Visit>
  void each(napi_value value, const std::string& what, const Visit& visit) const {
    const uint32_t length = get_length(arguments_.env, value, what);
    for (uint32_t i = 0; i < length; ++i) visit(get_element(arguments_.env, value, i));
  }

  const Arguments& arguments_;
  const Operator& op_;
};

template <typename List, typename Convert>
napi_value array_of(napi_env env, const List& list, const Convert& convert) {
  napi_value result = nullptr;
  check(env, napi_create_array_with_length(env, list.size(), &result));
  for (size_t i = 0; i < list.size(); ++i)
    check(env, napi_set_element(env, result, static_cast<uint32_t>(i), convert(list[i])));
  return result;
}

napi_value tensor_result(napi_env env, Instance& instance, at::Tensor tensor) {
  if (!tensor.defined()) return null_value(env);
  return to_js(env, instance.handles.insert(std::move(tensor)));
}

napi_value scalar_result(napi_env env, const at::Scalar& scalar) {
  if (scalar.isBoolean()) return to_js(env, scalar.toBool());
  if (scalar.isIntegral(false)) return to_js(env, scalar.toLong());
  if (scalar.isFloatingPoint()) return to_js(env, scalar.toDouble());
  throw BridgeError(ErrorClass::kDType, "complex numbers have no JavaScript counterpart");
}

napi_value convert_result(napi_env env, Instance& instance, IValue&& value) {
  if (value.isTensor()) return tensor_result(env, instance, std::move(value).toTensor());
  if (value.isNone()) return null_value(env);
  if (value.isTensorList())
    return array_of(env, value.toTensorVector(),
                    [&](const at::Tensor& t) { return tensor_result(env, instance, t); });
  if (value.isInt()) return to_js(env, value.toInt());
  if (value.isDouble()) return to_js(env, value.toDouble());
  if (value.isBool()) return to_js(env, value.toBool());
  if (value.isString()) return to_js(env, value.toStringRef());
  if (value.isIntList())
    return array_of(env, value.toIntVector(), [&](int64_t v) { return to_js(env, v); });
  if (value.isDoubleList())
    return array_of(env, value.toDoubleVector(), [&](double v) { return to_js(env, v); });
  if (value.isScalar()) return scalar_result(env, value.toScalar());
  if (value.isDevice()) return to_js(env, value.toDevice().str());
  throw BridgeError(ErrorClass::kType,
                    "a result of kind " + value.tagKind() + " has no JavaScript counterpart");
}

// A stack that is ours for the duration of one call.
class BorrowedStack {
 public:
  explicit BorrowedStack(Instance& instance) : instance_(instance) {
    if (!instance.stacks.empty()) {
      stack = std::move(instance.stacks.back());
      instance.stacks.pop_back();
    }
  }
  ~BorrowedStack() {
    stack.clear();
    instance_.stacks.push_back(std::move(stack));
  }
  BorrowedStack(const BorrowedStack&) = delete;
  BorrowedStack& operator=(const BorrowedStack&) = delete;
  torch::jit::Stack stack;

 private:
  Instance& instance_;
};

napi_value results(napi_env env, Instance& instance, const Operator& op, torch::jit::Stack& stack) {
  const size_t count = op.result_is_argument.size();
  const auto one = [&](size_t index) {
    return op.result_is_argument[index] ? undefined_value(env)
                                        : convert_result(env, instance, std::move(stack[index]));
  };
  if (count == 0) return undefined_value(env);
  if (count == 1) return one(0);
  napi_value array = nullptr;
  check(env, napi_create_array_with_length(env, count, &array));
  for (size_t i = 0; i < count; ++i)
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), one(i)));
  return array;
}

// The operator that the first argument names.
const Operator& operator_argument(const Arguments& arguments) {
  const auto& operators = arguments.instance->operators;
  double id = -1;
  if (arguments.count == 0 || napi_get_value_double(arguments.env, arguments[0], &id) != napi_ok ||
      !(id >= 0) || id >= static_cast<double>(operators.size()))
    throw BridgeError(ErrorClass::kType,
                      "call: argument 'id' must be an operator of findOperator()");
  return *operators[static_cast<size_t>(id)];
}

// The processor traps where the smallest integer is divided by -1, which ends the process: libtorch
// does not look.
void refuse_trap(const Operator& op, const torch::jit::Stack& stack) {
  if (!stack[0].isTensor() || !stack[0].toTensor().is_cpu()) return;
  const bool is_true_division =
      op.name.rfind("div", 0) == 0 && (stack.size() < 3 || stack[2].isNone());
  if (is_true_division) return;
  const at::Tensor& dividend = stack[0].toTensor();
  const bool by_tensor = stack[1].isTensor();
  const c10::ScalarType dtype = by_tensor ? at::result_type(dividend, stack[1].toTensor())
                                          : at::result_type(dividend, stack[1].toScalar());
  if (dtype != c10::kInt && dtype != c10::kLong) return;
  const int64_t smallest = dtype == c10::kInt ? std::numeric_limits<int32_t>::min()
                                              : std::numeric_limits<int64_t>::min();
  if (!by_tensor && stack[1].toScalar().toLong() != -1) return;
  at::Tensor traps = dividend.to(dtype).eq(smallest);
  if (by_tensor) traps = traps.logical_and(stack[1].toTensor().to(dtype).eq(-1));
  if (traps.any().item<bool>())
    throw BridgeError(ErrorClass::kShape, op.name + ": the quotient of " +
                                              std::to_string(smallest) + " and -1 is out of range");
}

void push_arguments(const Arguments& arguments, const Operator& op, torch::jit::Stack& stack) {
  if (arguments.count - 1 > op.arguments.size())
    throw BridgeError(ErrorClass::kType,
                      op.name + ": takes at most " + std::to_string(op.arguments.size()) +
                          " arguments, got " + std::to_string(arguments.count - 1));
  const Converter converter(arguments, op);
  for (size_t i = 0; i < op.arguments.size(); ++i)
    stack.push_back(converter.convert(op.arguments[i], arguments[i + 1]));
  if (op.divides) refuse_trap(op, stack);
}

// call(id, ...arguments in schema order): see lib/native/addon.ts.
napi_value call(napi_env env, napi_callback_info info) {
  const Operator* op = nullptr;
  Instance* instance = nullptr;
  try {
    Arguments arguments(env, info);
    instance = arguments.instance;
    op = &operator_argument(arguments);
    BorrowedStack borrowed(*instance);
    push_arguments(arguments, *op, borrowed.stack);
    op->handle.callBoxed(borrowed.stack);
    return results(env, *instance, *op, borrowed.stack);
  } catch (...) {
    if (instance == nullptr) {
      void* data = nullptr;
      napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
      instance = static_cast<Instance*>(data);
    }
    throw_current(env, *instance, op != nullptr ? op->name : "call");
    return nullptr;
  }
}

// callAsync(id, ...arguments in schema order): the call on the worker, after those before it; a
// promise of the results. The stack holds the arguments, whatever JavaScript disposes meanwhile.
napi_value call_async(Arguments& arguments) {
  const Operator& op = operator_argument(arguments);
  auto stack = std::make_shared<torch::jit::Stack>();
  push_arguments(arguments, op, *stack);
  Instance* instance = arguments.instance;
  auto job = std::make_unique<Worker::Job>();
  job->name = op.name;
  job->run = [stack, &op] { op.handle.callBoxed(*stack); };
  job->result = [stack, &op, instance](napi_env env) {
    return results(env, *instance, op, *stack);
  };
  return instance->worker.submit(std::move(job), instance);
}

// findOperator(name, overload): its id in this environment.
napi_value find_operator(Arguments& arguments) {
  const std::string name = get_string(arguments.env, arguments[0], "findOperator: argument 'name'");
  const std::string overload =
      get_string(arguments.env, arguments[1], "findOperator: argument 'overload'");
  auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle)
    throw BridgeError(ErrorClass::kTorch, "libtorch has no operator '" + name +
                                              (overload.empty() ? "" : "." + overload) + "'");
  auto& operators = arguments.instance->operators;
  operators.push_back(std::make_unique<Operator>(*handle));
  return to_js(arguments.env, static_cast<double>(operators.size() - 1));
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(env, napi_set_named_property(env, object, name, value));
}

napi_value describe_argument(napi_env env, const c10::Argument& argument) {
  napi_value result = nullptr;
  check(env, napi_create_object(env, &result));
  set(env, result, "name", to_js(env, argument.name()));
  set(env, result, "type", to_js(env, argument.real_type()->str()));
  set(env, result, "kwargOnly", to_js(env, argument.kwarg_only()));
  const auto& value = argument.default_value();
  set(env, result, "hasDefault", to_js(env, value.has_value()));
  if (value) {
    std::ostringstream text;
    text << *value;
    set(env, result, "default", to_js(env, text.str()));
  }
  const c10::AliasInfo* alias = argument.alias_info();
  const char* kind = alias == nullptr ? "" : alias->isWrite() ? "write" : "read";
  set(env, result, "alias", to_js(env, std::string(kind)));
  set(env, result, "size", to_js(env, static_cast<double>(argument.N().value_or(0))));
  return result;
}

// schemas(): every operator of the process, the generator's input.
napi_value schemas(Arguments& arguments) {
  napi_env env = arguments.env;
  napi_value result = nullptr;
  check(env, napi_create_array(env, &result));
  uint32_t index = 0;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto handle = c10::Dispatcher::singleton().findSchema(name);
    if (!handle) continue;
    const c10::FunctionSchema& schema = handle->schema();
    napi_value entry = nullptr;
    check(env, napi_create_object(env, &entry));
    set(env, entry, "name", to_js(env, name.name));
    set(env, entry, "overload", to_js(env, name.overload_name));
    const auto convert = [&](const c10::Argument& a) { return describe_argument(env, a); };
    set(env, entry, "arguments", array_of(env, schema.arguments(), convert));
    set(env, entry, "returns", array_of(env, schema.returns(), convert));
    const bool autograd = handle->hasKernelForDispatchKey(c10::DispatchKey::Autograd);
    set(env, entry, "autograd", to_js(env, autograd));
    check(env, napi_set_element(env, result, index++, entry));
  }
  return result;
}

}  // namespace

Operator::Operator(c10::OperatorHandle op) : handle(op) {
  const c10::FunctionSchema& schema = op.schema();
  name = schema.name();
  const size_t colons = name.find("::");
  if (colons != std::string::npos) name = name.substr(colons + 2);
  for (const c10::Argument& declared : schema.arguments()) {
    OperatorArgument argument;
    argument.name = declared.name();
    c10::TypePtr type = declared.real_type();
    argument.optional = type->kind() == TypeKind::OptionalType;
    if (argument.optional) type = type->containedType(0);
    argument.kind = kind_of(*type, name);
    argument.list_size = declared.N().value_or(0);
    argument.has_default = declared.default_value().has_value();
    if (argument.has_default) argument.default_value = *declared.default_value();
    arguments.push_back(std::move(argument));
  }
  for (const c10::Argument& result : schema.returns())
    result_is_argument.push_back(result.alias_info() != nullptr && result.alias_info()->isWrite());
  for (const char* divider : {"div", "div_", "floor_divide", "fmod", "remainder"})
    divides = divides || schema.name() == std::string("aten::") + divider;
  // libtorch's mul_.Scalar rounds the number to a 16-bit tensor's dtype before it multiplies; mul
  // does not, nor does Python, which gives numbers to the overload for tensors.
  if (schema.name() == "aten::mul_" && schema.overload_name() == "Scalar") {
    arguments[1].kind = ArgumentKind::kWrappedNumber;
    handle = c10::Dispatcher::singleton().findSchemaOrThrow("aten::mul_", "Tensor");
  }
}

void define_operators(napi_env env, napi_value exports, Instance* instance) {
  define(env, exports, instance, "call", call);
  define(env, exports, instance, "callAsync", guarded<call_async>);
  define(env, exports, instance, "findOperator", guarded<find_operator>);
  define(env, exports, instance, "schemas", guarded<schemas>);
}

}  // namespace spikenode::node
