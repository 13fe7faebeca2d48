#include <libvirt/libvirt.h>

#include <array>

#include "libvirt-driver/host/node.h"
#include "tests/unit/libvirt-driver/host/host_tree.h"

namespace lodge {

TEST_CASE("memory_stats_of_host_and_cell") {
  const HostTree tree;
  tree.two_sockets();
  const auto all = node_memory_stats(tree.paths(), VIR_NODE_MEMORY_STATS_ALL_CELLS);
  REQUIRE(all);
  REQUIRE(all->size() == 4);
  CHECK((*all)[0].field == "total");
  CHECK((*all)[0].value == 3100000);
  CHECK((*all)[1].field == "free");
  CHECK((*all)[1].value == 1300000);
  CHECK((*all)[2].field == "buffers");
  CHECK((*all)[2].value == 1640);
  CHECK((*all)[3].field == "cached");
  CHECK((*all)[3].value == 188864);
  const auto cell = node_memory_stats(tree.paths(), 1);
  REQUIRE(cell);
  REQUIRE(cell->size() == 2);
  CHECK((*cell)[1].value == 700000);
  CHECK(node_memory_stats(tree.paths(), 2).error().code == VIR_ERR_INVALID_ARG);
  CHECK(node_memory_stats(tree.paths(), -2).error().code == VIR_ERR_INVALID_ARG);
}

TEST_CASE("free_memory_is_summed_over_cells_and_told_in_bytes") {
  const HostTree tree;
  tree.two_sockets();
  CHECK(node_free_memory(tree.paths()).value() == 1300000ULL * 1024);
  CHECK(node_cells_free_memory(tree.paths(), 0, 8).value() == std::vector<uint64_t>{600000ULL * 1024, 700000ULL * 1024});
  CHECK(node_cells_free_memory(tree.paths(), 1, 1).value() == std::vector<uint64_t>{700000ULL * 1024});
  CHECK(node_cells_free_memory(tree.paths(), 2, 1).error().code == VIR_ERR_INVALID_ARG);
  CHECK(node_cells_free_memory(tree.paths(), 0, 0).error().code == VIR_ERR_INVALID_ARG);
}

TEST_CASE("free_memory_without_cells_is_the_hosts") {
  const HostTree tree;
  tree.write("proc/meminfo", "MemTotal: 500 kB\nMemFree: 40 kB\n");
  CHECK(node_free_memory(tree.paths()).value() == 40 * 1024);
  CHECK(node_cells_free_memory(tree.paths(), 0, 3).value() == std::vector<uint64_t>{40 * 1024});
  tree.write("proc/meminfo", "MemTotal: 500 kB\n");
  const auto none = node_free_memory(tree.paths());
  REQUIRE(!none);
  CHECK(none.error().detail.find("MemFree") != std::string::npos);
}

TEST_CASE("free_pages_are_told_by_cell_then_size") {
  const HostTree tree;
  tree.two_sockets();
  tree.pool("sys/devices/system/node/node1", 2048, "9", "8");
  const std::array<uint32_t, 3> sizes{4, 2048, 1048576};
  CHECK(node_free_pages(tree.paths(), sizes, 0, 2).value() == std::vector<uint64_t>{150000, 3, 0, 175000, 8, 0});
  CHECK(node_free_pages(tree.paths(), sizes, 1, 99).value() == std::vector<uint64_t>{175000, 8, 0});
  CHECK(node_free_pages(tree.paths(), sizes, -1, 1).value() == std::vector<uint64_t>{325000, 3, 0});
  const std::array<uint32_t, 1> odd{64};
  const auto missing = node_free_pages(tree.paths(), odd, 0, 1);
  REQUIRE(!missing);
  CHECK(missing.error().code == VIR_ERR_OPERATION_FAILED);
  CHECK(missing.error().detail.find("64 KiB") != std::string::npos);
  CHECK(node_free_pages(tree.paths(), sizes, 2, 1).error().code == VIR_ERR_INVALID_ARG);
  CHECK(node_free_pages(tree.paths(), sizes, 0, 0).error().code == VIR_ERR_INVALID_ARG);
}

TEST_CASE("page_pools_are_added_to_or_set") {
  const HostTree tree;
  tree.two_sockets();
  const std::array<PagePool, 1> two{PagePool{2048, 2}};
  CHECK(node_alloc_pages(tree.paths(), two, 0, 2, VIR_NODE_ALLOC_PAGES_ADD).value() == 2);
  CHECK(tree.read("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages") == "6\n");
  CHECK(tree.read("sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages") == "6\n");
  CHECK(node_alloc_pages(tree.paths(), two, -1, 1, VIR_NODE_ALLOC_PAGES_SET).value() == 1);
  CHECK(tree.read("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "2\n");
}

TEST_CASE("page_pools_that_cannot_be_changed_say_why") {
  const HostTree tree;
  tree.two_sockets();
  const std::array<PagePool, 1> own{PagePool{4, 2}};
  CHECK(node_alloc_pages(tree.paths(), own, 0, 1, 0).error().code == VIR_ERR_OPERATION_INVALID);
  const std::array<PagePool, 1> odd{PagePool{16, 2}};
  CHECK(node_alloc_pages(tree.paths(), odd, 0, 1, 0).error().code == VIR_ERR_OPERATION_FAILED);
  const std::array<PagePool, 1> many{PagePool{2048, UINT64_MAX}};
  CHECK(node_alloc_pages(tree.paths(), many, 0, 1, 0).error().code == VIR_ERR_OVERFLOW);
  CHECK(node_alloc_pages(tree.paths(), many, 0, 1, 2).error().code == VIR_ERR_INVALID_ARG);
  CHECK(node_alloc_pages(tree.paths(), many, 5, 1, 0).error().code == VIR_ERR_INVALID_ARG);
}

TEST_CASE("memory_parameters_are_typed_and_ordered_as_libvirts") {
  const HostTree tree;
  const char* files[] = {"pages_to_scan",  "sleep_millisecs", "pages_shared", "pages_sharing",
                         "pages_unshared", "pages_volatile",  "full_scans",   "merge_across_nodes"};
  CHECK(node_memory_parameters(tree.paths()).value().empty());
  for (const char* file : files) {
    tree.write(std::string("sys/kernel/mm/ksm/") + file, std::string(file) == "pages_to_scan" ? "100\n" : "7\n");
  }
  const auto parameters = node_memory_parameters(tree.paths()).value();
  REQUIRE(parameters.size() == 8);
  for (size_t i = 0; i < 8; ++i) {
    CHECK(parameters[i].field == std::string("shm_") + files[i]);
    CHECK(std::holds_alternative<uint32_t>(parameters[i].value) == (i < 2 || i == 7));
  }
  CHECK(std::get<uint32_t>(parameters[0].value) == 100);
}

TEST_CASE("memory_parameters_are_set_together_or_not_at_all") {
  const HostTree tree;
  tree.write("sys/kernel/mm/ksm/pages_to_scan", "100\n");
  const std::array<NodeParameter, 1> good{NodeParameter{"shm_pages_to_scan", uint32_t{200}}};
  CHECK(set_node_memory_parameters(tree.paths(), good));
  CHECK(tree.read("sys/kernel/mm/ksm/pages_to_scan") == "200\n");
  for (const auto& bad : {NodeParameter{"shm_pages_shared", uint64_t{1}}, NodeParameter{"shm_pages_to_scan", uint64_t{1}},
                          NodeParameter{"nonsense", uint32_t{1}}}) {
    const std::array<NodeParameter, 2> both{NodeParameter{"shm_pages_to_scan", uint32_t{5}}, bad};
    const auto set = set_node_memory_parameters(tree.paths(), both);
    REQUIRE(!set);
    CHECK(set.error().code == VIR_ERR_INVALID_ARG);
  }
  const std::array<NodeParameter, 2> absent{good[0], NodeParameter{"shm_sleep_millisecs", uint32_t{5}}};
  CHECK(set_node_memory_parameters(tree.paths(), absent).error().code == VIR_ERR_OPERATION_INVALID);
  CHECK(tree.read("sys/kernel/mm/ksm/pages_to_scan") == "200\n");
}

}  // namespace lodge
