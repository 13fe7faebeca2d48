#include "libvirt-driver/forward/relay.h"

#include <algorithm>

namespace lodge::forward {

// A family of one client.
class Relay::Line final : public UpstreamUser {
 public:
  Line(rpc::ForwardClient& client, std::string_view family) : client_(client), family_(family) {}
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  ~Line() {
    if (upstream_) {
      upstream_->close();
    }
  }

  [[nodiscard]] const std::string& family() const { return family_; }
  [[nodiscard]] Upstream* upstream() const { return upstream_.get(); }

  [[nodiscard]] std::optional<CallError> open(asio::io_context& network, const HostServices& services) {
    if (upstream_) {
      return std::nullopt;
    }
    auto socket = connect_service(services, family_, client_.is_read_only());
    if (!socket) {
      return std::move(socket).error();
    }
    upstream_ = Upstream::create(network, std::move(socket->fd),
                                 {.family = family_,
                                  .path = socket->path,
                                  .daemon = socket->daemon,
                                  .uri = service_uri(services, family_),
                                  .read_only = client_.is_read_only()},
                                 *this);
    return std::nullopt;
  }

  void on_message(const rpc::MessageHeader& header, std::span<const uint8_t> payload) override {
    client_.pass(header, payload);
  }
  [[nodiscard]] bool takes_more() const override { return client_.reads(); }
  void on_room() override { client_.on_room(); }
  void on_lost() override { upstream_.reset(); }

 private:
  rpc::ForwardClient& client_;
  std::string family_;
  std::shared_ptr<Upstream> upstream_;
};

Relay::Relay(asio::io_context& network, rpc::ForwardClient& client, HostServices services)
    : network_(network), client_(client), services_(std::move(services)) {}

Relay::~Relay() = default;

Relay::Line& Relay::line(std::string_view family) {
  const auto found = std::ranges::find(lines_, family, [](const auto& line) -> std::string_view { return line->family(); });
  return found != lines_.end() ? **found : *lines_.emplace_back(std::make_unique<Line>(client_, family));
}

std::optional<CallError> Relay::call(std::string_view family, const rpc::Frame& frame) {
  Line& to = line(family);
  if (auto error = to.open(network_, services_)) {
    return error;
  }
  return to.upstream()->call(frame.header.procedure, frame.header.serial, frame.payload);
}

void Relay::stream(const rpc::Frame& frame) {
  (void)std::ranges::any_of(lines_, [&](const auto& line) {
    return line->upstream() != nullptr && line->upstream()->stream(frame.header, frame.payload);
  });
}

bool Relay::has_room() const {
  return std::ranges::none_of(lines_,
                              [](const auto& line) { return line->upstream() != nullptr && line->upstream()->congested(); });
}

void Relay::client_reads() {
  for (const auto& line : lines_) {
    if (line->upstream() != nullptr) {
      line->upstream()->resume();
    }
  }
}

}  // namespace lodge::forward
