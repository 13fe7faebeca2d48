// Registers, contexts and transfer request blocks of an xHCI 1.0 controller. Names and section numbers as in Intel's
// "eXtensible Host Controller Interface for Universal Serial Bus", revision 1.0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lodge::xhci {

// The parts of the memory BAR.
inline constexpr uint64_t kBarSize = 0x4000;
inline constexpr uint32_t kOperational = 0x40;
inline constexpr uint32_t kPorts = 0x440;
inline constexpr uint32_t kPortStride = 0x10;
inline constexpr uint32_t kRuntime = 0x1000;
inline constexpr uint32_t kDoorbells = 0x2000;

// Capability registers (5.3).
inline constexpr uint32_t kCapLength = 0x00;  // and the interface's version
inline constexpr uint32_t kHcsParams1 = 0x04;
inline constexpr uint32_t kHcsParams2 = 0x08;
inline constexpr uint32_t kHccParams = 0x10;
inline constexpr uint32_t kDbOff = 0x14;
inline constexpr uint32_t kRtsOff = 0x18;
inline constexpr uint32_t kProtocols = 0x20;  // extended capabilities (7.2): USB 2.0's, then USB 3.0's

// Operational registers (5.4), from kOperational on.
inline constexpr uint32_t kUsbCmd = 0x00;
inline constexpr uint32_t kUsbSts = 0x04;
inline constexpr uint32_t kPageSizes = 0x08;
inline constexpr uint32_t kDnCtrl = 0x14;
inline constexpr uint32_t kCrcr = 0x18;
inline constexpr uint32_t kDcbaap = 0x30;
inline constexpr uint32_t kConfig = 0x38;

inline constexpr uint32_t kCmdRun = 1U << 0;
inline constexpr uint32_t kCmdReset = 1U << 1;
inline constexpr uint32_t kCmdInterrupts = 1U << 2;
inline constexpr uint32_t kCmdSave = 1U << 8;
inline constexpr uint32_t kCmdRestore = 1U << 9;
inline constexpr uint32_t kCmdKept = 0xC0D;  // run, interrupts, host system errors, wrap events, stop of the frame index

inline constexpr uint32_t kStsHalted = 1U << 0;
inline constexpr uint32_t kStsSystemError = 1U << 2;
inline constexpr uint32_t kStsEvent = 1U << 3;
inline constexpr uint32_t kStsPort = 1U << 4;
inline constexpr uint32_t kStsRestoreError = 1U << 10;
inline constexpr uint32_t kStsClearable = kStsSystemError | kStsEvent | kStsPort | kStsRestoreError;

inline constexpr uint32_t kCrcrCycle = 1U << 0;
inline constexpr uint32_t kCrcrStop = 1U << 1;
inline constexpr uint32_t kCrcrAbort = 1U << 2;
inline constexpr uint32_t kCrcrRunning = 1U << 3;

// Ports (5.4.8).
inline constexpr uint32_t kPortConnected = 1U << 0;
inline constexpr uint32_t kPortEnabled = 1U << 1;
inline constexpr uint32_t kPortReset = 1U << 4;
inline constexpr uint32_t kPortLinkShift = 5;
inline constexpr uint32_t kPortLinkMask = 0xFU << kPortLinkShift;
inline constexpr uint32_t kPortPower = 1U << 9;
inline constexpr uint32_t kPortSpeedShift = 10;
inline constexpr uint32_t kPortLinkWrite = 1U << 16;
inline constexpr uint32_t kPortConnectChange = 1U << 17;
inline constexpr uint32_t kPortEnableChange = 1U << 18;
inline constexpr uint32_t kPortWarmChange = 1U << 19;
inline constexpr uint32_t kPortResetChange = 1U << 21;
inline constexpr uint32_t kPortLinkChange = 1U << 22;
inline constexpr uint32_t kPortChanges = 0x7FU << 17;
inline constexpr uint32_t kPortWakes = 7U << 25;
inline constexpr uint32_t kPortWarmReset = 1U << 31;
inline constexpr uint32_t kLinkU0 = 0;
inline constexpr uint32_t kLinkU3 = 3;
inline constexpr uint32_t kLinkDisabled = 4;
inline constexpr uint32_t kLinkDetect = 5;
inline constexpr uint32_t kLinkPolling = 7;
inline constexpr uint32_t kLinkResume = 15;

// The one interrupter (5.5.2), from kRuntime on.
inline constexpr uint32_t kMfIndex = 0x00;
inline constexpr uint32_t kIman = 0x20;
inline constexpr uint32_t kImod = 0x24;
inline constexpr uint32_t kErstSize = 0x28;
inline constexpr uint32_t kErstBase = 0x30;
inline constexpr uint32_t kErdp = 0x38;
inline constexpr uint32_t kImanPending = 1U << 0;
inline constexpr uint32_t kImanEnabled = 1U << 1;
inline constexpr uint32_t kErdpBusy = 1U << 3;

// Limits that the capability registers tell.
inline constexpr uint8_t kSlots = 32;
inline constexpr uint32_t kSegmentsExponent = 4;  // of the event ring's segment table: 2 to this
inline constexpr uint32_t kMinSegment = 16;       // entries
inline constexpr uint32_t kMaxSegment = 4096;
inline constexpr size_t kMaxEvents = 1024;     // that wait for room
inline constexpr uint32_t kAllBudget = 65536;  // blocks of a ring that one doorbell, or one change of a device, is good for
inline constexpr uint8_t kContexts = 32;       // of a slot: its own and those of 31 endpoints

// Transfer request blocks (6.4).
struct Trb {
  uint64_t parameter = 0;
  uint32_t status = 0;
  uint32_t control = 0;
};
static_assert(sizeof(Trb) == 16);
inline constexpr uint64_t kTrbBytes = 16;
inline constexpr uint32_t kTrbCycle = 1U << 0;
inline constexpr uint32_t kTrbToggle = 1U << 1;      // of links
inline constexpr uint32_t kTrbShortEvent = 1U << 2;  // ISP
inline constexpr uint32_t kTrbEventData = 1U << 2;   // of events
inline constexpr uint32_t kTrbChain = 1U << 4;
inline constexpr uint32_t kTrbEvent = 1U << 5;        // IOC
inline constexpr uint32_t kTrbImmediate = 1U << 6;    // the data is the parameter
inline constexpr uint32_t kTrbNoInterrupt = 1U << 9;  // BEI
inline constexpr uint32_t kTrbBlockSetAddress = 1U << 9;
inline constexpr uint32_t kTrbDeconfigure = 1U << 9;

enum class TrbType : uint8_t {
  normal = 1,
  setup = 2,
  data = 3,
  status = 4,
  isoch = 5,
  link = 6,
  event_data = 7,
  no_op = 8,
  enable_slot = 9,
  disable_slot = 10,
  address_device = 11,
  configure_endpoint = 12,
  evaluate_context = 13,
  reset_endpoint = 14,
  stop_endpoint = 15,
  set_dequeue = 16,
  reset_device = 17,
  no_op_command = 23,
  transfer_event = 32,
  command_event = 33,
  port_event = 34,
};
[[nodiscard]] constexpr TrbType type_of(const Trb& trb) { return static_cast<TrbType>(trb.control >> 10 & 0x3F); }

// Completion codes (6.4.5).
enum class Code : uint8_t {
  none = 0,
  success = 1,
  babble = 3,
  transaction_error = 4,
  trb_error = 5,
  stall = 6,
  no_slots = 9,
  slot_not_enabled = 11,
  endpoint_not_enabled = 12,
  short_packet = 13,
  parameter = 17,
  context_state = 19,
  ring_stopped = 24,
  stopped = 26,
};

// Contexts (6.2): of 32 bytes.
inline constexpr uint64_t kContextBytes = 32;
enum class SlotPhase : uint8_t { disabled = 0, defaulted = 1, addressed = 2, configured = 3 };
enum class EndpointPhase : uint8_t { disabled = 0, running = 1, halted = 2, stopped = 3, error = 4 };
inline constexpr uint32_t kTypeBulkOut = 2;
inline constexpr uint32_t kTypeInterruptOut = 3;
inline constexpr uint32_t kTypeControl = 4;
inline constexpr uint32_t kTypeBulkIn = 6;
inline constexpr uint32_t kTypeInterruptIn = 7;

}  // namespace lodge::xhci
