#include "vmm/config/descriptors.h"

#include <fcntl.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "base/fd.h"

namespace lodge {
namespace {

Fd some_descriptor() { return Fd(::open("/dev/null", O_RDWR)); }

}  // namespace

TEST_CASE("descriptors of a configuration are kept from programs that are started") {
  const Fd disk = some_descriptor();
  const Fd tap = some_descriptor();
  MachineConfig config;
  config.disks.emplace_back().fd = disk.get();
  config.nets.emplace_back().fds = {tap.get()};
  REQUIRE(claim_descriptors(config));
  CHECK(::fcntl(disk.get(), F_GETFD) == FD_CLOEXEC);
  CHECK(::fcntl(tap.get(), F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("a descriptor that is closed or named twice is refused by the setting's name") {
  MachineConfig config;
  config.disks.resize(2);
  config.disks[1].fd = 999;
  CHECK(claim_descriptors(config).error().message == "disks[1].fd: descriptor 999 is not open; let this process inherit it");
  const Fd fd = some_descriptor();
  config.disks[1].fd = fd.get();
  config.boot.initrd_fd = fd.get();
  CHECK(claim_descriptors(config).error().message ==
        fmt::format("boot.initrd_fd and disks[1].fd name the same descriptor {}; pass a duplicate", fd.get()));
}

TEST_CASE("what is forgotten is no descriptor any more") {
  MachineConfig config;
  config.boot.kernel_fd = 3;
  config.kvm_fd = 4;
  config.control_fd = 5;
  config.restore_fd = 6;
  config.console.log_fd = 7;
  config.serials.emplace_back().fd = 8;
  config.nets.emplace_back().fds = {9, 10};
  config.nets[0].vhost_fds = {11};
  config.disks.emplace_back().fd = 12;
  forget_descriptors(config);
  CHECK(config.boot.kernel_fd == -1);
  CHECK(config.kvm_fd == -1);
  CHECK(config.control_fd == -1);
  CHECK(config.restore_fd == -1);
  CHECK(config.console.log_fd == -1);
  CHECK(config.serials[0].fd == -1);
  CHECK(config.nets[0].fds.empty());
  CHECK(config.nets[0].vhost_fds.empty());
  CHECK(config.disks[0].fd == -1);
}

}  // namespace lodge
