#include "vmm/config/descriptors.h"

#include <fcntl.h>
#include <map>
#include <type_traits>

#include "vmm/config/fields.h"

namespace lodge {
namespace {

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

template <class Fn>
class DescriptorVisitor;

// Descriptors are the only settings of type int.
template <class Fn, class T>
void visit_descriptors(const std::string& path, T& member, Fn& fn) {
  if constexpr (std::is_same_v<T, int>) {
    fn(path, member);
  } else if constexpr (kIsVector<T>) {
    for (size_t i = 0; i < member.size(); ++i) {
      visit_descriptors(fmt::format("{}[{}]", path, i), member[i], fn);
    }
  } else if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::string>) {
    DescriptorVisitor<Fn> visitor(path, fn);
    describe(visitor, member);
  }
}

template <class Fn>
class DescriptorVisitor {
 public:
  DescriptorVisitor(std::string path, Fn& fn) : path_(std::move(path)), fn_(fn) {}
  template <class T>
  void field(std::string_view name, std::string_view, T& member, Bounds = {}) {
    visit_descriptors(path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name), member, fn_);
  }

 private:
  std::string path_;
  Fn& fn_;
};

}  // namespace

Result<void> claim_descriptors(MachineConfig& config) {
  std::map<int, std::string> claimed;
  std::string problem;
  const auto claim = [&](const std::string& path, int fd) {
    if (fd < 0 || !problem.empty()) {
      return;
    }
    const auto [other, first] = claimed.emplace(fd, path);
    if (!first) {
      problem = fmt::format("{} and {} name the same descriptor {}; pass a duplicate", other->second, path, fd);
    } else if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      problem = fmt::format("{}: descriptor {} is not open; let this process inherit it", path, fd);
    }
  };
  visit_descriptors("", config, claim);
  if (!problem.empty()) {
    return fail("{}", problem);
  }
  return {};
}

void forget_descriptors(MachineConfig& config) {
  const auto forget = [](const std::string&, int& fd) { fd = -1; };
  visit_descriptors("", config, forget);
  for (NetSettings& net : config.nets) {
    net.fds.clear();
    net.vhost_fds.clear();
  }
  config.log_limits.clear();
}

}  // namespace lodge
