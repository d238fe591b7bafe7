#include "node/worker.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include "node/autocast.h"
#include "node/instance.h"

namespace spikenode::node {
namespace {

// Counts the threads inside libtorch; closed for good when the process exits.
std::mutex& gate() {
  static std::mutex* mutex = new std::mutex;  // outlives every thread
  return *mutex;
}
bool closed = false;
int inside = 0;
std::condition_variable& left() {
  static std::condition_variable* condition = new std::condition_variable;
  return *condition;
}

bool enter() {
  std::lock_guard lock(gate());
  if (closed) return false;
  ++inside;
  return true;
}

void leave() {
  {
    std::lock_guard lock(gate());
    --inside;
  }
  left().notify_all();
}

}  // namespace

void Worker::stop_all() {
  std::unique_lock lock(gate());
  closed = true;
  left().wait(lock, [] { return inside == 0; });
}

Worker::Worker(napi_env env) : env_(env) {}

void Worker::shut_down(void* data) {
  auto* worker = static_cast<Worker*>(data);
  {
    std::lock_guard lock(worker->mutex_);
    worker->stop_ = true;
  }
  worker->wake_.notify_all();
  worker->thread_.join();
  napi_release_threadsafe_function(worker->done_, napi_tsfn_abort);
}

napi_value Worker::submit(std::unique_ptr<Job> job, Instance* instance) {
  if (done_ == nullptr) {
    napi_value name = to_js(env_, std::string("spikenode worker"));
    check(env_, napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr,
                                                nullptr, this, settle, &done_));
    instance_ = instance;
    thread_ = std::thread([this] { loop(); });
    // Hooks run last-in-first-out: added after the function's own, ours joins the thread before the
    // function is torn down.
    check(env_, napi_add_env_cleanup_hook(env_, shut_down, this));
  }
  napi_value promise = nullptr;
  check(env_, napi_create_promise(env_, &job->deferred, &promise));
  const bool grad_mode = c10::GradMode::is_enabled();
  AutocastState autocast = AutocastState::current();
  // The region may end, and its cache be emptied, before the job has run and filled it again.
  autocast.cache_enabled = false;
  const int threads = at::get_num_threads();
  job->run = [run = std::move(job->run), grad_mode, autocast, threads] {
    // Thread-local in libtorch: the job sees what its caller saw.
    c10::AutoGradMode guard(grad_mode);
    autocast.apply();
    if (at::get_num_threads() != threads) at::set_num_threads(threads);
    run();
  };
  // Keeps the event loop alive while a promise is open, and only then.
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, done_);
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return promise;
}

void Worker::loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (stop_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    if (!enter()) return;
    try {
      job->run();
    } catch (...) {
      job->failed = true;
      job->failure = current_failure(job->name);
    }
    // What the job captured (tensors, graphs) is freed here, not on the event loop.
    job->run = nullptr;
    if (napi_call_threadsafe_function(done_, job.get(), napi_tsfn_nonblocking) == napi_ok)
      static_cast<void>(job.release());
    leave();
  }
}

void Worker::settle(napi_env env, napi_value, void* context, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (env == nullptr) return;  // the environment is gone, and the promise with it
  auto* worker = static_cast<Worker*>(context);
  if (--worker->pending_ == 0) napi_unref_threadsafe_function(env, worker->done_);
  if (!job->failed) {
    try {
      napi_resolve_deferred(env, job->deferred, job->result(env));
      return;
    } catch (...) {
      job->failure = current_failure(job->name);
    }
  }
  napi_reject_deferred(
      env, job->deferred,
      make_error(env, *worker->instance_, job->failure.error_class, job->failure.message));
}

}  // namespace spikenode::node
