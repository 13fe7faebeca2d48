// Interrupts as devices see them. Implemented over KVM by vmm/kvm, and by recorders in tests.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"

namespace lodge {

// One level-triggered or edge-triggered input of the interrupt controllers. Any thread. An edge device raises, then lowers.
class IrqLine {
 public:
  virtual ~IrqLine() = default;
  virtual void set(bool asserted) = 0;
};

// One message-signalled interrupt. configure() from register handlers (one thread at a time); trigger() from any thread.
class MsiVector {
 public:
  virtual ~MsiVector() = default;
  // The guest's address and data for this vector, and whether it wants them now. Errors: the host is out of routes.
  [[nodiscard]] virtual Result<void> configure(uint64_t address, uint32_t data, bool enabled) = 0;
  virtual void trigger() = 0;
  // Signalling this descriptor is the same as trigger(): for vhost.
  [[nodiscard]] virtual int event_fd() const = 0;
};

class MsiFactory {
 public:
  virtual ~MsiFactory() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<MsiVector>> create_msi() = 0;
};

// Guest writes that signal an event counter inside the kernel, with no exit to user space.
class Doorbells {
 public:
  virtual ~Doorbells() = default;
  struct Bell {
    bool port = false;     // an I/O port, else memory-mapped
    uint64_t address = 0;  // guest physical address or port number
    uint8_t size = 0;      // bytes of the write; 0: any
    bool match = false;    // only writes of `value`
    uint64_t value = 0;
    friend bool operator==(const Bell&, const Bell&) = default;
  };
  [[nodiscard]] virtual Result<void> add(const Bell& bell, int event_fd) = 0;
  virtual void remove(const Bell& bell, int event_fd) = 0;
};

}  // namespace lodge
