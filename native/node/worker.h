// One native thread of an environment, for work that must not block its event loop. One thread and
// not the libuv pool: each thread that enters libtorch gets an OpenMP team of its own.
#pragma once

#include <node_api.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "node/bridge.h"

namespace spikenode::node {

class Worker {
 public:
  // run() happens on the thread; then result() on the JavaScript thread gives the promise's value.
  struct Job {
    std::function<void()> run;
    std::function<napi_value(napi_env)> result;
    std::string name;
    bool failed = false;
    Failure failure{ErrorClass::kTorch, ""};
    napi_deferred deferred = nullptr;
  };

  explicit Worker(napi_env env);
  // A cleanup hook has joined the thread by then.
  ~Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Grad mode, autocast and thread count of the calling thread go along. Returns the promise.
  napi_value submit(std::unique_ptr<Job> job, Instance* instance);
  // Waits until no worker of the process is inside libtorch, and lets none enter again. For the
  // main thread's 'exit' event: an atexit handler would run after the destructors of what libtorch
  // made lazily, on which a worker may still be computing.
  static void stop_all();

  // Whether a promise is open. For the JavaScript thread.
  bool busy() const { return pending_ > 0; }

 private:
  void loop();
  // Waits for the job in flight and forgets those behind it.
  static void shut_down(void* worker);
  static void settle(napi_env env, napi_value, void* context, void* data);

  napi_env env_;
  Instance* instance_ = nullptr;
  napi_threadsafe_function done_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> jobs_;
  bool stop_ = false;
  int64_t pending_ = 0;  // JavaScript thread only
  std::thread thread_;
};

}  // namespace spikenode::node
