// virtio-net: feature bits, control commands and header values (virtio 1.2 section 5.1). The system header is not C++.
#pragma once

#include <cstdint>

namespace lodge::net {

inline constexpr uint64_t kCsum = 1ULL << 0;
inline constexpr uint64_t kGuestCsum = 1ULL << 1;
inline constexpr uint64_t kCtrlGuestOffloads = 1ULL << 2;
inline constexpr uint64_t kMtu = 1ULL << 3;
inline constexpr uint64_t kMac = 1ULL << 5;
inline constexpr uint64_t kGuestTso4 = 1ULL << 7;
inline constexpr uint64_t kGuestTso6 = 1ULL << 8;
inline constexpr uint64_t kGuestEcn = 1ULL << 9;
inline constexpr uint64_t kHostTso4 = 1ULL << 11;
inline constexpr uint64_t kHostTso6 = 1ULL << 12;
inline constexpr uint64_t kHostEcn = 1ULL << 13;
inline constexpr uint64_t kMergeable = 1ULL << 15;
inline constexpr uint64_t kStatus = 1ULL << 16;
inline constexpr uint64_t kCtrlVq = 1ULL << 17;
inline constexpr uint64_t kCtrlRx = 1ULL << 18;
inline constexpr uint64_t kCtrlVlan = 1ULL << 19;
inline constexpr uint64_t kCtrlRxExtra = 1ULL << 20;
inline constexpr uint64_t kGuestAnnounce = 1ULL << 21;
inline constexpr uint64_t kMq = 1ULL << 22;
inline constexpr uint64_t kCtrlMacAddr = 1ULL << 23;
inline constexpr uint64_t kGuestUso4 = 1ULL << 54;
inline constexpr uint64_t kGuestUso6 = 1ULL << 55;
inline constexpr uint64_t kHostUso = 1ULL << 56;
inline constexpr uint64_t kGuestOffloads = kGuestCsum | kGuestTso4 | kGuestTso6 | kGuestEcn | kGuestUso4 | kGuestUso6;

inline constexpr uint16_t kLinkUp = 1;
inline constexpr uint16_t kAnnounce = 2;

inline constexpr uint8_t kNeedsCsum = 1;
inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoEcn = 0x80;

enum Class : uint8_t { kClassRx = 0, kClassMac = 1, kClassVlan = 2, kClassAnnounce = 3, kClassMq = 4, kClassOffloads = 5 };
enum RxCommand : uint8_t { kPromisc = 0, kAllMulti = 1, kAllUni = 2, kNoMulti = 3, kNoUni = 4, kNoBroadcast = 5 };
enum MacCommand : uint8_t { kMacTable = 0, kMacAddress = 1 };
enum VlanCommand : uint8_t { kVlanAdd = 0, kVlanDelete = 1 };
inline constexpr uint8_t kAckOk = 0;
inline constexpr uint8_t kAckError = 1;

// struct virtio_net_hdr_v1; the last member is absent in the legacy form without mergeable buffers.
struct Header {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t header_length = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
  uint16_t buffers = 0;
};
static_assert(sizeof(Header) == 12);

// struct virtio_net_config up to what we offer.
struct Config {
  uint8_t mac[6];
  uint16_t status;
  uint16_t max_pairs;
  uint16_t mtu;
};
static_assert(sizeof(Config) == 12);

}  // namespace lodge::net
