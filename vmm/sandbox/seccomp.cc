#include "vmm/kvm/kvm_abi.h"

#include "vmm/sandbox/seccomp.h"

#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#define VIRTIO_RING_NO_LEGACY 1  // its inline functions are not C++
#include <linux/vhost.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/core/char_backend.h"
#include "vmm/sandbox/bpf.h"

namespace lodge {
namespace {

constexpr int kExitStatus = 128 + SIGSYS;

// Every thread: memory, locks, time, signals, its own descriptors.
constexpr uint32_t kCommon[] = {SYS_futex,
                                SYS_read,
                                SYS_write,
                                SYS_readv,
                                SYS_writev,
                                SYS_close,
                                SYS_madvise,
                                SYS_munmap,
                                SYS_mremap,
                                SYS_brk,
                                SYS_exit,
                                SYS_exit_group,
                                SYS_gettid,
                                SYS_getpid,
                                SYS_rt_sigreturn,
                                SYS_rt_sigaction,
                                SYS_rt_sigprocmask,
                                SYS_sigaltstack,
                                SYS_eventfd2,
                                SYS_clock_gettime,
                                SYS_clock_nanosleep,
                                SYS_gettimeofday,
                                SYS_restart_syscall,
                                SYS_getrandom,
                                SYS_sched_yield,
                                SYS_sched_getaffinity,
                                SYS_set_robust_list,
                                SYS_rseq,
                                SYS_membarrier,
                                SYS_fstat,
                                SYS_lseek,
                                SYS_sendto,
                                SYS_sendmsg,
                                SYS_recvfrom,
                                SYS_recvmsg,
                                SYS_poll,
                                SYS_ppoll,
                                SYS_fcntl,
                                SYS_pread64,
                                SYS_pwrite64,
                                SYS_ftruncate};

// Threads with an event loop: queue work, character devices.
constexpr uint32_t kLoop[] = {
    SYS_io_uring_enter, SYS_io_uring_register, SYS_preadv,  SYS_pwritev, SYS_preadv2,  SYS_pwritev2,   SYS_fallocate,
    SYS_fsync,          SYS_fdatasync,         SYS_accept4, SYS_connect, SYS_shutdown, SYS_getsockopt, SYS_setsockopt,
    SYS_getsockname,    SYS_getpeername,       SYS_dup,     SYS_dup3};

// Control: save files, the control socket, ends of helper processes, threads of its own.
constexpr uint32_t kControl[] = {
    SYS_openat, SYS_newfstatat,  SYS_lstat,     SYS_stat,   SYS_statx, SYS_unlink,    SYS_unlinkat,
    SYS_rename, SYS_renameat,    SYS_renameat2, SYS_fchmod, SYS_bind,  SYS_listen,    SYS_kill,
    SYS_wait4,  SYS_waitid,      SYS_sysinfo,   SYS_getcwd, SYS_flock, SYS_getrusage, SYS_sched_setaffinity,
    SYS_open,   SYS_memfd_create};

// lodge-vnc's process for one client: a socket and libvncserver.
constexpr uint32_t kVncClient[] = {SYS_select,     SYS_pselect6,   SYS_getpeername, SYS_getsockname,
                                   SYS_getsockopt, SYS_setsockopt, SYS_shutdown,    SYS_uname};

// Its process that takes clients: it starts and ends those processes.
constexpr uint32_t kVncServer[] = {SYS_socketpair, SYS_kill,  SYS_wait4,  SYS_dup2,  SYS_close_range,
                                   SYS_newfstatat, SYS_lstat, SYS_unlink, SYS_prctl, SYS_seccomp};
constexpr uint32_t kFork = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;  // as the C library's fork() has it

constexpr uint32_t request(unsigned long number) { return static_cast<uint32_t>(number); }

// KVM_RUN first: it is most of what a vCPU thread does.
constexpr uint32_t kVcpuRequests[] = {request(KVM_RUN),
                                      request(KVM_IRQ_LINE),
                                      request(KVM_SIGNAL_MSI),
                                      request(KVM_SET_GSI_ROUTING),
                                      request(KVM_IRQFD),
                                      request(KVM_IOEVENTFD),
                                      request(KVM_GET_REGS),
                                      request(KVM_GET_SREGS),
                                      request(KVM_SET_USER_MEMORY_REGION),  // the host bridge's RAM and ROM below 1 MiB
                                      request(KVM_GET_PIT2),                // the HPET takes the 8254's interrupt
                                      request(KVM_SET_PIT2),
                                      request(KVM_NMI),
                                      request(TUNSETOFFLOAD),
                                      request(TUNSETQUEUE),
                                      request(TUNSETVNETHDRSZ),
                                      request(TCGETS),
                                      request(TCSETSF),
                                      request(VHOST_SET_FEATURES),
                                      request(VHOST_SET_MEM_TABLE)};

constexpr uint32_t kIoRequests[] = {request(KVM_IRQ_LINE),
                                    request(KVM_SIGNAL_MSI),
                                    request(KVM_SET_GSI_ROUTING),
                                    request(KVM_IRQFD),
                                    request(KVM_IOEVENTFD),
                                    request(TUNSETOFFLOAD),
                                    request(TUNSETQUEUE),
                                    request(TUNSETVNETHDRSZ),
                                    request(TCGETS),
                                    request(TCSETSF),
                                    request(VHOST_SET_FEATURES),
                                    request(VHOST_SET_MEM_TABLE),
                                    request(VHOST_SET_VRING_NUM),
                                    request(VHOST_SET_VRING_BASE),
                                    request(VHOST_GET_VRING_BASE),
                                    request(VHOST_SET_VRING_ADDR),
                                    request(VHOST_SET_VRING_KICK),
                                    request(VHOST_SET_VRING_CALL),
                                    request(VHOST_NET_SET_BACKEND),
                                    request(VHOST_VSOCK_SET_RUNNING),
                                    request(BLKGETSIZE64)};

constexpr uint32_t kControlRequests[] = {
    request(KVM_RUN), request(KVM_IRQ_LINE), request(KVM_SIGNAL_MSI), request(KVM_SET_GSI_ROUTING), request(KVM_IRQFD),
    request(KVM_IOEVENTFD), request(KVM_NMI), request(KVM_KVMCLOCK_CTRL), request(KVM_GET_REGS), request(KVM_SET_REGS),
    request(KVM_GET_SREGS), request(KVM_SET_SREGS), request(KVM_GET_FPU), request(KVM_SET_FPU), request(KVM_GET_XSAVE),
    request(KVM_SET_XSAVE), request(KVM_GET_XSAVE2), request(KVM_GET_XCRS), request(KVM_SET_XCRS),
    request(KVM_GET_DEBUGREGS), request(KVM_SET_DEBUGREGS), request(KVM_GET_MSRS), request(KVM_SET_MSRS),
    request(KVM_GET_LAPIC), request(KVM_SET_LAPIC), request(KVM_GET_MP_STATE), request(KVM_SET_MP_STATE),
    request(KVM_GET_VCPU_EVENTS), request(KVM_SET_VCPU_EVENTS), request(KVM_GET_TSC_KHZ), request(KVM_SET_TSC_KHZ),
    request(KVM_GET_IRQCHIP), request(KVM_SET_IRQCHIP), request(KVM_GET_PIT2), request(KVM_SET_PIT2), request(KVM_GET_CLOCK),
    request(KVM_SET_CLOCK), request(KVM_SET_CPUID2), request(KVM_GET_DIRTY_LOG), request(KVM_CLEAR_DIRTY_LOG),
    request(KVM_SET_USER_MEMORY_REGION), request(KVM_CHECK_EXTENSION), request(TUNSETOFFLOAD), request(TUNSETQUEUE),
    request(TUNSETVNETHDRSZ), request(TCGETS), request(TCSETS), request(TCSETSW), request(TCSETSF),
    request(VHOST_SET_FEATURES), request(VHOST_SET_MEM_TABLE), request(VHOST_SET_VRING_NUM), request(VHOST_SET_VRING_BASE),
    request(VHOST_GET_VRING_BASE), request(VHOST_SET_VRING_ADDR), request(VHOST_SET_VRING_KICK),
    request(VHOST_SET_VRING_CALL), request(VHOST_NET_SET_BACKEND), request(VHOST_VSOCK_SET_RUNNING),
    // Disks and NICs that are plugged in.
    request(VHOST_SET_OWNER), request(VHOST_GET_FEATURES), request(TUNGETIFF), request(TUNSETVNETLE), request(SIOCGIFMTU),
    request(BLKSSZGET), request(BLKPBSZGET), request(BLKIOOPT), request(BLKROGET), request(BLKGETSIZE64)};

constexpr uint32_t kDisplayRequests[] = {request(KVM_IRQ_LINE)};  // of keyboard and mouse

std::span<const uint32_t> requests_of(ThreadKind kind) {
  switch (kind) {
    case ThreadKind::control: return kControlRequests;
    case ThreadKind::vcpu: return kVcpuRequests;
    case ThreadKind::io: return kIoRequests;
    case ThreadKind::display: return kDisplayRequests;
    case ThreadKind::vnc_server:
    case ThreadKind::vnc_client: break;
  }
  return {};
}

std::vector<sock_filter> assemble(ThreadKind kind) {
  FilterProgram program;
  if (!requests_of(kind).empty()) {
    program.allow_values(SYS_ioctl, 1, requests_of(kind));
  }
  const auto add = [&program](std::span<const uint32_t> calls) {
    for (const uint32_t call : calls) {
      program.allow(call);
    }
  };
  const bool vnc = kind == ThreadKind::vnc_server || kind == ThreadKind::vnc_client;
  if (kind == ThreadKind::control || kind == ThreadKind::io) {
    add(kLoop);
    program.allow_values(SYS_socket, 0, std::array<uint32_t, 1>{AF_UNIX});
  } else if (vnc) {
    add(kVncClient);
  }
  add(kCommon);
  program.allow_without(SYS_mmap, 2, PROT_EXEC);
  program.allow_without(SYS_mprotect, 2, PROT_EXEC);
  program.allow_values(SYS_tgkill, 0, std::array<uint32_t, 1>{static_cast<uint32_t>(::getpid())});
  if (kind == ThreadKind::control) {
    add(kControl);
    // A viewer's thread enters a filter of its own.
    program.allow_values(SYS_prctl, 0, std::array<uint32_t, 2>{PR_SET_NAME, PR_SET_NO_NEW_PRIVS});
    program.allow_values(SYS_seccomp, 0, std::array<uint32_t, 1>{SECCOMP_SET_MODE_FILTER});
    program.refuse(SYS_clone3, ENOSYS);  // its flags are out of a filter's sight; the C library then uses clone
    program.allow_with(SYS_clone, 0, CLONE_THREAD);
  } else if (kind == ThreadKind::vnc_server) {
    add(kLoop);
    add(kVncServer);
    program.allow_values(SYS_clone, 0, std::array<uint32_t, 1>{kFork});
  } else {
    program.allow_values(SYS_prctl, 0, std::array<uint32_t, 1>{PR_SET_NAME});
  }
  if (kind == ThreadKind::display) {
    // The C library asks for /proc/sys/vm/overcommit_memory when a thread gives back much memory, as pictures are.
    program.refuse(SYS_openat, EACCES);
  }
  return program.finish();
}

const char* name_of(ThreadKind kind) {
  switch (kind) {
    case ThreadKind::control: return "control";
    case ThreadKind::vcpu: return "vCPU";
    case ThreadKind::io: return "I/O";
    case ThreadKind::display: return "display";
    case ThreadKind::vnc_server: return "server";
    case ThreadKind::vnc_client: return "client";
  }
  return "";
}

thread_local ThreadKind this_thread = ThreadKind::control;  // threads that control starts are of its kind

// In a signal handler, on a thread that may do little: no allocation, no lock, no formatting.
void on_forbidden_call(int, siginfo_t* info, void*) {
  char text[256];
  size_t length = 0;
  const auto add = [&](std::string_view part) {
    part = part.substr(0, sizeof text - length);
    std::memcpy(text + length, part.data(), part.size());
    length += part.size();
  };
  const auto add_number = [&](unsigned value) {
    char digits[10];
    size_t at = sizeof digits;
    do {
      digits[--at] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    add({digits + at, sizeof digits - at});
  };
  restore_stdio_terminal();
  const bool vnc = this_thread == ThreadKind::vnc_server || this_thread == ThreadKind::vnc_client;
  add(vnc ? "lodge-vnc" : "lodge-vmm");
  add(": system call ");
  add_number(static_cast<unsigned>(info->si_syscall));
  add(" is not allowed on a ");
  add(name_of(this_thread));
  add(vnc ? " process, which is ended" : " thread; the guest is ended");
  add(" (docs/threat-model.md; --seccomp off runs without the filter)\n");
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, text, length);
  ::_exit(kExitStatus);
}

Result<void> prepare_process() {
  ::tzset();  // reads a file that may not be opened later
  struct sigaction action{};
  action.sa_sigaction = on_forbidden_call;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  if (::sigaction(SIGSYS, &action, nullptr) != 0) {
    return fail_errno(errno, "handle SIGSYS");
  }
  return {};
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(LODGE_FUZZING) || defined(LODGE_NO_SANDBOX)
constexpr bool kEnabled = false;
#else
constexpr bool kEnabled = true;
#endif

}  // namespace

Result<void> enter_sandbox(ThreadKind kind) {
  if (!kEnabled) {
    return {};
  }
  static const Result<void> prepared = prepare_process();
  TRY_VOID(prepared);
  static const std::array programs{assemble(ThreadKind::control),    assemble(ThreadKind::vcpu),
                                   assemble(ThreadKind::io),         assemble(ThreadKind::display),
                                   assemble(ThreadKind::vnc_server), assemble(ThreadKind::vnc_client)};
  const std::vector<sock_filter>& program = programs.at(static_cast<size_t>(kind));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail_errno(errno, "give up new privileges");
  }
  // The kernel copies the program and does not write to it.
  const sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
    return fail_errno(errno, "install the system call filter of a {} thread; --seccomp off runs without it", name_of(kind));
  }
  this_thread = kind;
  return {};
}

}  // namespace lodge
