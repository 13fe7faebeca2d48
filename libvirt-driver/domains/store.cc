#include "libvirt-driver/domains/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/log.h"
#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"
#include "libvirt-driver/xml/xml_reader.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

constexpr uint64_t kMaxFile = uint64_t{8} << 20;
constexpr std::string_view kSuffix = ".xml";
constexpr std::string_view kNotice =
    "<!--\nThis file belongs to virtlodged, which writes it anew at every change. To edit the domain:\n"
    "  virsh -c lodge:///system edit NAME\n-->\n\n";

std::string definition_path(const DriverPaths& paths, const std::string& name) {
  return fmt::format("{}/{}{}", paths.config, name, kSuffix);
}
std::string link_path(const DriverPaths& paths, const std::string& name) {
  return fmt::format("{}/autostart/{}{}", paths.config, name, kSuffix);
}
std::string status_path(const DriverPaths& paths, const std::string& name) {
  return fmt::format("{}/{}{}", paths.run, name, kSuffix);
}

// The *.xml files of a folder; what is left of a write that a crash cut short is removed.
std::vector<std::string> xml_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with('.') && name.find(".xml.") != std::string::npos) {
      ::unlink(entry.path().c_str());  // of a write that was cut short
    } else if (name.ends_with(kSuffix) && entry.is_regular_file(error)) {
      files.push_back(entry.path());
    }
  }
  return files;
}

void sync_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.valid()) {
    ::fsync(folder.get());
  }
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

template <class T>
T number_of(const XmlNode& node, std::string_view name, T otherwise) {
  const auto text = node.attribute(name);
  T value = otherwise;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), value);
  }
  return value;
}

Answer<StoredStatus> parse_status(const std::string& text) {
  const auto document = TRY(XmlDocument::parse(text, "(domain_status)", "domstatus"));
  const XmlNode root = document.root();
  StoredStatus status;
  status.starting = root.attribute("starting") == "yes";
  status.id = number_of(root, "id", -1);
  status.state = number_of(root, "state", 0);
  status.reason = number_of(root, "reason", 0);
  status.pid = number_of(root, "pid", -1);
  status.start_time = number_of<uint64_t>(root, "start-time", 0);
  status.display_pid = number_of(root, "display-pid", -1);
  status.display_start_time = number_of<uint64_t>(root, "display-start-time", 0);
  status.folder = root.attribute("folder").value_or("");
  status.log_file = root.attribute("log").value_or("");
  status.cgroup = root.attribute("cgroup").value_or("");
  status.since = number_of<int64_t>(root, "since", 0);
  const auto domain = root.child("domain");
  if (!domain) {
    return call_error(VIR_ERR_XML_ERROR, "there is no <domain> in it");
  }
  status.live = TRY(parse_domain(domain->markup(0), {.live = true}));
  status.live.id = status.id;
  return status;
}

}  // namespace

Result<void> make_folder(const std::string& path, unsigned mode) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return {};
  }
  std::filesystem::create_directories(folder_of(path), error);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return fail_errno(errno, "create the folder '{}'", path);
  }
  return {};
}

Result<void> make_folders(const DriverPaths& paths) {
  for (const std::string& path : {paths.config, paths.config + "/autostart", paths.log}) {
    TRY_VOID(make_folder(path, 0700));
  }
  for (const std::string& path : {paths.run, paths.state}) {
    TRY_VOID(make_folder(path, 0711));
  }
  return {};
}

Result<void> write_atomically(const std::string& path, std::string_view text, bool durable) {
  const std::string folder = folder_of(path);
  std::string fresh = fmt::format("{}/.{}.XXXXXX", folder, path.substr(folder.size() + 1));
  const Fd fd(::mkostemp(fresh.data(), O_CLOEXEC));
  if (!fd.valid()) {
    return fail_errno(errno, "create a file in '{}'", folder);
  }
  auto outcome = write_all(fd.get(), text);
  if (outcome && durable && ::fsync(fd.get()) != 0) {
    outcome = fail_errno(errno, "bring it to the disk");
  }
  if (outcome && ::rename(fresh.c_str(), path.c_str()) != 0) {
    outcome = fail_errno(errno, "put it in place");
  }
  if (!outcome) {
    ::unlink(fresh.c_str());
    return context(outcome.error(), fmt::format("write '{}'", path));
  }
  if (durable) {
    sync_folder(folder);
  }
  return {};
}

std::vector<StoredDefinition> load_definitions(const DriverPaths& paths) {
  std::vector<StoredDefinition> all;
  for (const std::string& path : xml_files(paths.config)) {
    const auto text = read_file(path, kMaxFile);
    auto config = text ? parse_domain(*text) : Answer<DomainConfig>(std::unexpected(CallError(text.error())));
    if (!config) {
      log_error("store", "the definition '{}' is not loaded: {}", path, config.error().message());
      continue;
    }
    if (definition_path(paths, config->name) != path) {
      log_error("store", "the definition '{}' is not loaded: it is of domain '{}'; name the file so", path, config->name);
      continue;
    }
    struct stat link{};
    const bool autostart = ::lstat(link_path(paths, config->name).c_str(), &link) == 0;
    all.push_back({std::move(*config), autostart});
  }
  return all;
}

Answer<void> save_definition(const DriverPaths& paths, const DomainConfig& config) {
  const std::string text = std::string(kNotice) + print_domain(config, {.live = false, .secure = true, .migratable = false});
  TRY_VOID(write_atomically(definition_path(paths, config.name), text, true));
  return {};
}

Answer<void> remove_definition(const DriverPaths& paths, const std::string& name) {
  if (::unlink(link_path(paths, name).c_str()) != 0 && errno != ENOENT) {
    return std::unexpected(CallError(fail_errno(errno, "remove '{}'", link_path(paths, name)).error()));
  }
  if (::unlink(definition_path(paths, name).c_str()) != 0 && errno != ENOENT) {
    return std::unexpected(CallError(fail_errno(errno, "remove '{}'", definition_path(paths, name)).error()));
  }
  sync_folder(paths.config);
  return {};
}

Answer<void> set_autostart_link(const DriverPaths& paths, const std::string& name, bool autostart) {
  const std::string link = link_path(paths, name);
  const bool done = autostart ? ::symlink(definition_path(paths, name).c_str(), link.c_str()) == 0 || errno == EEXIST
                              : ::unlink(link.c_str()) == 0 || errno == ENOENT;
  if (!done) {
    return std::unexpected(CallError(fail_errno(errno, "{} '{}'", autostart ? "create" : "remove", link).error()));
  }
  sync_folder(folder_of(link));
  return {};
}

std::vector<StoredStatus> load_statuses(const DriverPaths& paths) {
  std::vector<StoredStatus> all;
  for (const std::string& path : xml_files(paths.run)) {
    const auto text = read_file(path, kMaxFile);
    auto status = text ? parse_status(*text) : Answer<StoredStatus>(std::unexpected(CallError(text.error())));
    if (status) {
      all.push_back(std::move(*status));
    } else {
      log_error("store", "the state '{}' of a running guest cannot be read: {}", path, status.error().message());
    }
  }
  return all;
}

Result<void> save_status(const DriverPaths& paths, const StoredStatus& status) {
  XmlWriter writer;
  writer.begin("domstatus");
  writer.attribute("starting", status.starting ? "yes" : "no");
  writer.attribute("id", fmt::format("{}", status.id));
  writer.attribute("state", fmt::format("{}", status.state));
  writer.attribute("reason", fmt::format("{}", status.reason));
  writer.attribute("pid", fmt::format("{}", status.pid));
  writer.attribute("start-time", fmt::format("{}", status.start_time));
  if (status.display_pid > 0) {
    writer.attribute("display-pid", fmt::format("{}", status.display_pid));
    writer.attribute("display-start-time", fmt::format("{}", status.display_start_time));
  }
  writer.attribute("folder", status.folder);
  writer.attribute("log", status.log_file);
  writer.attribute("cgroup", status.cgroup);
  writer.attribute("since", fmt::format("{}", status.since));
  writer.raw(print_domain(status.live, {.live = true, .secure = true, .migratable = false}));
  writer.end();
  return write_atomically(status_path(paths, status.live.name), writer.str(),
                          false);  // lost with the host, as the guests are
}

void remove_stale_folders(const DriverPaths& paths, const std::vector<StoredStatus>& known) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(paths.run, error)) {
    const std::string path = entry.path();
    const std::string name = entry.path().filename();
    const bool of_a_run = name.find('-') != std::string::npos && name.find_first_not_of("0123456789") == name.find('-');
    if (of_a_run && entry.is_directory(error) &&
        std::ranges::none_of(known, [&](const StoredStatus& status) { return status.folder == path; }) &&
        !connect_unix(path + std::string(kControlSocket))) {  // somebody listens: a guest whose status file is bad
      std::filesystem::remove_all(path, error);
    }
  }
}

void remove_status(const DriverPaths& paths, const std::string& name) { ::unlink(status_path(paths, name).c_str()); }

}  // namespace lodge
