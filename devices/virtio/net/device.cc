#include "devices/virtio/net/device.h"

#include <linux/if_tun.h>

#include <bit>

#include "devices/net/frame.h"
#include "devices/virtio/net/control.h"
#include "devices/virtio/net/rx.h"
#include "devices/virtio/net/tx.h"

namespace lodge {
namespace {

uint64_t features_of(const NetCapabilities& can, uint16_t pairs, uint16_t mtu) {
  uint64_t features = net::kMac | net::kStatus | net::kMergeable | net::kCtrlVq | net::kCtrlRx | net::kCtrlRxExtra |
                      net::kCtrlVlan | net::kCtrlMacAddr | net::kGuestAnnounce;
  if (can.vnet_header && can.checksum) {
    features |= net::kCsum | net::kGuestCsum | net::kCtrlGuestOffloads;
    if (can.tso) {
      features |= net::kHostTso4 | net::kHostTso6 | net::kHostEcn | net::kGuestTso4 | net::kGuestTso6 | net::kGuestEcn;
    }
    if (can.uso) {
      features |= net::kHostUso | net::kGuestUso4 | net::kGuestUso6;
    }
  }
  features |= pairs > 1 ? net::kMq : 0;
  features |= mtu != 0 ? net::kMtu : 0;
  return features;
}

uint32_t tun_flags(uint64_t features) {
  if ((features & net::kGuestCsum) == 0) {
    return 0;  // the others need it
  }
  uint32_t flags = TUN_F_CSUM;
  flags |= (features & net::kGuestTso4) != 0 ? TUN_F_TSO4 : 0;
  flags |= (features & net::kGuestTso6) != 0 ? TUN_F_TSO6 : 0;
  flags |= (features & net::kGuestEcn) != 0 ? TUN_F_TSO_ECN : 0;
  // The kernel takes the two together only.
  constexpr uint64_t kBoth = net::kGuestUso4 | net::kGuestUso6;
  flags |= (features & kBoth) == kBoth ? kTunUso4 | kTunUso6 : 0;
  return flags;
}

}  // namespace

VirtioNet::VirtioNet(Options options) : options_(std::move(options)) {
  pairs_ = static_cast<uint16_t>(options_.port.queues.size());
  if (options_.mtu == 0) {
    options_.mtu = options_.port.capabilities.mtu;
  }
  features_ = features_of(options_.port.capabilities, pairs_, options_.mtu);
  for (uint16_t i = 0; i < pairs_; ++i) {
    rx_.push_back(std::make_unique<NetRx>(*this, *options_.port.queues[i]));
    tx_.push_back(std::make_unique<NetTx>(*this, *options_.port.queues[i]));
    sizes_[size_t{2} * i] = sizes_[size_t{2} * i + 1] = options_.queue_size;
    options_.port.queues[i]->set_enabled(i == 0);
  }
  sizes_[size_t{2} * pairs_] = 64;
  if (!options_.vhost.empty()) {
    features_ &= ~net::kMergeable | options_.vhost[0]->features();  // the merging of buffers is the kernel's part
  }
  control_ = std::make_unique<NetControl>(*this);
  link_up_.store(options_.link_up);
  reset();
}

VirtioNet::~VirtioNet() = default;

Result<std::unique_ptr<VirtioNet>> VirtioNet::create(Options options, const StateReader* saved) {
  const size_t pairs = options.port.queues.size();
  if (pairs == 0 || pairs > kMaxPairs) {
    return fail("NIC '{}' has {} queue pairs; choose 1 to {}", options.id, pairs, kMaxPairs);
  }
  if (options.queue_size < 16 || options.queue_size > 1024 || !std::has_single_bit(options.queue_size)) {
    return fail("NIC '{}': queue size {} is not a power of two from 16 to 1024", options.id, options.queue_size);
  }
  if (options.mtu != 0 && options.mtu < 68) {
    return fail("NIC '{}': MTU {} is below 68", options.id, options.mtu);
  }
  if ((options.mac[0] & 1) != 0 || options.mac == net::MacAddress{}) {
    return fail("NIC '{}': its MAC address must be an individual, non-zero one (first byte even)", options.id);
  }
  if (!options.vhost.empty() && (options.vhost.size() != pairs || options.port.queues[0]->kernel_fd() < 0)) {
    return fail("NIC '{}': vhost needs a tap, and one vhost descriptor for each of its {} queue pairs", options.id, pairs);
  }
  std::unique_ptr<VirtioNet> self(new VirtioNet(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> VirtioNet::load(const StateReader& saved) {
  const NetState state = TRY(saved.get<NetState>(options_.id));
  if (state.active_pairs == 0 || state.active_pairs > pairs_) {
    return fail("NIC '{}' has {} queue pairs, but its saved state uses {}", options_.id, pairs_, state.active_pairs);
  }
  if (state.unicast.size() > net::RxFilter::kTable || state.multicast.size() > net::RxFilter::kTable ||
      (state.rx_mode >> (net::kNoBroadcast + 1)) != 0 || (state.guest_offloads & ~(features_ & net::kGuestOffloads)) != 0) {
    return fail("NIC '{}': its saved state has a filter or offloads that this machine does not know", options_.id);
  }
  link_up_.store(state.link_up);
  announce_.store(state.announce);
  guest_offloads_.store(state.guest_offloads);
  offloads_chosen_.store(state.offloads_chosen);
  active_pairs_.store(state.active_pairs);
  for (uint16_t i = 0; i < pairs_; ++i) {
    options_.port.queues[i]->set_enabled(i < state.active_pairs);
  }
  net::RxFilter filter;
  filter.mac = state.mac;
  filter.mode = state.rx_mode;
  filter.unicast = state.unicast;
  filter.multicast = state.multicast;
  filter.unicast_overflow = state.unicast_overflow;
  filter.multicast_overflow = state.multicast_overflow;
  filter.vlans = state.vlans;
  set_filter(std::move(filter));
  return {};
}

void VirtioNet::save(std::string_view id, StateWriter& out) const {
  const auto filter = this->filter();
  NetState state;
  state.mac = filter->mac;
  state.link_up = link_up_.load();
  state.announce = announce_.load();
  state.active_pairs = active_pairs_.load();
  state.guest_offloads = guest_offloads_.load();
  state.offloads_chosen = offloads_chosen_.load();
  state.rx_mode = filter->mode;
  state.unicast = filter->unicast;
  state.multicast = filter->multicast;
  state.unicast_overflow = filter->unicast_overflow;
  state.multicast_overflow = filter->multicast_overflow;
  state.vlans = filter->vlans;
  out.put(id, state);
}

bool VirtioNet::is_control(uint16_t queue) const { return queue == ((negotiated() & net::kMq) != 0 ? 2 * pairs_ : 2); }

uint16_t VirtioNet::loop_group(uint16_t queue) const {
  return queue == 2 * pairs_ ? uint16_t{0} : static_cast<uint16_t>(queue / 2);
}

void VirtioNet::read_config(uint32_t offset, std::span<std::byte> to) {
  net::Config config{};
  std::memcpy(config.mac, mac().data(), sizeof config.mac);
  config.status = static_cast<uint16_t>((link_up() ? net::kLinkUp : 0) | (announce_.load() ? net::kAnnounce : 0));
  config.max_pairs = pairs_;
  config.mtu = options_.mtu;
  copy_config(bytes_of(config), offset, to);
}

void VirtioNet::write_config(uint32_t offset, std::span<const std::byte> from) {
  // Only the address, and only by legacy drivers, which have no command for it that all of them know.
  if ((negotiated() & kVirtioVersion1) != 0 || !range_fits(offset, from.size(), 6)) {
    return;
  }
  net::RxFilter filter = *this->filter();
  std::memcpy(filter.mac.data() + offset, from.data(), from.size());
  set_filter(std::move(filter));
}

void VirtioNet::activate(const Activation& activation) {
  const uint64_t features = activation.features;
  negotiated_.store(features);
  header_size_.store((features & (kVirtioVersion1 | net::kMergeable)) != 0 ? 12 : 10);
  if (!offloads_chosen_.load()) {
    guest_offloads_.store(features & net::kGuestOffloads);
  }
  if (auto applied = apply_offloads(guest_offloads_.load()); !applied) {
    log_error("net", "{}: {}", options_.id, applied.error().message);
    transport_->set_needs_reset();
  }
  net::RxFilter filter = *this->filter();
  filter.filter_vlans = (features & net::kCtrlVlan) != 0;
  set_filter(std::move(filter));
  for (size_t i = 0; i < options_.vhost.size(); ++i) {
    const int tap = options_.port.queues[i]->kernel_fd();
    if (auto ready = options_.vhost[i]->set_up(features, activation.memory, tap, header_size()); !ready) {
      log_error("net", "{}", ready.error().message);
      transport_->set_needs_reset();
    }
  }
}

void VirtioNet::start_queue(Virtqueue& queue) {
  const uint16_t index = queue.index();
  if (is_control(index)) {
    return;
  }
  const size_t pair = index / 2U;
  if (pair >= pairs_) {
    return;
  }
  if (in_kernel(index)) {
    start_kernel_queue(queue);
  } else {
    index % 2 == 0 ? rx_[pair]->start(queue) : tx_[pair]->start(queue);
  }
}

void VirtioNet::kick(Virtqueue& queue) {
  const uint16_t index = queue.index();
  const size_t pair = index / 2U;
  if (is_control(index)) {
    control_->kick(queue);
  } else if (!in_kernel(index) && pair < pairs_) {
    index % 2 == 0 ? rx_[pair]->kick() : tx_[pair]->kick();
  }
}

void VirtioNet::stop_queue(Virtqueue& queue, Done done) {
  const uint16_t index = queue.index();
  const size_t pair = index / 2U;
  if (is_control(index) || pair >= pairs_) {
    done();
  } else if (in_kernel(index)) {
    stop_kernel_queue(queue);
    done();
  } else {
    index % 2 == 0 ? rx_[pair]->stop(done) : tx_[pair]->stop(done);
  }
}

void VirtioNet::start_kernel_queue(Virtqueue& queue) {
  const uint16_t index = queue.index();
  const size_t pair = index / 2U;
  const auto started =
      options_.vhost[pair]->start_ring(index % 2, queue.state(), queue.memory(), transport_->queue_kick_fd(index),
                                       transport_->queue_call_fd(index), options_.port.queues[pair]->kernel_fd());
  if (!started) {
    log_error("net", "{}", started.error().message);
    transport_->set_needs_reset();
  }
}

void VirtioNet::stop_kernel_queue(Virtqueue& queue) {
  const auto next = options_.vhost[queue.index() / 2U]->stop_ring(queue.index() % 2);
  if (!next) {
    log_error("net", "{}", next.error().message);
    return;
  }
  queue.set_next(*next);
}

void VirtioNet::reset() {
  negotiated_.store(0);
  header_size_.store(12);
  announce_.store(false);
  guest_offloads_.store(0);
  offloads_chosen_.store(false);
  static_cast<void>(set_pairs(1));
  static_cast<void>(apply_offloads(0));
  net::RxFilter filter;
  filter.mac = options_.mac;
  set_filter(std::move(filter));
}

void VirtioNet::set_link(bool up) {
  if (link_up_.exchange(up) != up && transport_ != nullptr) {
    transport_->notify_config();
  }
}

void VirtioNet::announce() {
  if ((negotiated() & net::kGuestAnnounce) != 0 && link_up() && transport_ != nullptr) {
    announce_.store(true);
    transport_->notify_config();
  }
}

void VirtioNet::announced() { announce_.store(false); }

net::MacAddress VirtioNet::mac() const { return filter()->mac; }

std::shared_ptr<const net::RxFilter> VirtioNet::filter() const {
  const Lock lock(mutex_);
  return filter_;
}

void VirtioNet::set_filter(net::RxFilter filter) {
  auto next = std::make_shared<const net::RxFilter>(std::move(filter));
  {
    const Lock lock(mutex_);
    filter_ = std::move(next);
  }
  filter_generation_.fetch_add(1, std::memory_order_release);
}

bool VirtioNet::set_pairs(uint16_t count) {
  if (count == 0 || count > pairs_) {
    return false;
  }
  const uint16_t before = active_pairs_.exchange(count);
  for (uint16_t i = 0; i < pairs_; ++i) {
    if ((i < before) != (i < count)) {
      options_.port.queues[i]->set_enabled(i < count);
    }
  }
  return true;
}

bool VirtioNet::choose_offloads(uint64_t features) {
  if ((features & ~(negotiated() & net::kGuestOffloads)) != 0) {
    return false;
  }
  offloads_chosen_.store(true);
  guest_offloads_.store(features);
  return apply_offloads(features).has_value();
}

Result<void> VirtioNet::apply_offloads(uint64_t guest_features) {
  for (const auto& backend : options_.port.queues) {
    TRY_VOID(backend->set_offloads(tun_flags(guest_features)));
  }
  return {};
}

std::vector<Counter> VirtioNet::counters() const {
  static constexpr std::string_view kNames[2][4] = {{"rx-packets", "rx-bytes", "rx-dropped", "rx-errors"},
                                                    {"tx-packets", "tx-bytes", "tx-dropped", "tx-errors"}};
  std::vector<Counter> result;
  for (size_t direction = 0; direction < 2; ++direction) {
    uint64_t sums[4] = {};
    for (size_t i = 0; i < pairs_; ++i) {
      const net::Counters& from = direction == 0 ? rx_[i]->counters() : tx_[i]->counters();
      sums[0] += from.packets.load(std::memory_order_relaxed);
      sums[1] += from.bytes.load(std::memory_order_relaxed);
      sums[2] += from.dropped.load(std::memory_order_relaxed);
      sums[3] += from.errors.load(std::memory_order_relaxed);
    }
    for (size_t i = 0; i < 4; ++i) {
      result.push_back({kNames[direction][i], sums[i]});
    }
  }
  result.push_back({"guest-mistakes", warnings_.count()});
  return result;
}

}  // namespace lodge
