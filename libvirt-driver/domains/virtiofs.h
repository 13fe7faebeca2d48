// Virtiofsd: the daemons of the host that serve a domain's folders, a process beside the monitor for each. Such a daemon
// ends by itself when the monitor does, which holds the other end of its only connection; its number is in the run's folder
// all the same, so that whoever clears up after a guest, also a later virtlodged, ends it. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libvirt-driver/domains/cgroup.h"
#include "libvirt-driver/domains/process.h"
#include "libvirt-driver/xml/domain_devices.h"

namespace lodge {

// Where packages describe vhost-user daemons in JSON; a file of a later folder takes the place of one with its name.
[[nodiscard]] std::vector<std::string> vhost_user_folders();
// The first daemon for filesystems that is described there, by the files' names. Error: what to install.
[[nodiscard]] Answer<std::string> find_virtiofsd(const std::vector<std::string>& folders = vhost_user_folders());

// One that is to be started. Its listening socket is kFirstInherited.
struct FilesystemServer {
  std::string alias;
  std::vector<std::string> command;
  Fd listener;
};
struct FilesystemEnds {
  Fd monitor;                              // a connection to whoever serves it
  std::optional<FilesystemServer> server;  // none: somebody else has started it
};
// The program's arguments.
[[nodiscard]] Answer<std::vector<std::string>> virtiofsd_command(const DomainFilesystem& filesystem,
                                                                 const std::string& program);
// Connects, to the socket that the domain names or to a new one in `folder`. Errors name the filesystem's target.
[[nodiscard]] Answer<FilesystemEnds> open_filesystem(const DomainFilesystem& filesystem, const std::string& folder);
// Starts them; what they say goes to `log`. What has been started before an error is ended by end_filesystem_servers().
[[nodiscard]] Answer<void> start_filesystem_servers(std::vector<FilesystemServer> servers, const std::string& folder,
                                                    int log, const Cgroup& cgroup);
// Ends those of a run's folder that are still there.
void end_filesystem_servers(const std::string& folder);

}  // namespace lodge
