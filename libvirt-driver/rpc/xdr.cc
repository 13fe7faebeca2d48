#include "libvirt-driver/rpc/xdr.h"

#include <bit>

namespace lodge::rpc {

void XdrWriter::put32(uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes_.push_back(static_cast<uint8_t>(value >> shift));
  }
}

void XdrWriter::put64(uint64_t value) {
  put32(static_cast<uint32_t>(value >> 32));
  put32(static_cast<uint32_t>(value));
}

void XdrWriter::put_padded(std::span<const uint8_t> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize(bytes_.size() + (-bytes.size() & 3), 0);
}

Result<uint32_t> XdrReader::get32() {
  if (rest_.size() < 4) {
    return fail("the message ends in the middle of a value");
  }
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value = value << 8 | rest_[i];
  }
  rest_ = rest_.subspan(4);
  return value;
}

Result<uint64_t> XdrReader::get64() {
  const uint64_t high = TRY(get32());
  return high << 32 | TRY(get32());
}

Result<std::span<const uint8_t>> XdrReader::get_padded(uint32_t size) {
  const uint64_t padded = (uint64_t{size} + 3) & ~uint64_t{3};
  if (padded > rest_.size()) {
    return fail("{} bytes are announced, {} follow", size, rest_.size());
  }
  const auto bytes = rest_.first(size);
  rest_ = rest_.subspan(padded);
  return bytes;
}

Result<uint32_t> XdrReader::get_count(uint32_t limit, uint32_t least) {
  const uint32_t count = TRY(get32());
  if (count > limit) {
    return fail("{} elements are more than the {} allowed", count, limit);
  }
  if (uint64_t{count} * least > rest_.size()) {
    return fail("{} elements are announced, {} bytes follow", count, rest_.size());
  }
  return count;
}

Result<void> XdrReader::check_end() const {
  if (!rest_.empty()) {
    return fail("{} bytes follow the last value", rest_.size());
  }
  return {};
}

void Xdr<double>::put(XdrWriter& out, double value) { out.put64(std::bit_cast<uint64_t>(value)); }

Result<double> Xdr<double>::get(XdrReader& in) { return std::bit_cast<double>(TRY(in.get64())); }

void Xdr<std::string>::put(XdrWriter& out, std::string_view value) {
  out.put32(static_cast<uint32_t>(value.size()));
  // SAFETY: characters as bytes.
  out.put_padded({reinterpret_cast<const uint8_t*>(value.data()), value.size()});
}

Result<std::string> Xdr<std::string>::get(XdrReader& in) {
  const auto bytes = TRY(in.get_padded(TRY(in.get_count(kMaxString, 1))));
  return std::string(bytes.begin(), bytes.end());
}

Result<Uuid> Xdr<Uuid>::get(XdrReader& in) {
  const auto bytes = TRY(in.get_padded(sizeof(Uuid)));
  Uuid uuid;
  std::copy(bytes.begin(), bytes.end(), uuid.begin());
  return uuid;
}

}  // namespace lodge::rpc
