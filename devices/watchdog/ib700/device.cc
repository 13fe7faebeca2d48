#include "devices/watchdog/ib700/device.h"

namespace lodge {
namespace {
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLongest = 30 * kSecond;
}  // namespace

Result<std::unique_ptr<Ib700>> Ib700::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::unique_ptr<Ib700> self(new Ib700(std::move(options), env));
  if (saved != nullptr) {
    const auto state = TRY(saved->get<Ib700State>(self->id_));
    if (state.left_ns > static_cast<uint64_t>(kLongest)) {
      return fail("the saved watchdog '{}' counts for longer than an ib700 can", self->id_);
    }
    if (state.left_ns != 0) {
      self->timer_.restore(static_cast<int64_t>(state.left_ns));
    }
  }
  self->mapping_ = TRY(env.pio.add(kStop, kStart - kStop + 1, self->id_, unowned(*self)));
  return self;
}

void Ib700::quiesce(Done done) {
  timer_.pause();
  done();
}

void Ib700::save(StateWriter& out) const { out.put(id_, Ib700State{static_cast<uint64_t>(timer_.left())}); }

void Ib700::io_write(IoAccess access, uint64_t value) {
  for (size_t i = 0; i < access.size; ++i) {
    const uint64_t port = kStop + access.offset + i;
    if (port == kStart) {
      timer_.start(kLongest - static_cast<int64_t>(value >> (8 * i) & 0xF) * 2 * kSecond);
    } else if (port == kStop) {
      timer_.stop();
    }
  }
}

}  // namespace lodge
