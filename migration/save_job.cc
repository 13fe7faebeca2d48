#include "migration/save_job.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lodge {
namespace {

// A file without its final name yet; removed again unless kept.
class Draft {
 public:
  static Result<Draft> create(const std::string& path) {
    const std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
    Fd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) {
      return fail_errno(errno, "create '{}'", temporary);
    }
    return Draft(std::move(fd), temporary);
  }
  Draft(Draft&& other) noexcept : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})) {}
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    if (!path_.empty()) {
      ::unlink(path_.c_str());
    }
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // On stable storage, then under its name, then the name on stable storage.
  Result<void> publish(const std::string& path) {
    if (::fsync(fd_.get()) != 0) {
      return fail_errno(errno, "write '{}'", path_);
    }
    if (::rename(path_.c_str(), path.c_str()) != 0) {
      return fail_errno(errno, "rename '{}'", path_);
    }
    path_.clear();
    const size_t slash = path.rfind('/');
    const Fd folder(
        ::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.valid()) {
      ::fsync(folder.get());  // best effort: the file itself is safe
    }
    return {};
  }

 private:
  Draft(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
};

}  // namespace

std::unique_ptr<SaveJob> SaveJob::start(EventLoop& loop, Request request, const GuestMemory& memory,
                                        std::function<void(Result<void>)> done) {
  std::unique_ptr<SaveJob> job(new SaveJob(std::move(request), memory));
  job->thread_ = std::thread([job = job.get(), &loop, done = std::move(done)] {
    ::pthread_setname_np(::pthread_self(), "save");
    auto outcome = job->run();
    loop.post([alive = std::weak_ptr<bool>(job->alive_), done, outcome = std::move(outcome)] {
      if (!alive.expired()) {
        done(outcome);
      }
    });
  });
  return job;
}

SaveJob::~SaveJob() {
  give_up_.store(true);
  thread_.join();
}

Result<void> SaveJob::run() {
  const std::string what = fmt::format("save to '{}'", request_.path);
  struct stat info{};
  if (::lstat(request_.path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return fail("{}: what is there is not a regular file", what);
  }
  Draft draft = TRY_CONTEXT(Draft::create(request_.path), what);
  const auto progress = [this](uint64_t done, uint64_t) {
    progress_.store(done, std::memory_order_relaxed);
    return !give_up_.load(std::memory_order_relaxed);
  };
  TRY_VOID_CONTEXT(write_saved_guest(draft.fd(), request_.config, request_.records, memory_, request_.options, progress),
                   what);
  TRY_VOID_CONTEXT(draft.publish(request_.path), what);
  return {};
}

}  // namespace lodge
