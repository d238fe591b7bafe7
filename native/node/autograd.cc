// Gradients: the engine, leaf attributes and grad mode.
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include "node/instance.h"

namespace spikenode::node {
namespace {

at::Tensor tensor_argument(const Arguments& arguments, size_t index, const std::string& what) {
  return arguments.instance->handles.tensor(get_integer(arguments.env, arguments[index], what),
                                            what);
}

const at::Tensor& self(const Arguments& arguments) {
  return arguments.instance->handles.tensor(get_integer(arguments.env, arguments[0], "the tensor"),
                                            "the tensor");
}

struct Backward {
  at::Tensor root;
  at::Tensor gradient;
  bool retain_graph;
  bool create_graph;
  std::vector<at::Tensor> inputs;

  void operator()() const {
    std::vector<at::Tensor> gradients;
    if (gradient.defined()) gradients.push_back(gradient);
    torch::autograd::backward({root}, gradients, retain_graph, create_graph, inputs);
  }
};

// (handle, gradient | null, retainGraph, createGraph, inputs | null)
Backward backward_arguments(const Arguments& arguments) {
  napi_env env = arguments.env;
  Backward backward;
  backward.root = self(arguments);
  if (!is_nullish(env, arguments[1]))
    backward.gradient = tensor_argument(arguments, 1, "backward: argument 'gradient'");
  backward.retain_graph = get_bool(env, arguments[2], "backward: argument 'retainGraph'");
  backward.create_graph = get_bool(env, arguments[3], "backward: argument 'createGraph'");
  if (!is_nullish(env, arguments[4])) {
    const std::string what = "backward: argument 'inputs'";
    const uint32_t count = get_length(env, arguments[4], what);
    if (count == 0) throw BridgeError(ErrorClass::kType, what + " must not be empty");
    for (uint32_t i = 0; i < count; ++i)
      backward.inputs.push_back(arguments.instance->handles.tensor(
          get_integer(env, get_element(env, arguments[4], i), what), what));
  }
  return backward;
}

napi_value backward(Arguments& arguments) {
  try {
    backward_arguments(arguments)();
  } catch (...) {
    throw_current(arguments.env, *arguments.instance, "backward");
  }
  return nullptr;
}

napi_value backward_async(Arguments& arguments) {
  auto job = std::make_unique<Worker::Job>();
  job->name = "backward";
  job->run = backward_arguments(arguments);
  job->result = [](napi_env env) { return undefined_value(env); };
  return arguments.instance->worker.submit(std::move(job), arguments.instance);
}

napi_value requires_grad(Arguments& arguments) {
  return to_js(arguments.env, self(arguments).requires_grad());
}

napi_value set_requires_grad(Arguments& arguments) {
  const bool value = get_bool(arguments.env, arguments[1], "requiresGrad");
  const at::Tensor tensor = self(arguments);
  if (!tensor.is_leaf() && !value)
    throw BridgeError(ErrorClass::kTorch,
                      "requiresGrad: only a leaf can stop requiring gradients; use detach()");
  if (value && !c10::isFloatingType(tensor.scalar_type()) &&
      !c10::isComplexType(tensor.scalar_type()))
    throw BridgeError(ErrorClass::kDType, std::string("requiresGrad: only floating-point tensors "
                                                      "can require gradients, got ") +
                                              c10::toString(tensor.scalar_type()));
  tensor.requires_grad_(value);
  return undefined_value(arguments.env);
}

napi_value grad(Arguments& arguments) {
  at::Tensor gradient = self(arguments).grad();
  if (!gradient.defined()) return null_value(arguments.env);
  return to_js(arguments.env, arguments.instance->handles.insert(std::move(gradient)));
}

napi_value set_grad(Arguments& arguments) {
  const at::Tensor tensor = self(arguments);
  at::Tensor gradient;
  if (!is_nullish(arguments.env, arguments[1])) {
    gradient = tensor_argument(arguments, 1, "grad");
    if (gradient.sizes() != tensor.sizes())
      throw BridgeError(ErrorClass::kShape, "grad: must have the shape of its tensor");
    if (gradient.scalar_type() != tensor.scalar_type())
      throw BridgeError(ErrorClass::kDType, "grad: must have the dtype of its tensor");
  }
  tensor.mutable_grad() = gradient;
  return undefined_value(arguments.env);
}

napi_value is_leaf(Arguments& arguments) { return to_js(arguments.env, self(arguments).is_leaf()); }

napi_value retain_grad(Arguments& arguments) {
  self(arguments).retain_grad();
  return undefined_value(arguments.env);
}

// gradFnName(handle): "AddBackward0", or null for a leaf.
napi_value grad_fn_name(Arguments& arguments) {
  const auto& function = self(arguments).grad_fn();
  if (!function) return null_value(arguments.env);
  const std::string name = function->name();
  const size_t colons = name.rfind("::");
  return to_js(arguments.env, colons == std::string::npos ? name : name.substr(colons + 2));
}

napi_value grad_mode(Arguments& arguments) {
  return to_js(arguments.env, c10::GradMode::is_enabled());
}

napi_value set_grad_mode(Arguments& arguments) {
  c10::GradMode::set_enabled(get_bool(arguments.env, arguments[0], "setGradMode: the mode"));
  return undefined_value(arguments.env);
}

}  // namespace

void define_autograd(napi_env env, napi_value exports, Instance* instance) {
  define(env, exports, instance, "backward", guarded<backward>);
  define(env, exports, instance, "backwardAsync", guarded<backward_async>);
  define(env, exports, instance, "requiresGrad", guarded<requires_grad>);
  define(env, exports, instance, "setRequiresGrad", guarded<set_requires_grad>);
  define(env, exports, instance, "grad", guarded<grad>);
  define(env, exports, instance, "setGrad", guarded<set_grad>);
  define(env, exports, instance, "isLeaf", guarded<is_leaf>);
  define(env, exports, instance, "retainGrad", guarded<retain_grad>);
  define(env, exports, instance, "gradFnName", guarded<grad_fn_name>);
  define(env, exports, instance, "gradMode", guarded<grad_mode>);
  define(env, exports, instance, "setGradMode", guarded<set_grad_mode>);
}

}  // namespace spikenode::node
