// Consoles and channels as streams.
#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>

#include <array>

#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

// Who is connected to what: one client at a time, unless it forces its way in.
class Users {
 public:
  // Error: OPERATION_FAILED in libvirt's words when somebody is there.
  Answer<void> enter(const std::string& device, bool force) {
    std::shared_ptr<StreamControl> old;
    {
      const std::scoped_lock lock(mutex_);
      auto& entry = users_[device];
      if (entry.taken && !force) {
        return call_error(VIR_ERR_OPERATION_FAILED, "Active console session exists for this domain");
      }
      old = entry.control.lock();
      entry = {.taken = true, .generation = entry.generation + 1, .control = {}};
    }
    if (old) {
      old->fail(CallError(VIR_ERR_OPERATION_ABORTED, "another client took the console over", VIR_FROM_STREAMS));
    }
    return {};
  }
  uint64_t generation(const std::string& device) {
    const std::scoped_lock lock(mutex_);
    return users_[device].generation;
  }
  void joined(const std::string& device, uint64_t generation, std::weak_ptr<StreamControl> control) {
    const std::scoped_lock lock(mutex_);
    if (auto& entry = users_[device]; entry.generation == generation) {
      entry.control = std::move(control);
    }
  }
  void left(const std::string& device, uint64_t generation) {
    const std::scoped_lock lock(mutex_);
    if (const auto it = users_.find(device); it != users_.end() && it->second.generation == generation) {
      it->second.taken = false;
      it->second.control.reset();
    }
  }

 private:
  struct Entry {
    bool taken = false;
    uint64_t generation = 0;
    std::weak_ptr<StreamControl> control;
  };
  std::mutex mutex_;
  std::map<std::string, Entry> users_;
};

Users& users() {
  static Users all;
  return all;
}

struct Endpoint {
  std::string name;  // "serial0"
  CharSource source;
};

// A terminal of the guest's, raw and without a controlling one; or its socket.
Result<Fd> open_endpoint(const CharSource& source) {
  if (source.type == CharType::unix_socket) {
    Fd fd = TRY(connect_unix(source.path));
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }
  Fd fd = TRY(open_file(source.path, O_RDWR | O_NOCTTY | O_NONBLOCK));
  termios settings{};
  if (::tcgetattr(fd.get(), &settings) == 0) {
    ::cfmakeraw(&settings);
    ::tcsetattr(fd.get(), TCSANOW, &settings);
  }
  return fd;
}

Answer<void> open_stream(Call& call, const DomainView& view, const Endpoint& endpoint, bool force) {
  const std::string what = fmt::format("'{}' of domain '{}'", endpoint.name, view.name);
  if (endpoint.source.type != CharType::pty && endpoint.source.type != CharType::unix_socket) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "character device {} is not using a PTY", endpoint.name);
  }
  if (endpoint.source.path.empty()) {
    return call_error(VIR_ERR_OPERATION_FAILED, "{} has no terminal yet", what);
  }
  const std::string key = fmt::format("{}/{}", print_uuid(view.uuid), endpoint.name);
  TRY_VOID(users().enter(key, force));
  const uint64_t generation = users().generation(key);
  auto fd = open_endpoint(endpoint.source);
  if (!fd) {
    users().left(key, generation);
    return std::unexpected(CallError(context(fd.error(), what).error()));
  }
  call.stream = StreamRequest{
      .fd = std::move(*fd),
      .what = what,
      .on_open = [key,
                  generation](const std::shared_ptr<StreamControl>& control) { users().joined(key, generation, control); },
      .on_closed = [key, generation] { users().left(key, generation); }};
  return {};
}

Answer<void> domain_open_console(Call& call, const DomainOpenConsoleArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_CONSOLE_FORCE | VIR_DOMAIN_CONSOLE_SAFE, "virDomainOpenConsole"));
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  std::vector<Endpoint> endpoints;
  for (const DomainConsole& console : view.live->devices.consoles) {
    endpoints.push_back({console.alias, console.source});
  }
  for (const DomainSerial& serial : view.live->devices.serials) {
    endpoints.push_back({serial.alias, serial.source});
  }
  for (const DomainParallel& parallel : view.live->devices.parallels) {
    endpoints.push_back({parallel.alias, parallel.source});
  }
  for (Endpoint& endpoint : endpoints) {
    if (!args.dev_name || *args.dev_name == endpoint.name) {
      if (endpoint.name == "console0" && !view.live->devices.serials.empty() &&
          view.live->devices.consoles.front().target != ConsoleTarget::virtio) {
        endpoint.name = view.live->devices.serials.front().alias;  // its twin: one user for both
      }
      return open_stream(call, view, endpoint, (args.flags & VIR_DOMAIN_CONSOLE_FORCE) != 0);
    }
  }
  if (args.dev_name) {
    return call_error(VIR_ERR_INVALID_ARG, "cannot find character device {}", *args.dev_name);
  }
  return call_error(VIR_ERR_INTERNAL_ERROR, "cannot find default console device; add <console type='pty'/> to domain '{}'",
                    view.name);
}

Answer<void> domain_open_channel(Call& call, const DomainOpenChannelArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_CHANNEL_FORCE, "virDomainOpenChannel"));
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  for (const DomainChannel& channel : view.live->devices.channels) {
    if (!args.name || *args.name == channel.name || *args.name == channel.alias) {
      return open_stream(call, view, {channel.alias, channel.source}, (args.flags & VIR_DOMAIN_CHANNEL_FORCE) != 0);
    }
  }
  return call_error(VIR_ERR_INVALID_ARG, "cannot find channel {}", args.name.value_or("of any name"));
}

constexpr std::array kCalls{
    bind<Proc::domain_open_console, domain_open_console>(),
    bind<Proc::domain_open_channel, domain_open_channel>(),
};

}  // namespace

Bindings console_calls() { return kCalls; }

}  // namespace lodge
