// A daemon of the host that does what a test says: it listens where the real one would, and reads and writes messages.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <optional>

#include "libvirt-driver/rpc/connection.h"
#include "libvirt-driver/rpc/protocol.h"

namespace lodge::forward {

using Bytes = std::vector<uint8_t>;
using rpc::MessageHeader;
using rpc::MessageStatus;
using rpc::MessageType;
using rpc::Proc;

inline MessageHeader header_of(Proc procedure, uint32_t serial, MessageType type = MessageType::call,
                               MessageStatus status = MessageStatus::ok) {
  MessageHeader header{.procedure = static_cast<int32_t>(procedure), .serial = serial};
  header.type = type;
  header.status = status;
  return header;
}

class SocketFolder {
 public:
  SocketFolder() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~SocketFolder() { std::filesystem::remove_all(path_); }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/lodge-forward-XXXXXX";
};

class FakeService {
 public:
  FakeService(const SocketFolder& folder, const std::string& name) : path_(folder.path() + "/" + name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    // SAFETY: the kernel's own way of telling kinds of addresses apart.
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
  }
  ~FakeService() { ::unlink(path_.c_str()); }
  FakeService(const FakeService&) = delete;
  FakeService& operator=(const FakeService&) = delete;

  // Accepts who waits and reads what has come; by default opens the connection as a daemon does.
  void step() {
    if (Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); client.valid()) {
      line_ = std::move(client);
      reader_ = {};
      ++connections;
    }
    while (reads && line_.valid()) {
      const auto space = reader_.space();
      const ssize_t got = ::recv(line_.get(), space.data(), space.size(), MSG_DONTWAIT);
      if (got <= 0) {
        gone = gone || got == 0;
        break;
      }
      reader_.filled(static_cast<size_t>(got));
      while (true) {
        auto frame = reader_.next();
        REQUIRE(frame);
        if (!*frame) {
          break;
        }
        take(std::move(**frame));
      }
    }
  }
  void send(const MessageHeader& header, std::span<const uint8_t> payload = {}) {
    send(*rpc::make_message(header, payload));
  }
  // Bytes as they are; false: the other side does not read.
  bool send(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(line_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        return false;
      }
      bytes = bytes.subspan(static_cast<size_t>(sent));
    }
    return true;
  }
  void answer(const rpc::Frame& call, MessageStatus status, std::span<const uint8_t> payload = {}) {
    send(header_of(static_cast<Proc>(call.header.procedure), call.header.serial, MessageType::reply, status), payload);
  }
  void hang_up() { line_ = Fd(); }

  bool reads = true;
  bool opens = true;
  int connections = 0;
  bool gone = false;
  int pings = 0;
  std::optional<rpc::ConnectOpenArgs> opened;
  std::vector<rpc::Frame> frames;  // behind the handshake

 private:
  void take(rpc::Frame frame) {
    if (frame.header.program == static_cast<uint32_t>(rpc::Program::keepalive)) {
      ++pings;
    } else if (opens && frame.header.procedure == static_cast<int32_t>(Proc::auth_list)) {
      answer(frame, MessageStatus::ok, rpc::encode(rpc::AuthListRet{}));
    } else if (opens && frame.header.procedure == static_cast<int32_t>(Proc::connect_open)) {
      opened = *rpc::decode<rpc::ConnectOpenArgs>(frame.payload);
      answer(frame, MessageStatus::ok);
    } else {
      frames.push_back(std::move(frame));
    }
  }

  std::string path_;
  Fd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  Fd line_;
  rpc::FrameReader reader_;
};

}  // namespace lodge::forward
