#include "vmm/machine/vcpu_thread.h"

#include <pthread.h>
#include <unistd.h>
#include <csignal>
#include <cstring>

#include "base/bytes.h"
#include "base/log.h"

namespace lodge {
namespace {

int kick_signal() { return SIGRTMIN; }

}  // namespace

void VcpuThread::install_kick_signal() {
  struct sigaction action{};
  action.sa_handler = [](int) {};  // the interruption is all that is wanted; no SA_RESTART
  sigemptyset(&action.sa_mask);
  ::sigaction(kick_signal(), &action, nullptr);
}

VcpuThread::VcpuThread(uint32_t index, std::unique_ptr<KvmVcpu> vcpu, Bus& mmio, Bus& pio, Hooks hooks)
    : index_(index), vcpu_(std::move(vcpu)), mmio_(mmio), pio_(pio), hooks_(std::move(hooks)) {}

VcpuThread::~VcpuThread() { stop(); }

void VcpuThread::start() {
  thread_ = std::thread([this] { main(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return parked_; });
}

void VcpuThread::ask(Want want) {
  const std::scoped_lock lock(mutex_);
  if (want_ == Want::quit) {
    return;
  }
  want_ = want;
  if (want != Want::run) {
    vcpu_->request_exit(true);
    if (thread_.joinable() && !parked_ && thread_.get_id() != std::this_thread::get_id()) {
      ::pthread_kill(thread_.native_handle(), kick_signal());
    }
  }
  changed_.notify_all();
}

void VcpuThread::request_pause() { ask(Want::park); }

void VcpuThread::wait_parked() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return parked_ || !thread_.joinable(); });
}

void VcpuThread::resume() { ask(Want::run); }

void VcpuThread::stop() {
  if (thread_.joinable()) {
    ask(Want::quit);
    thread_.join();
  }
}

void VcpuThread::main() {
  ::pthread_setname_np(::pthread_self(), fmt::format("vcpu{}", index_).c_str());
  thread_id_ = ::gettid();
  if (hooks_.on_thread_start) {
    hooks_.on_thread_start();
  }
  std::unique_lock lock(mutex_);
  for (;;) {
    parked_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return want_ != Want::park; });
    if (want_ == Want::quit) {
      return;
    }
    parked_ = false;
    vcpu_->request_exit(false);
    lock.unlock();
    run_until_asked();
    // An access that was just handled is still to be completed by KVM; without that, saved registers would be wrong.
    vcpu_->request_exit(true);
    (void)run();
    lock.lock();
  }
}

// What the guest wrote before it left comes first.
int VcpuThread::run() {
  const int rc = vcpu_->run();
  if (coalesced_ != nullptr && coalesced_->pending()) {
    coalesced_->flush(index_);
  }
  return rc;
}

void VcpuThread::run_until_asked() {
  while (want_.load(std::memory_order_acquire) == Want::run) {
    const int rc = run();
    if (rc == 0) {
      exits_.fetch_add(1, std::memory_order_relaxed);
      handle_exit();
    } else if (rc != -EINTR && rc != -EAGAIN) {
      fault(Fault::internal_error, fmt::format("KVM_RUN: {}", std::strerror(-rc)));
    }
  }
}

void VcpuThread::fault(Fault kind, std::string what) {
  request_pause();
  hooks_.on_fault(index_, kind, std::move(what));
}

void VcpuThread::handle_exit() {
  const kvm_run& page = vcpu_->page();
  switch (page.exit_reason) {
    case KVM_EXIT_IO: handle_io(); return;
    case KVM_EXIT_MMIO: handle_mmio(); return;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_HLT: return;
    case KVM_EXIT_SHUTDOWN: fault(Fault::triple_fault, vcpu_->describe_registers()); return;
    case KVM_EXIT_SYSTEM_EVENT:
      fault(Fault::internal_error, fmt::format("system event {}; {}", page.system_event.type, vcpu_->describe_registers()));
      return;
    case KVM_EXIT_INTERNAL_ERROR:
      fault(Fault::internal_error,
            fmt::format("KVM internal error, suberror {}; {}", page.internal.suberror, vcpu_->describe_registers()));
      return;
    case KVM_EXIT_FAIL_ENTRY:
      fault(Fault::entry_failed, fmt::format("the processor refused to enter the guest, reason {:#x}; {}",
                                             page.fail_entry.hardware_entry_failure_reason, vcpu_->describe_registers()));
      return;
    default:
      fault(Fault::internal_error, fmt::format("unknown KVM exit {}; {}", page.exit_reason, vcpu_->describe_registers()));
      return;
  }
}

void VcpuThread::handle_io() {
  kvm_run& page = vcpu_->page();
  // SAFETY: the kernel puts `count` items of `size` bytes at data_offset inside the run page.
  auto* data = reinterpret_cast<std::byte*>(&page) + page.io.data_offset;
  const uint8_t size = page.io.size;
  for (uint32_t i = 0; i < page.io.count; ++i, data += size) {
    uint64_t value = 0;
    if (page.io.direction == KVM_EXIT_IO_OUT) {
      std::memcpy(&value, data, size);
      if (!pio_.write(page.io.port, size, index_, value)) {
        unclaimed_.fetch_add(1, std::memory_order_relaxed);
      }
    } else {
      if (!pio_.read(page.io.port, size, index_, value)) {
        value = UINT64_MAX;
        unclaimed_.fetch_add(1, std::memory_order_relaxed);
      }
      std::memcpy(data, &value, size);
    }
  }
}

void VcpuThread::handle_mmio() {
  kvm_run& page = vcpu_->page();
  // KVM splits what crosses pages, but may hand over 3, 5, 6 or 7 bytes; devices see powers of two.
  uint64_t address = page.mmio.phys_addr;
  uint8_t* data = page.mmio.data;
  uint32_t left = page.mmio.len;
  while (left > 0) {
    const auto size = static_cast<uint8_t>(left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1);
    uint64_t value = 0;
    if (page.mmio.is_write != 0) {
      std::memcpy(&value, data, size);
      if (!mmio_.write(address, size, index_, value)) {
        unclaimed_.fetch_add(1, std::memory_order_relaxed);
      }
    } else {
      if (!mmio_.read(address, size, index_, value)) {
        value = UINT64_MAX;
        unclaimed_.fetch_add(1, std::memory_order_relaxed);
      }
      std::memcpy(data, &value, size);
    }
    address += size;
    data += size;
    left -= size;
  }
}

}  // namespace lodge
