// A /proc, /sys and /etc made in a temporary folder.
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "libvirt-driver/host/paths.h"

namespace lodge {

class HostTree {
 public:
  HostTree() { REQUIRE(::mkdtemp(root_.data()) != nullptr); }
  HostTree(const HostTree&) = delete;
  HostTree& operator=(const HostTree&) = delete;
  ~HostTree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  // write("sys/devices/system/cpu/present", "0-3\n")
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = std::filesystem::path(root_) / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  [[nodiscard]] std::string read(const std::string& path) const {
    std::ifstream file(std::filesystem::path(root_) / path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void remove(const std::string& path) const { std::filesystem::remove_all(std::filesystem::path(root_) / path); }

  // A processor that is online.
  void cpu(int id, int socket, int die, int core, const std::string& siblings) const {
    const std::string dir = "sys/devices/system/cpu/cpu" + std::to_string(id) + "/topology/";
    write(dir + "physical_package_id", std::to_string(socket) + "\n");
    write(dir + "die_id", std::to_string(die) + "\n");
    write(dir + "core_id", std::to_string(core) + "\n");
    write(dir + "thread_siblings_list", siblings + "\n");
  }
  void node(int id, const std::string& cpus, uint64_t total_kib, uint64_t free_kib, const std::string& distance) const {
    const std::string number = std::to_string(id);
    const std::string dir = "sys/devices/system/node/node" + number + "/";
    write(dir + "cpulist", cpus + "\n");
    write(dir + "meminfo", "Node " + number + " MemTotal:       " + std::to_string(total_kib) + " kB\nNode " + number +
                               " MemFree:        " + std::to_string(free_kib) + " kB\n");
    write(dir + "distance", distance + "\n");
  }
  void pool(const std::string& place, int size_kib, const std::string& pages, const std::string& free) const {
    const std::string dir = place + "/hugepages/hugepages-" + std::to_string(size_kib) + "kB/";
    write(dir + "nr_hugepages", pages + "\n");
    write(dir + "free_hugepages", free + "\n");
  }

  // Two sockets, each a cell with two cores of two threads; pools of 2 MiB and 1 GiB pages.
  void two_sockets() const {
    write("sys/devices/system/cpu/present", "0-7\n");
    write("sys/devices/system/cpu/online", "0-7\n");
    for (int id = 0; id < 8; ++id) {
      const int core = id % 4;  // 0-3 are the first threads
      cpu(id, core / 2, 0, core % 2, std::to_string(core) + "," + std::to_string(core + 4));
    }
    write("sys/devices/system/node/online", "0-1\n");
    node(0, "0-1,4-5", 1000000, 600000, "10 21");
    node(1, "2-3,6-7", 2000000, 700000, "21 10");
    for (const char* place : {"sys/kernel/mm", "sys/devices/system/node/node0", "sys/devices/system/node/node1"}) {
      pool(place, 2048, "4", "3");
      pool(place, 1048576, "0", "0");
    }
    write("proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2596.138\n\nprocessor\t: 1\ncpu MHz\t\t: 1200.0\n");
    write("proc/meminfo",
          "MemTotal:        3100000 kB\nMemFree:         1300000 kB\nMemAvailable:    2000000 kB\nBuffers:            1640 "
          "kB\nCached:           188864 kB\nSwapCached:            7 kB\n");
    write("proc/stat", "cpu  36 4 39 1680 18 1 2 11 158 0\ncpu0 10 2 20 900 3 0 1 5 86 0\ncpu1 26 2 19 780 15 1 1 6 72 0\n");
  }

  [[nodiscard]] HostPaths paths() const {
    return {root_ + "/proc", root_ + "/sys", root_ + "/etc", root_ + "/cpu_map", root_ + "/kvm", root_ + "/state"};
  }
  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  std::string root_ = (std::filesystem::temp_directory_path() / "lodge-host-XXXXXX").string();
};

}  // namespace lodge
