// VcpuThread: runs one vCPU, dispatches its exits to the buses, and parks when control asks.
//
// request_pause() and kick() from any thread; wait_parked(), resume() and stop() from control, which may wait for vCPUs
// (docs/threads.md). While parked, control may use vcpu() freely.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "devices/core/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/coalesced_writes.h"

namespace lodge {

class VcpuThread {
 public:
  enum class Fault : uint8_t { triple_fault, internal_error, entry_failed };
  struct Hooks {
    std::function<void()> on_thread_start;                                 // seccomp, affinity
    std::function<void(uint32_t vcpu, Fault, std::string what)> on_fault;  // on the vCPU thread; it parks afterwards
  };

  VcpuThread(uint32_t index, std::unique_ptr<KvmVcpu> vcpu, Bus& mmio, Bus& pio, Hooks hooks);
  ~VcpuThread();
  VcpuThread(const VcpuThread&) = delete;
  VcpuThread& operator=(const VcpuThread&) = delete;

  // Installs the signal that interrupts KVM_RUN. Once, before any thread exists.
  static void install_kick_signal();

  void start();  // the thread begins parked
  void request_pause();
  void wait_parked();
  void resume();
  void stop();

  // Before the guest runs; null: there are none.
  void set_coalesced(CoalescedWrites* writes) { coalesced_ = writes; }

  [[nodiscard]] KvmVcpu& vcpu() { return *vcpu_; }
  [[nodiscard]] uint32_t index() const { return index_; }
  [[nodiscard]] int thread_id() const { return thread_id_.load(); }
  [[nodiscard]] uint64_t exits() const { return exits_.load(std::memory_order_relaxed); }
  // Accesses that no device answered.
  [[nodiscard]] uint64_t unclaimed() const { return unclaimed_.load(std::memory_order_relaxed); }

 private:
  enum class Want : uint8_t { park, run, quit };
  void main();
  void run_until_asked();
  [[nodiscard]] int run();
  void handle_exit();
  void handle_io();
  void handle_mmio();
  void fault(Fault kind, std::string what);
  void ask(Want want);

  uint32_t index_;
  std::unique_ptr<KvmVcpu> vcpu_;
  Bus::Reader mmio_;
  Bus::Reader pio_;
  Hooks hooks_;
  CoalescedWrites* coalesced_ = nullptr;
  std::thread thread_;
  std::atomic<int> thread_id_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<Want> want_{Want::park};
  bool parked_ = false;
  std::atomic<uint64_t> exits_{0};
  std::atomic<uint64_t> unclaimed_{0};
};

}  // namespace lodge
