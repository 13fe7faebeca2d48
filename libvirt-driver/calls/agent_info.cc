// What the guest's agent tells of the guest as typed parameters, and the keys that it keeps.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr size_t kMostParams = 2000;  // of the 2048 that the protocol takes
constexpr uint32_t kAllTypes = VIR_DOMAIN_GUEST_INFO_USERS | VIR_DOMAIN_GUEST_INFO_OS | VIR_DOMAIN_GUEST_INFO_TIMEZONE |
                               VIR_DOMAIN_GUEST_INFO_HOSTNAME | VIR_DOMAIN_GUEST_INFO_FILESYSTEM |
                               VIR_DOMAIN_GUEST_INFO_DISKS | VIR_DOMAIN_GUEST_INFO_INTERFACES;

void add_text(Params& params, const std::string& name, const std::string& value) {
  if (!value.empty()) {
    params.push_back(text_param(name, value));
  }
}

// "PREFIX.count", and `add` for each with its own prefix.
template <class Add>
void add_list(Params& params, const std::string& prefix, const std::vector<Json>& list, Add add) {
  const size_t count = params.size();
  params.push_back(uint_param(prefix + ".count", 0));
  uint32_t number = 0;
  for (const Json& one : list) {
    if (params.size() > kMostParams) {
      break;
    }
    add(fmt::format("{}.{}.", prefix, number), one);
    ++number;
  }
  params[count] = uint_param(prefix + ".count", number);
}

void add_users(Params& params, const DomainView&, const Json& answer) {
  add_list(params, "user", objects_in(answer), [&](const std::string& prefix, const Json& user) {
    params.push_back(text_param(prefix + "name", text_in(user, "user")));
    add_text(params, prefix + "domain", text_in(user, "domain"));
    const auto login = user.find("login-time");
    const double seconds = login != user.end() && login->is_number() ? login->get<double>() : 0;
    params.push_back(ullong_param(prefix + "login-time", static_cast<uint64_t>(std::clamp(seconds, 0.0, 1e15) * 1000)));
  });
}

void add_os(Params& params, const DomainView&, const Json& answer) {
  for (const char* key : {"id", "name", "pretty-name", "version", "version-id", "machine", "variant", "variant-id",
                          "kernel-release", "kernel-version"}) {
    add_text(params, fmt::format("os.{}", key), text_in(answer, key));
  }
}

void add_timezone(Params& params, const DomainView&, const Json& answer) {
  add_text(params, "timezone.name", text_in(answer, "zone"));
  params.push_back(int_param("timezone.offset", static_cast<int32_t>(integer_in<int64_t>(answer, "offset"))));
}

void add_hostname(Params& params, const DomainView&, const Json& answer) {
  add_text(params, "hostname", text_in(answer, "host-name"));
}

void add_file_systems(Params& params, const DomainView& view, const Json& answer) {
  add_list(params, "fs", objects_in(answer), [&](const std::string& prefix, const Json& fs) {
    params.push_back(text_param(prefix + "mountpoint", text_in(fs, "mountpoint")));
    params.push_back(text_param(prefix + "name", text_in(fs, "name")));
    params.push_back(text_param(prefix + "fstype", text_in(fs, "type")));
    for (const char* key : {"total-bytes", "used-bytes"}) {
      if (fs.contains(key)) {
        params.push_back(
            ullong_param(prefix + key, static_cast<uint64_t>(std::max<int64_t>(0, integer_in<int64_t>(fs, key)))));
      }
    }
    add_list(params, prefix + "disk", objects_in(fs, "disk"), [&](const std::string& inner, const Json& disk) {
      add_text(params, inner + "alias", disk_target(view, disk));
      add_text(params, inner + "serial", text_in(disk, "serial"));
      add_text(params, inner + "device", text_in(disk, "dev"));
    });
  });
}

void add_disks(Params& params, const DomainView& view, const Json& answer) {
  add_list(params, "disk", objects_in(answer), [&](const std::string& prefix, const Json& disk) {
    params.push_back(text_param(prefix + "name", text_in(disk, "name")));
    params.push_back(bool_param(prefix + "partition", flag_in(disk, "partition")));
    if (const auto it = disk.find("dependencies"); it != disk.end() && it->is_array()) {
      uint32_t number = 0;
      for (const Json& name : *it) {
        if (name.is_string() && params.size() < kMostParams) {
          params.push_back(text_param(fmt::format("{}dependency.{}.name", prefix, number++), name.get<std::string>()));
        }
      }
      params.push_back(uint_param(prefix + "dependency.count", number));
    }
    if (const auto address = disk.find("address"); address != disk.end() && address->is_object()) {
      add_text(params, prefix + "serial", text_in(*address, "serial"));
      add_text(params, prefix + "alias", disk_target(view, *address));
      add_text(params, prefix + "guest_bus", text_in(*address, "bus-type"));
    }
    add_text(params, prefix + "guest_alias", text_in(disk, "alias"));
  });
}

void add_interfaces(Params& params, const DomainView&, const Json& answer) {
  add_list(params, "if", objects_in(answer), [&](const std::string& prefix, const Json& interface) {
    params.push_back(text_param(prefix + "name", text_in(interface, "name")));
    add_text(params, prefix + "hwaddr", text_in(interface, "hardware-address"));
    add_list(params, prefix + "addr", objects_in(interface, "ip-addresses"),
             [&](const std::string& inner, const Json& address) {
               params.push_back(text_param(inner + "type", text_in(address, "ip-address-type")));
               params.push_back(text_param(inner + "addr", text_in(address, "ip-address")));
               params.push_back(uint_param(inner + "prefix", static_cast<uint32_t>(integer_in<int64_t>(address, "prefix"))));
             });
  });
}

struct InfoType {
  uint32_t flag;
  const char* command;
  void (*add)(Params&, const DomainView&, const Json&);
};
constexpr std::array kTypes{
    InfoType{VIR_DOMAIN_GUEST_INFO_USERS, "guest-get-users", add_users},
    InfoType{VIR_DOMAIN_GUEST_INFO_OS, "guest-get-osinfo", add_os},
    InfoType{VIR_DOMAIN_GUEST_INFO_TIMEZONE, "guest-get-timezone", add_timezone},
    InfoType{VIR_DOMAIN_GUEST_INFO_HOSTNAME, "guest-get-host-name", add_hostname},
    InfoType{VIR_DOMAIN_GUEST_INFO_FILESYSTEM, "guest-get-fsinfo", add_file_systems},
    InfoType{VIR_DOMAIN_GUEST_INFO_DISKS, "guest-get-disks", add_disks},
    InfoType{VIR_DOMAIN_GUEST_INFO_INTERFACES, "guest-network-get-interfaces", add_interfaces},
};

// Without types: all that the agent can tell.
Answer<DomainGetGuestInfoRet> domain_get_guest_info(Call& call, const DomainGetGuestInfoArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainGetGuestInfo"));
  if ((args.types & ~kAllTypes) != 0) {
    return call_error(VIR_ERR_INVALID_ARG, "unsupported guest information types '0x{:x}'", args.types & ~kAllTypes);
  }
  const DomainView view = TRY(find(call, args.dom))->view();
  Params params;
  for (const InfoType& type : kTypes) {
    if (args.types != 0 && (args.types & type.flag) == 0) {
      continue;
    }
    const auto answer = agent_command(view, {{"execute", type.command}}, view.run ? view.run->agent_timeout.load() : -1);
    if (answer) {
      type.add(params, view, *answer);
    } else if (args.types != 0 || answer.error().code != VIR_ERR_INTERNAL_ERROR) {
      return std::unexpected(answer.error());
    }
  }
  DomainGetGuestInfoRet reply;
  params.resize(std::min<size_t>(params.size(), 2048));
  reply.params.assign(params.begin(), params.end());
  return reply;
}

Answer<DomainAuthorizedSshKeysGetRet> domain_authorized_ssh_keys_get(Call& call,
                                                                     const DomainAuthorizedSshKeysGetArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainAuthorizedSSHKeysGet"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const Json answer =
      TRY(agent_command(view, {{"execute", "guest-ssh-get-authorized-keys"}, {"arguments", {{"username", args.user}}}},
                        view.run ? view.run->agent_timeout.load() : -1));
  DomainAuthorizedSshKeysGetRet reply;
  if (const auto keys = answer.find("keys"); keys != answer.end() && keys->is_array()) {
    for (const Json& key : *keys) {
      if (key.is_string() && reply.keys.size() < 2048) {
        reply.keys.push_back(key.get<std::string>());
      }
    }
  }
  return reply;
}

Answer<void> domain_authorized_ssh_keys_set(Call& call, const DomainAuthorizedSshKeysSetArgs& args) {
  constexpr uint32_t kAppend = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND;
  constexpr uint32_t kRemove = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;
  TRY_VOID(check_flags(args.flags, kAppend | kRemove, "virDomainAuthorizedSSHKeysSet"));
  if (args.flags == (kAppend | kRemove)) {
    return call_error(VIR_ERR_INVALID_ARG, "append and remove exclude each other");
  }
  if (args.keys.empty() && args.flags != 0) {
    return call_error(VIR_ERR_INVALID_ARG, "there are no keys to append or remove");
  }
  const DomainView view = TRY(find(call, args.dom))->view();
  const bool remove = args.flags == kRemove;
  Json arguments{{"username", args.user}, {"keys", std::vector<std::string>(args.keys.begin(), args.keys.end())}};
  if (!remove) {
    arguments["reset"] = args.flags != kAppend;
  }
  const char* command = remove ? "guest-ssh-remove-authorized-keys" : "guest-ssh-add-authorized-keys";
  TRY(agent_command(view, {{"execute", command}, {"arguments", arguments}}, view.run ? view.run->agent_timeout.load() : -1));
  return {};
}

constexpr std::array kCalls{
    bind<Proc::domain_get_guest_info, domain_get_guest_info>(),
    bind<Proc::domain_authorized_ssh_keys_get, domain_authorized_ssh_keys_get>(),
    bind<Proc::domain_authorized_ssh_keys_set, domain_authorized_ssh_keys_set>(),
};

}  // namespace

Bindings agent_info_calls() { return kCalls; }

}  // namespace lodge
