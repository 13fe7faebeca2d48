// Domains with UEFI: which firmware is chosen, where its variables are, what the monitor is told, what undefining does.
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "libvirt-driver/domains/boot_json.h"
#include "libvirt-driver/domains/nvram.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"

namespace lodge {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = fs::temp_directory_path() / "lodge-uefi.XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string write(const std::string& name, std::string_view text) const {
    const std::string file = path / name;
    fs::create_directories(fs::path(file).parent_path());
    const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    REQUIRE(write_all(fd.get(), text).has_value());
    return file;
  }
  fs::path path;
};

// As packages write them; `features` as they stand in the list.
std::string descriptor(std::string_view code, std::string_view features, std::string_view machines = "\"pc-i440fx-*\"",
                       std::string_view mapping = R"("device": "flash",)") {
  return fmt::format(R"({{"description": "x", "interface-types": ["uefi"],
      "mapping": {{{} "executable": {{"filename": "{}", "format": "raw"}},
                  "nvram-template": {{"filename": "{}.vars", "format": "raw"}}}},
      "targets": [{{"architecture": "x86_64", "machines": [{}]}}], "features": [{}], "tags": []}})",
                     mapping, code, code, machines, features);
}

std::vector<std::string> codes(std::span<const UefiFirmware> firmwares) {
  std::vector<std::string> found;
  for (const UefiFirmware& firmware : firmwares) {
    found.push_back(firmware.code);
  }
  return found;
}

DomainConfig domain(std::string_view firmware, std::string_view os) {
  auto config = parse_domain(fmt::format(
      "<domain type='kvm'><name>m</name><memory unit='MiB'>64</memory><os {}><type machine='pc'>hvm</type>{}</os>"
      "</domain>",
      firmware, os));
  REQUIRE(config.has_value());
  return *config;
}

const std::vector<UefiFirmware> kTwo{{"/d/10", "/one", "/one.vars", {"acpi-s3"}},
                                     {"/d/20", "/two", "/two.vars", {"verbose-dynamic"}}};

DomainConfig completed(std::string_view firmware, std::string_view os) {
  DomainConfig config = domain(firmware, os);
  REQUIRE(complete_uefi(config, kTwo, "/nv").has_value());
  return config;
}

}  // namespace

TEST_CASE("descriptors are taken in the order of their names, and only those for our pc") {
  const Folder folder;
  const std::string first = folder.path / "share";
  const std::string second = folder.path / "etc";
  folder.write("share/40-secure.json",
               descriptor("/secure", R"("secure-boot", "requires-smm")", "\"pc-q35-*\", \"pc-i440fx-*\""));
  folder.write("share/50-q35.json", descriptor("/q35", "", "\"pc-q35-*\""));
  folder.write("share/60-plain.json", descriptor("/plain", R"("acpi-s3")"));
  folder.write("share/55-other.json", descriptor("/other", ""));
  folder.write("share/56-broken.json", "{");
  folder.write("share/57-odd.json", R"({"interface-types": 3, "mapping": [], "targets": {"a": 1}})");
  folder.write("share/58-memory.json", descriptor("/memory", "", "\"pc\"", R"("device": "memory",)"));
  folder.write("share/59-stateless.json", descriptor("/bare", "", "\"pc\"", R"("device": "flash", "mode": "stateless",)"));
  folder.write("share/notes.txt", "");
  const std::vector<std::string> folders{first, second, folder.path / "nowhere"};
  CHECK(codes(installed_uefi(folders)) == std::vector<std::string>{"/other", "/plain"});
  folder.write("etc/55-other.json", "");  // hidden by the administrator
  folder.write("etc/60-plain.json", descriptor("/mine", ""));
  CHECK(codes(installed_uefi(folders)) == std::vector<std::string>{"/mine"});
}

TEST_CASE("the first firmware with the features that are wanted is chosen") {
  CHECK(completed("firmware='efi'", "").os.loader == "/one");
  CHECK(completed("firmware='efi'", "<firmware><feature enabled='no' name='acpi-s3'/></firmware>").os.loader == "/two");
  CHECK(completed("firmware='efi'", "<firmware><feature enabled='no' name='secure-boot'/></firmware>").os.loader == "/one");
  DomainConfig secure = domain("firmware='efi'", "<firmware><feature enabled='yes' name='secure-boot'/></firmware>");
  const auto outcome = complete_uefi(secure, kTwo, "/nv");
  REQUIRE(!outcome.has_value());
  CHECK(outcome.error().code == VIR_ERR_OPERATION_FAILED);
  CHECK(outcome.error().detail.starts_with("Unable to find any firmware to satisfy 'efi'"));
  DomainConfig none = domain("firmware='efi'", "");
  CHECK(!complete_uefi(none, {}, "/nv").has_value());
}

TEST_CASE("a definition is filled in as libvirt does, and stays so") {
  DomainConfig config = completed("firmware='efi'", "");
  CHECK(config.os.loader_type == "pflash");
  CHECK(config.os.loader_readonly == YesNo::yes);
  CHECK(config.os.nvram == "/nv/m_VARS.fd");
  CHECK(config.os.nvram_template == "/one.vars");
  const DomainConfig before = config;
  REQUIRE(complete_uefi(config, kTwo, "/elsewhere").has_value());
  CHECK(config == before);
  const DomainConfig by_hand = completed("", "<loader readonly='yes' type='pflash'>/two</loader>");
  CHECK(by_hand.os.nvram_template == "/two.vars");
  CHECK(by_hand.os.nvram == "/nv/m_VARS.fd");
  const DomainConfig own = completed("", "<loader type='pflash'>/x</loader><nvram template='/t'>/v</nvram>");
  CHECK(own.os.nvram == "/v");
  CHECK(own.os.nvram_template == "/t");
  const DomainConfig stateless = completed("", "<loader type='pflash' stateless='yes'>/two</loader>");
  CHECK(stateless.os.nvram.empty());
  CHECK(stateless.os.nvram_template == "/two.vars");
  const DomainConfig bios = completed("firmware='bios'", "");
  CHECK(bios.os.loader.empty());
  CHECK(bios.os.nvram.empty());
}

TEST_CASE("the monitor is told of code, variables and a kernel for UEFI") {
  const auto told = [](std::string_view os) {
    MachineFds fds;
    fds.firmware = 7;
    fds.nvram = 8;
    fds.kernel = 9;
    Json machine;
    const auto outcome = add_boot(machine, completed("firmware='efi'", os), fds);
    INFO((outcome ? std::string() : outcome.error().message()));
    REQUIRE(outcome.has_value());
    return machine;
  };
  const Json machine = told("");
  CHECK(machine["firmware"]["kind"] == "uefi");
  CHECK(machine["firmware"]["path"] == "/one");
  CHECK(machine["firmware"]["fd"] == 7);
  CHECK(machine["firmware"]["vars"] == "/nv/m_VARS.fd");
  CHECK(machine["firmware"]["vars_fd"] == 8);
  CHECK(!machine.contains("boot"));
  const Json stateless = told("<loader stateless='yes' type='pflash'>/one</loader>");
  CHECK(stateless["firmware"]["vars_template"] == "/one.vars");
  CHECK(stateless["firmware"]["vars_template_fd"] == 8);
  CHECK(!stateless["firmware"].contains("vars"));
  const Json kernel = told("<kernel>/k</kernel>");
  CHECK(kernel["boot"]["kernel_fd"] == 9);
  CHECK(kernel["firmware"]["kind"] == "uefi");
}

TEST_CASE("the file of variables is made of its template at the first start") {
  const Folder folder;
  OsConfig os;
  os.loader = "/code";
  os.nvram = folder.path / "nvram" / "m_VARS.fd";
  const auto text = [&os] { return read_file(os.nvram, 100).value_or("none"); };
  CHECK(open_nvram(os, false, std::nullopt).error().detail.starts_with("unable to find any master var store"));
  os.nvram_template = folder.path / "template";
  CHECK(!open_nvram(os, false, std::nullopt).has_value());
  CHECK(text() == "none");
  folder.write("template", "fresh");
  const Account account{.uid = ::geteuid() == 0 ? 12345 : ::geteuid(), .gid = ::getegid()};
  REQUIRE(open_nvram(os, false, account).has_value());
  CHECK(text() == "fresh");
  struct stat facts{};
  REQUIRE(::stat(os.nvram.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
  CHECK(facts.st_uid == account.uid);
  folder.write("nvram/m_VARS.fd", "used");
  REQUIRE(open_nvram(os, false, account).has_value());
  CHECK(text() == "used");
  REQUIRE(open_nvram(os, true, account).has_value());  // --reset-nvram
  CHECK(text() == "fresh");
}

TEST_CASE("a domain with variables is undefined with one of two flags") {
  const Folder folder;
  OsConfig os;
  os.nvram = folder.path / "m_VARS.fd";
  CHECK(check_undefine_nvram(os, 0).has_value());  // never started
  folder.write("m_VARS.fd", "");
  const auto refused = check_undefine_nvram(os, 0);
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == VIR_ERR_OPERATION_INVALID);
  CHECK(refused.error().detail == "cannot undefine domain with nvram");
  CHECK(!check_undefine_nvram(os, VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM).has_value());
  CHECK(check_undefine_nvram(os, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM).has_value());
  CHECK(remove_nvram(os, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM).has_value());
  CHECK(fs::exists(os.nvram));
  CHECK(check_undefine_nvram(os, VIR_DOMAIN_UNDEFINE_NVRAM).has_value());
  CHECK(remove_nvram(os, VIR_DOMAIN_UNDEFINE_NVRAM).has_value());
  CHECK(!fs::exists(os.nvram));
  CHECK(remove_nvram(os, VIR_DOMAIN_UNDEFINE_NVRAM).has_value());
}

}  // namespace lodge
