// The display server of a guest (lodge-vnc): the listening sockets that the daemon gives it, its process, and what it is
// told.
//
// The server is a process of its own beside the monitor. It needs no daemon: one that comes back finds it by its number, and
// its control socket in the run's folder. Whoever starts it makes the display channel, whose other end the monitor has.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/domains/process.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

inline constexpr std::string_view kDisplayControl = "/vnc-control.sock";  // in the folder of a run
inline constexpr std::string_view kDisplayProgram = "lodge-vnc";          // beside the monitor

// Of virtlodged.conf, for what a domain leaves open.
struct DisplayOptions {
  std::string listen = "127.0.0.1";
  std::string password;  // "": none
  int32_t port_min = 5900;
  int32_t port_max = 65535;
  bool tls = false;                                 // VNC is encrypted, for all domains
  std::string tls_folder = "/etc/pki/libvirt-vnc";  // ca-cert.pem, server-cert.pem, server-key.pem
  bool tls_verify = false;                          // clients need a certificate
};

// What a server gets of its own at its start.
struct DisplayFiles {
  std::vector<Fd> listeners;
  Fd control;
  std::vector<Fd> certificates;  // with TLS: the authority's, the server's, its key
};

// Binds what the domain's <graphics> says, and fills in what it leaves open: address, port, socket in `folder`. A port that
// is asked for and in use is an error that names it; one that is to be chosen is the first free one. With TLS the
// certificates are looked at: an error names the file and what is wrong with it. No <graphics>: nothing.
[[nodiscard]] Answer<DisplayFiles> open_display(DomainConfig& live, const std::string& folder,
                                                const DisplayOptions& options);

// The server's program and arguments. Its descriptors: the display channel is kFirstInherited, then the listeners, the
// control socket, with TLS the certificates.
[[nodiscard]] std::vector<std::string> display_command(const std::string& monitor, const DomainConfig& live,
                                                       const DisplayOptions& options, size_t listeners);

// What "set-password" is told: the domain's password, else the one of the options; null where nobody may log in.
struct DisplayPassword {
  bool required = false;
  std::optional<std::string> password;
  std::optional<int64_t> expires;  // seconds since 1970
};
[[nodiscard]] DisplayPassword password_of(const DomainGraphics& graphics, const DisplayOptions& options);

// The process of a run's server. Any thread.
class Display {
 public:
  // Takes it; one that comes too late, when the guest has ended, is ended too. False: so it was.
  [[nodiscard]] bool set(Process process);
  // -1 and 0 when there is none.
  [[nodiscard]] std::pair<pid_t, uint64_t> identity() const;
  // For waiting on its end. Error: there is none.
  [[nodiscard]] Result<Fd> watch() const;
  // It has ended: whether it may be started once more. Not, if it fails again and again.
  [[nodiscard]] bool ended();
  // The guest has ended: ends it, and all that come.
  void close();

 private:
  static void end(const Process& process);

  mutable std::mutex mutex_;
  Process process_;
  bool closed_ = false;
  int failures_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace lodge
