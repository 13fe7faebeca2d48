// VhostUserBackend: a vhost-user back-end on a thread of its own, at the other end of a socket pair. It maps the memory that
// it is told of and completes every chain with the length of the chain's last buffer, which it fills with 0xF5. Each of its
// answers can be replaced, for tests of what happens then.
#pragma once

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "tests/support/device_driver.h"

namespace lodge::test {

class VhostUserBackend {
 public:
  struct Header {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
  };
  static constexpr uint64_t kFeatures =
      1ULL << 32 | 1ULL << 30 | 1ULL << 29 | 1ULL << 28;  // VERSION_1, protocol, event index, indirect
  // What is sent instead of `answer` (empty: none); nothing: the connection is closed.
  using Twist = std::function<std::optional<std::string>(const Header& request, std::string answer)>;

  struct Options {
    uint64_t features = kFeatures;
    uint64_t protocol = 1 | 1 << 3;  // MQ, REPLY_ACK
    uint64_t queues = 2;
    uint64_t memory_outcome = 0;
    Twist twist = {};
  };
  explicit VhostUserBackend(Options options) : options_(std::move(options)) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      throw std::runtime_error("socketpair");
    }
    front_ = Fd(ends[0]);
    socket_ = Fd(ends[1]);
    quit_ = std::make_unique<EventFd>(must(EventFd::create()));
    thread_ = std::thread([this] { run(); });
  }
  ~VhostUserBackend() { stop(); }

  // Our end.
  Fd take_front() { return std::move(front_); }
  // The connection is closed, as by a process that ends.
  void stop() {
    quit_->signal();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  // What has been asked, "REQUEST:SIZE:DESCRIPTORS" with the first eight bytes where there are so many.
  std::vector<std::string> log() {
    const std::scoped_lock lock(mutex_);
    return log_;
  }

 private:
  struct Region {
    uint64_t guest, size, user, offset;
    std::byte* at;
  };
  struct Ring {
    uint16_t size = 0;
    uint16_t next = 0;
    uint64_t descriptors = 0, used = 0, available = 0;
    Fd kick, call;
    bool enabled = false;
  };

  void run() {
    for (;;) {
      std::vector<pollfd> waits{{socket_.get(), POLLIN, 0}, {quit_->get(), POLLIN, 0}};
      std::vector<unsigned> polled;
      for (auto& [index, ring] : rings_) {
        if (ring.kick.valid() && ring.enabled) {
          waits.push_back({ring.kick.get(), POLLIN, 0});
          polled.push_back(index);
        }
      }
      (void)::poll(waits.data(), waits.size(), -1);
      if (waits[1].revents != 0 || (waits[0].revents != 0 && !serve())) {
        break;
      }
      for (size_t i = 0; i < polled.size(); ++i) {
        Ring& ring = rings_[polled[i]];
        if (waits[2 + i].revents != 0 && ring.kick.valid()) {
          uint64_t count = 0;
          (void)!::read(ring.kick.get(), &count, sizeof count);
          complete_all(ring);
        }
      }
    }
    socket_ = Fd();
    rings_.clear();
    for (const Region& region : regions_) {
      ::munmap(region.at, region.size);
    }
  }

  std::byte* host(uint64_t address, bool guest) {
    for (const Region& region : regions_) {
      const uint64_t base = guest ? region.guest : region.user;
      if (address >= base && address - base < region.size) {
        return region.at + (address - base);
      }
    }
    throw std::runtime_error("an address outside of the memory table");
  }

  void complete_all(Ring& ring) {
    std::byte* const available = host(ring.available, false);
    std::byte* const used = host(ring.used, false);
    uint16_t index = 0;
    std::memcpy(&index, available + 2, 2);
    while (ring.next != index) {
      uint16_t head = 0;
      std::memcpy(&head, available + 4 + 2 * (ring.next % ring.size), 2);
      struct {
        uint64_t at;
        uint32_t length;
        uint16_t flags, next;
      } descriptor{};
      uint16_t at = head;
      do {
        std::memcpy(&descriptor, host(ring.descriptors, false) + 16 * at, sizeof descriptor);
        at = descriptor.next;
      } while ((descriptor.flags & 1) != 0);
      std::memset(host(descriptor.at, true), 0xF5, descriptor.length);
      const uint32_t element[2] = {head, descriptor.length};
      std::memcpy(used + 4 + 8 * (ring.next % ring.size), element, sizeof element);
      ++ring.next;
      std::memcpy(used + 2, &ring.next, 2);
    }
    const uint64_t one = 1;
    if (ring.call.valid()) {
      (void)!::write(ring.call.get(), &one, sizeof one);
    }
  }

  bool serve() {
    Header header{};
    std::array<int, 8> fds{};
    size_t count = 0;
    if (!read_message(writable_bytes_of(header), fds, count)) {
      return false;
    }
    std::vector<std::byte> body(header.size);
    size_t none = 0;
    std::array<int, 8> no_fds{};
    if (!body.empty() && !read_message(body, no_fds, none)) {
      return false;
    }
    std::vector<Fd> given;
    for (size_t i = 0; i < count; ++i) {
      given.emplace_back(fds[i]);
    }
    {
      const std::scoped_lock lock(mutex_);
      std::string line = fmt::format("{}:{}:{}", header.request, header.size, count);
      if (body.size() >= 8) {
        line += fmt::format(":{:x}", load_le<uint64_t>(body));
      }
      log_.push_back(line);
    }
    const std::optional<uint64_t> value = act(header, body, given);
    std::string answer;
    if (value) {
      const Header reply{header.request, 1 | 4, 8};
      answer.append(reinterpret_cast<const char*>(&reply), sizeof reply);
      answer.append(reinterpret_cast<const char*>(&*value), sizeof *value);
    }
    if (options_.twist) {
      const auto other = options_.twist(header, std::move(answer));
      if (!other) {
        return false;
      }
      answer = *other;
    }
    return answer.empty() || ::send(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL) >= 0;
  }

  // The whole of `to`; descriptors that come with its first byte.
  bool read_message(std::span<std::byte> to, std::array<int, 8>& fds, size_t& count) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
    iovec part{to.data(), to.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket_.get(), &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(to.size())) {
      return false;
    }
    if (const cmsghdr* const attached = CMSG_FIRSTHDR(&message); attached != nullptr) {
      count = (attached->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      std::memcpy(fds.data(), CMSG_DATA(attached), count * sizeof(int));
    }
    return true;
  }

  std::optional<uint64_t> act(const Header& header, std::span<const std::byte> body, std::vector<Fd>& fds) {
    const auto number = [&](size_t at) { return load_le<uint32_t>(body, at); };
    switch (header.request) {
      case 1: return options_.features;
      case 15: return options_.protocol;
      case 17: return options_.queues;
      case 5:
        for (size_t i = 0; i < number(0); ++i) {
          Region region{load_le<uint64_t>(body, 8 + 32 * i), load_le<uint64_t>(body, 16 + 32 * i),
                        load_le<uint64_t>(body, 24 + 32 * i), load_le<uint64_t>(body, 32 + 32 * i), nullptr};
          region.at = static_cast<std::byte*>(::mmap(nullptr, region.size, PROT_READ | PROT_WRITE, MAP_SHARED,
                                                     fds.at(i).get(), static_cast<off_t>(region.offset)));
          if (region.at == MAP_FAILED) {
            throw std::runtime_error("the memory cannot be mapped");
          }
          regions_.push_back(region);
        }
        return (header.flags & 8) != 0 ? std::optional(options_.memory_outcome) : std::nullopt;
      case 8: rings_[number(0)].size = static_cast<uint16_t>(number(4)); break;
      case 10: rings_[number(0)].next = static_cast<uint16_t>(number(4)); break;
      case 9:
        rings_[number(0)].descriptors = load_le<uint64_t>(body, 8);
        rings_[number(0)].used = load_le<uint64_t>(body, 16);
        rings_[number(0)].available = load_le<uint64_t>(body, 24);
        break;
      case 12:
        rings_[number(0) & 0xFF].kick = std::move(fds.at(0));
        rings_[number(0) & 0xFF].enabled = (options_.features & 1ULL << 30) == 0;
        break;
      case 13: rings_[number(0) & 0xFF].call = fds.empty() ? Fd() : std::move(fds.at(0)); break;
      case 18: rings_[number(0)].enabled = number(4) == 1; break;
      case 11: {
        Ring& ring = rings_[number(0)];
        const uint64_t state = number(0) | uint64_t{ring.next} << 32;
        ring = {};
        return state;
      }
      default: break;
    }
    return std::nullopt;
  }

  Options options_;
  Fd front_;
  Fd socket_;
  std::unique_ptr<EventFd> quit_;
  std::mutex mutex_;
  std::vector<std::string> log_;
  std::vector<Region> regions_;  // these two on its thread
  std::map<unsigned, Ring> rings_;
  std::thread thread_;
};

}  // namespace lodge::test
