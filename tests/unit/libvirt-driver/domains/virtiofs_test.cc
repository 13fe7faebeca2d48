// Folders of the host in domain XML: read, filled in, printed again, told to the monitor, refused; and the daemons that
// serve them.
#include "libvirt-driver/domains/virtiofs.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "libvirt-driver/domains/guest_files.h"
#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

constexpr std::string_view kShared = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
constexpr std::string_view kPlain =
    "<filesystem><driver type='virtiofs'/><source dir='/srv'/><target dir='home'/></filesystem>";

Answer<DomainConfig> completed(std::string_view devices, std::string_view head = kShared) {
  DomainConfig config = TRY(parse_domain(
      fmt::format("<domain type='kvm'><name>m</name><memory unit='MiB'>64</memory>{}<os><type machine='microvm'>hvm</type>"
                  "<kernel>/k</kernel></os><features><acpi/></features><devices>{}</devices></domain>",
                  head, devices)));
  Defaults host;
  host.random = [](std::span<uint8_t> bytes) { std::ranges::fill(bytes, uint8_t{0xAB}); };
  TRY_VOID(complete(config, host));
  TRY_VOID(check(config));
  return config;
}

DomainConfig good(std::string_view devices) {
  auto config = completed(devices);
  INFO((config ? std::string() : config.error().message()));
  REQUIRE(config.has_value());
  return *config;
}

Answer<Json> machine_of(std::string_view devices, std::string_view head = kShared) {
  DomainConfig config = TRY(completed(devices, head));
  assign_aliases(config);
  MachineFds fds;
  fds.filesystems = {{"fs0", 8}, {"fs1", 9}};
  return machine_json(config, fds);
}

std::string refusal(std::string_view devices, std::string_view head = kShared) {
  const auto machine = machine_of(devices, head);
  REQUIRE(!machine.has_value());
  return machine.error().message();
}

// A filesystem with these children besides its source and target.
std::string with(std::string_view children, std::string_view attributes = "") {
  return fmt::format("<filesystem{}>{}<source dir='/srv'/><target dir='home'/></filesystem>", attributes, children);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Removed with all that is in it.
struct Folder {
  Folder() {
    path = (std::filesystem::temp_directory_path() / "lodge-fs-XXXXXX").string();
    REQUIRE(::mkdtemp(path.data()) != nullptr);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, std::string_view text) const { std::ofstream(path + "/" + name) << text; }
  std::string path;
};

DomainFilesystem filesystem_of(const std::string& folder) {
  DomainFilesystem filesystem;
  filesystem.alias = "fs0";
  filesystem.tag = "home";
  filesystem.folder = folder;
  return filesystem;
}

}  // namespace

TEST_CASE("a filesystem is filled in as libvirt does and printed again") {
  const DomainConfig config = good(kPlain);
  REQUIRE(config.devices.filesystems.size() == 1);
  CHECK(std::holds_alternative<PciAddress>(*config.devices.filesystems[0].address));
  const std::string printed = print_domain(config);
  CHECK(has(
      printed,
      "    <filesystem type='mount' accessmode='passthrough'>\n      <driver type='virtiofs'/>\n      <source dir='/srv'/>\n"
      "      <target dir='home'/>\n      <address type='pci'"));
  CHECK(parse_domain(printed)->devices.filesystems == config.devices.filesystems);

  const std::string all = with(
      "<driver type='virtiofs' queue='1024'/><binary path='/b' xattr='on'><cache mode='always'/><sandbox mode='chroot'/>"
      "<lock posix='on' flock='off'/><thread_pool size='16'/><openfiles max='100'/></binary>");
  const std::string again = print_domain(good(all));
  CHECK(has(again, "<lock posix='on' flock='off'/>"));
  CHECK(parse_domain(again)->devices.filesystems == good(all).devices.filesystems);
}

TEST_CASE("the monitor is told of filesystems by their connections") {
  const auto machine =
      machine_of(fmt::format("{}<filesystem type='mount'><driver type='virtiofs' queue='256'/><source socket='/s'/><target "
                             "dir='other'/></filesystem>",
                             kPlain));
  REQUIRE(machine);
  CHECK((*machine)["memory"]["backing"] == "memfd");
  const Json& list = (*machine)["filesystems"];
  REQUIRE(list.size() == 2);
  CHECK(list[0]["id"] == "fs0");
  CHECK(list[0]["tag"] == "home");
  CHECK(list[0]["socket_fd"] == 8);
  CHECK(list[0]["slot"].is_number());
  CHECK_FALSE(list[0].contains("queue_size"));
  CHECK(list[1]["socket_fd"] == 9);
  CHECK(list[1]["queue_size"] == 256);
}

TEST_CASE("filesystems that there are not are refused") {
  constexpr std::string_view kDriver = "<driver type='virtiofs'/>";
  CHECK(has(refusal(kPlain, ""), "<access mode='shared'/>"));
  CHECK(has(refusal(with("")), "/filesystem/driver/@type"));
  CHECK(has(refusal(with("<driver type='path'/>")), "driver/@type"));
  CHECK(has(refusal(with(kDriver, " type='template'")), "filesystem/@type"));
  CHECK(has(refusal(with(kDriver, " accessmode='mapped'")), "@accessmode"));
  CHECK(has(refusal(with(fmt::format("{}<readonly/>", kDriver))), "/filesystem/readonly"));
  CHECK(has(refusal(with("<driver type='virtiofs' queue='100'/>")), "power of two"));
  CHECK(has(refusal(with("<driver type='virtiofs' packed='on'/>")), "'packed'"));
  CHECK(has(refusal(fmt::format("{0}{0}", kPlain)), "specified twice"));
  CHECK(has(refusal("<filesystem><driver type='virtiofs'/><source dir='/s'/></filesystem>"), "target"));
  CHECK(has(refusal("<filesystem><driver type='virtiofs'/><target dir='t'/></filesystem>"), "either a 'dir' or a 'socket'"));
  CHECK(has(refusal("<filesystem><driver type='virtiofs'/><source dir='s'/><target dir='t'/></filesystem>"),
            "must be absolute"));
  CHECK(has(refusal(fmt::format("<filesystem><driver type='virtiofs'/><source dir='/s'/><target dir='{}'/></filesystem>",
                                std::string(37, 'x'))),
            "longer than 36 bytes"));
  CHECK(has(
      refusal("<filesystem><driver type='virtiofs'/><binary path='/b'/><source socket='/s'/><target dir='t'/></filesystem>"),
      "whoever started"));
}

TEST_CASE("a filesystem is added to a definition once and found again by its target") {
  DomainConfig config = good("");
  const auto device = parse_device(kPlain);
  REQUIRE(device);
  REQUIRE(add_device(config, *device));
  CHECK_FALSE(add_device(config, *device));
  REQUIRE(remove_device(config, *device));
  CHECK(config.devices.filesystems.empty());
}

TEST_CASE("virtiofsd is found by its description") {
  const Folder vendor;
  const Folder own;
  CHECK_FALSE(find_virtiofsd({vendor.path, own.path, "/nonexistent"}));
  vendor.write("10-gpu.json", R"({"type": "gpu", "binary": "/bin/true"})");
  vendor.write("20-broken.json", "{");
  vendor.write("30-absent.json", R"({"type": "fs", "binary": "/nonexistent/virtiofsd"})");
  vendor.write("40-other.txt", R"({"type": "fs", "binary": "/bin/false"})");
  const auto none = find_virtiofsd({vendor.path});
  REQUIRE_FALSE(none);
  CHECK(has(none.error().message(), "package virtiofsd"));
  vendor.write("50-fs.json", R"({"description": "x", "type": "fs", "binary": "/bin/sh"})");
  vendor.write("60-fs.json", R"({"type": "fs", "binary": "/bin/cat"})");
  CHECK(find_virtiofsd({vendor.path, own.path}) == "/bin/sh");
  own.write("50-fs.json", "");  // an administrator's way to hide one
  CHECK(find_virtiofsd({vendor.path, own.path}) == "/bin/cat");
}

TEST_CASE("virtiofsd is told of the folder and what the domain wants") {
  const Folder folder;
  DomainFilesystem filesystem = filesystem_of(folder.path);
  CHECK(virtiofsd_command(filesystem, "/v") == std::vector<std::string>{"/v", "--fd=3", "-o", "source=" + folder.path});
  filesystem.binary = {.path = "/v",
                       .xattr = OnOff::on,
                       .cache = FilesystemCache::none,
                       .sandbox = FilesystemSandbox::namespaces,
                       .posix_lock = OnOff::off,
                       .flock = OnOff::on,
                       .threads = 4,
                       .open_files = 99};
  CHECK(virtiofsd_command(filesystem, "/v") ==
        std::vector<std::string>{"/v", "--fd=3", "-o",
                                 "source=" + folder.path + ",cache=none,sandbox=namespace,xattr,flock,no_posix_lock",
                                 "--thread-pool-size=4", "--rlimit-nofile=99"});
  filesystem.folder = folder.path + "/nothing";
  CHECK(has(virtiofsd_command(filesystem, "/v").error().message(), "is not a folder"));
  filesystem.folder = folder.path + "/a,b";
  std::filesystem::create_directory(filesystem.folder);
  CHECK(has(virtiofsd_command(filesystem, "/v").error().message(), "comma"));
}

TEST_CASE("a daemon is connected to, written down, and ended with the run") {
  const Folder folder;
  DomainFilesystem filesystem = filesystem_of(folder.path);
  filesystem.binary.path = "/bin/sleep";
  auto ends = open_filesystem(filesystem, folder.path);
  REQUIRE(ends);
  REQUIRE(ends->server);
  CHECK(ends->server->command.front() == "/bin/sleep");
  CHECK_FALSE(std::filesystem::exists(folder.path + "/fs0.sock"));
  const Fd accepted(::accept4(ends->server->listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(accepted.valid());

  ends->server->command = {"/bin/sleep", "1000"};
  const Fd log = *open_file("/dev/null", O_WRONLY);
  std::vector<FilesystemServer> servers;
  servers.push_back(std::move(*ends->server));
  REQUIRE(start_filesystem_servers(std::move(servers), folder.path, log.get(), Cgroup()));
  const std::string record = *read_file(folder.path + "/fs0.server", 100);
  const size_t space = record.find(' ');
  REQUIRE(space != std::string::npos);
  const auto process = find_process(std::stoi(record), std::stoull(record.substr(space)));
  REQUIRE(process);
  CHECK_FALSE(wait_for_end(*process, 0));
  end_filesystem_servers(folder.path);
  CHECK(wait_for_end(*process, 0));
  end_filesystem_servers(folder.path);  // again: nothing is there any more
}

TEST_CASE("a daemon that is not there is named") {
  const Folder folder;
  DomainFilesystem filesystem = filesystem_of("");
  filesystem.socket = folder.path + "/nobody";
  const auto ends = open_filesystem(filesystem, folder.path);
  REQUIRE_FALSE(ends);
  CHECK(has(ends.error().message(), "filesystem 'home': "));
  DomainFilesystem other = filesystem_of(folder.path);
  other.binary.path = "/nonexistent/virtiofsd";
  auto opened = open_filesystem(other, folder.path);
  REQUIRE(opened);
  std::vector<FilesystemServer> servers;
  servers.push_back(std::move(*opened->server));
  const Fd log = *open_file("/dev/null", O_WRONLY);
  const auto started = start_filesystem_servers(std::move(servers), folder.path, log.get(), Cgroup());
  REQUIRE_FALSE(started);
  CHECK(has(started.error().message(), "/nonexistent/virtiofsd"));
}

}  // namespace lodge
