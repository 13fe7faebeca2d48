#include <libvirt/libvirt.h>
#include <unistd.h>

#include "libvirt-driver/host/node.h"
#include "tests/unit/libvirt-driver/host/host_tree.h"

namespace lodge {
namespace {

uint64_t ns(uint64_t ticks) { return ticks * (1000000000ULL / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK))); }

}  // namespace

TEST_CASE("nodeinfo_of_two_sockets_counts_per_node_socket_and_core") {
  const HostTree tree;
  tree.two_sockets();
  const auto info = node_info(tree.paths());
  REQUIRE(info);
  CHECK(info->model == "x86_64");
  CHECK(info->memory_kib == 3000000);  // of the cells, as libvirt sums them
  CHECK(info->cpus == 8);
  CHECK(info->mhz == 2596);
  CHECK(info->nodes == 2);
  CHECK(info->sockets == 1);
  CHECK(info->cores == 2);
  CHECK(info->threads == 2);
}

TEST_CASE("nodeinfo_with_an_offline_processor_is_one_socket_of_cores") {
  const HostTree tree;
  tree.two_sockets();
  tree.write("sys/devices/system/cpu/online", "0-6\n");
  tree.node(1, "2-3,6", 2000000, 700000, "21 10");
  tree.cpu(3, 1, 0, 1, "3");
  const auto info = node_info(tree.paths());
  REQUIRE(info);
  CHECK(info->cpus == 7);
  CHECK(info->nodes * info->sockets * info->cores * info->threads == 8);  // what clients size cpumaps by

  tree.write("sys/devices/system/cpu/present", "0-8\n");
  const auto faux = node_info(tree.paths());
  REQUIRE(faux);
  CHECK(faux->nodes == 1);
  CHECK(faux->sockets == 1);
  CHECK(faux->cores == 9);
  CHECK(faux->threads == 1);
}

TEST_CASE("nodeinfo_tells_cores_of_two_dies_apart") {
  const HostTree tree;
  tree.write("sys/devices/system/cpu/present", "0-3\n");
  tree.write("sys/devices/system/cpu/online", "0-3\n");
  for (int id = 0; id < 4; ++id) {
    tree.cpu(id, 0, id / 2, id % 2, std::to_string(id));
  }
  tree.write("proc/meminfo", "MemTotal: 500 kB\n");
  const auto info = node_info(tree.paths());
  REQUIRE(info);
  CHECK(info->cores == 4);
  CHECK(info->sockets == 1);
  CHECK(info->nodes == 1);  // no cells at all: one
  CHECK(info->memory_kib == 500);
  CHECK(info->mhz == 0);
}

TEST_CASE("nodeinfo_without_sys_counts_processors_of_proc_stat") {
  const HostTree tree;
  tree.write("proc/stat", "cpu  1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1 1\nintr 5\n");
  tree.write("proc/meminfo", "MemTotal: 500 kB\n");
  const auto info = node_info(tree.paths());
  REQUIRE(info);
  CHECK(info->cpus == 2);
  CHECK(info->cores == 2);
}

TEST_CASE("nodeinfo_of_broken_files_is_an_error_with_the_path") {
  const HostTree tree;
  tree.two_sockets();
  for (const char* bad : {"0-99999999", "x", "3-1", "0,,2", "-1", "0-"}) {
    INFO(bad);
    tree.write("sys/devices/system/cpu/present", bad);
    const auto info = node_info(tree.paths());
    REQUIRE(!info);
    CHECK(info.error().detail.find("cpu/present") != std::string::npos);
  }
}

TEST_CASE("cpu_map_has_a_bit_for_each_online_processor") {
  const HostTree tree;
  tree.two_sockets();
  tree.write("sys/devices/system/cpu/present", "0-9\n");
  tree.write("sys/devices/system/cpu/online", "0,2-7,9\n");
  const auto map = node_cpu_map(tree.paths());
  REQUIRE(map);
  CHECK(map->present == 10);
  CHECK(map->online == 8);
  CHECK(map->bitmap == std::vector<uint8_t>{0xfd, 0x02});
}

TEST_CASE("cpu_stats_sum_as_libvirt_does") {
  const HostTree tree;
  tree.two_sockets();
  const auto all = node_cpu_stats(tree.paths(), VIR_NODE_CPU_STATS_ALL_CPUS);
  REQUIRE(all);
  REQUIRE(all->size() == 4);
  CHECK((*all)[0].field == "kernel");
  CHECK((*all)[0].value == ns(42));
  CHECK((*all)[1].field == "user");
  CHECK((*all)[1].value == ns(40));
  CHECK((*all)[2].field == "idle");
  CHECK((*all)[2].value == ns(1680));
  CHECK((*all)[3].field == "iowait");
  CHECK((*all)[3].value == ns(18));
  const auto one = node_cpu_stats(tree.paths(), 1);
  REQUIRE(one);
  CHECK((*one)[2].value == ns(780));
}

TEST_CASE("cpu_stats_of_no_processor_is_an_invalid_argument") {
  const HostTree tree;
  tree.two_sockets();
  for (const int cpu : {-2, 2, 10, 12345678}) {
    const auto stats = node_cpu_stats(tree.paths(), cpu);
    REQUIRE(!stats);
    CHECK(stats.error().code == VIR_ERR_INVALID_ARG);
  }
  tree.write("proc/stat", "cpu  1 2 x\n");
  CHECK(node_cpu_stats(tree.paths(), -1).error().code == VIR_ERR_INTERNAL_ERROR);
  tree.remove("proc/stat");
  CHECK(node_cpu_stats(tree.paths(), -1).error().code == VIR_ERR_SYSTEM_ERROR);
}

TEST_CASE("nodeinfo_of_this_host_is_there") {
  const auto info = node_info({});
  REQUIRE(info);
  CHECK(info->cpus >= 1);
  CHECK(info->memory_kib > 1024);
  const auto map = node_cpu_map({});
  REQUIRE(map);
  CHECK(map->online == info->cpus);
}

}  // namespace lodge
