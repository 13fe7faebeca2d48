#include "libvirt-driver/domains/domain.h"

namespace lodge {

void Run::finish() {
  const std::scoped_lock lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

bool Run::wait_finished(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return finished_; });
}

Answer<Domain::Job> Domain::begin_job(const std::string& what, std::chrono::seconds patience) {
  std::unique_lock lock(mutex_);
  if (!job_free_.wait_for(lock, patience, [this] { return !job_; })) {
    return call_error(VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock (held by '{}' of domain '{}')",
                      job_->what, view_.name);
  }
  job_ = JobInfo{what, std::chrono::steady_clock::now()};
  return Job(shared_from_this());
}

std::optional<Domain::JobInfo> Domain::job() const {
  const std::scoped_lock lock(mutex_);
  return job_;
}

void Domain::end_job() {
  const std::scoped_lock lock(mutex_);
  job_.reset();
  job_free_.notify_one();
}

}  // namespace lodge
