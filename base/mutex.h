// A mutex that clang's thread-safety analysis understands. libstdc++'s own is not annotated.
#pragma once

#include <mutex>

#if defined(__clang__)
#define LODGE_TSA(x) __attribute__((x))
#else
#define LODGE_TSA(x)
#endif

#define GUARDED_BY(m) LODGE_TSA(guarded_by(m))
#define REQUIRES(...) LODGE_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LODGE_TSA(locks_excluded(__VA_ARGS__))

namespace lodge {

class LODGE_TSA(capability("mutex")) Mutex {
 public:
  void lock() LODGE_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() LODGE_TSA(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class LODGE_TSA(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) LODGE_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() LODGE_TSA(release_capability()) { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace lodge
