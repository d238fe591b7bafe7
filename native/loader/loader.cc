// Opens shared libraries by absolute path and tells which ones the process already has. Node-API
// only: it must load where there is no libtorch, so that the error can be a sentence.
#include <dlfcn.h>
#include <link.h>
#include <node_api.h>
#include <sys/stat.h>

#include <string>
#include <vector>

namespace {

napi_value text(napi_env env, const std::string& value) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

std::string argument(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return {};
  std::string result(length, '\0');
  napi_get_value_string_utf8(env, value, result.data(), length + 1, &length);
  return result;
}

// open(path): null when it worked, else the dynamic linker's message.
napi_value open(napi_env env, napi_callback_info info) {
  const std::string path = argument(env, info);
  // RTLD_LOCAL: libtorch carries protobuf, MKL and uv_* symbols that nobody else may see.
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) {
    napi_value null = nullptr;
    napi_get_null(env, &null);
    return null;
  }
  const char* message = dlerror();
  return text(env, message != nullptr ? message : "unknown dlopen error");
}

// loaded(): [path, device, inode] of every shared object of the process.
napi_value loaded(napi_env env, napi_callback_info) {
  std::vector<std::string> paths;
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* data) {
        if (object->dlpi_name != nullptr && object->dlpi_name[0] == '/')
          static_cast<std::vector<std::string>*>(data)->emplace_back(object->dlpi_name);
        return 0;
      },
      &paths);
  napi_value result = nullptr;
  napi_create_array(env, &result);
  uint32_t index = 0;
  for (const std::string& path : paths) {
    struct stat file = {};
    if (stat(path.c_str(), &file) != 0) continue;
    napi_value entry = nullptr;
    napi_create_array_with_length(env, 2, &entry);
    napi_set_element(env, entry, 0, text(env, path));
    napi_set_element(env, entry, 1,
                     text(env, std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino)));
    napi_set_element(env, result, index++, entry);
  }
  return result;
}

napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor members[] = {
      {"open", nullptr, open, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"loaded", nullptr, loaded, nullptr, nullptr, nullptr, napi_enumerable, nullptr}};
  napi_define_properties(env, exports, 2, members);
  return exports;
}

}  // namespace

NAPI_MODULE(loader, init)
