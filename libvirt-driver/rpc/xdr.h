// XDR as libvirt uses it (RFC 4506, big-endian, all in multiples of four bytes): one description of a struct gives both its
// decoder and its encoder.
//
// A struct of the protocol names its members in wire order: `static constexpr auto xdr = std::tuple{&T::a, &T::b};`. The
// types of its members say the rest:
//
//   int32_t, uint32_t, bool, enums over them   4 bytes          std::string      length, bytes, padding; at most 4 MiB
//   int64_t, uint64_t, double                  8 bytes          std::optional    0, or 1 and the value
//   Uuid                                       16 bytes         Opaque<N>        length, bytes, padding
//   XdrChars<N>: characters of 4 bytes each, with a count      List<T, N>       count, elements, at most N
//   std::array<T, N>                           N elements, no count
//
// What arrives is hostile: every length is checked against its limit and against the bytes that are there before anything is
// allocated. Pure functions; any thread.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace lodge::rpc {

inline constexpr uint32_t kMaxString = 4U << 20;

using Uuid = std::array<uint8_t, 16>;

template <uint32_t Max>
struct Opaque : std::vector<uint8_t> {
  using std::vector<uint8_t>::vector;
};
template <uint32_t Max>
struct XdrChars : std::string {
  using std::string::string;
};
template <class T, uint32_t Max>
struct List : std::vector<T> {
  using std::vector<T>::vector;
};

class XdrWriter {
 public:
  void put32(uint32_t value);
  void put64(uint64_t value);
  // Raw bytes and the zeros that fill up to a multiple of four.
  void put_padded(std::span<const uint8_t> bytes);
  [[nodiscard]] std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

class XdrReader {
 public:
  explicit XdrReader(std::span<const uint8_t> bytes) : rest_(bytes) {}
  [[nodiscard]] Result<uint32_t> get32();
  [[nodiscard]] Result<uint64_t> get64();
  // `size` bytes; the padding behind them is skipped, whatever it holds.
  [[nodiscard]] Result<std::span<const uint8_t>> get_padded(uint32_t size);
  // A count that is at most `limit`, and for which enough bytes follow when each element takes `least` of them.
  [[nodiscard]] Result<uint32_t> get_count(uint32_t limit, uint32_t least);
  [[nodiscard]] size_t left() const { return rest_.size(); }
  // Error when something follows.
  [[nodiscard]] Result<void> check_end() const;

 private:
  std::span<const uint8_t> rest_;
};

template <class T>
concept XdrTuple = requires { T::xdr; };
// Generated structs have `static bool xdr_each(f)` instead: f(&T::a) && f(&T::b) && ..., which compiles much faster.
template <class T>
concept XdrEach = requires { T::xdr_each([](auto) { return true; }); };

// How a type goes over the wire: put(), get(), and the fewest bytes that a value takes.
template <class T>
struct Xdr;

template <class T>
  requires(std::is_enum_v<T> || std::same_as<T, bool> || (std::integral<T> && sizeof(T) == 4))
struct Xdr<T> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, T value) { out.put32(static_cast<uint32_t>(value)); }
  static Result<T> get(XdrReader& in) {
    const uint32_t value = TRY(in.get32());
    if constexpr (std::same_as<T, bool>) {
      return value != 0;
    } else {
      return static_cast<T>(value);
    }
  }
};

template <class T>
  requires(std::integral<T> && sizeof(T) == 8)
struct Xdr<T> {
  static constexpr uint32_t kLeast = 8;
  static void put(XdrWriter& out, T value) { out.put64(static_cast<uint64_t>(value)); }
  static Result<T> get(XdrReader& in) { return static_cast<T>(TRY(in.get64())); }
};

template <>
struct Xdr<double> {
  static constexpr uint32_t kLeast = 8;
  static void put(XdrWriter& out, double value);
  static Result<double> get(XdrReader& in);
};

template <>
struct Xdr<std::string> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, std::string_view value);
  static Result<std::string> get(XdrReader& in);
};

template <>
struct Xdr<Uuid> {
  static constexpr uint32_t kLeast = 16;
  static void put(XdrWriter& out, const Uuid& value) { out.put_padded(value); }
  static Result<Uuid> get(XdrReader& in);
};

template <uint32_t Max>
struct Xdr<Opaque<Max>> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, const Opaque<Max>& value) {
    out.put32(static_cast<uint32_t>(value.size()));
    out.put_padded(value);
  }
  static Result<Opaque<Max>> get(XdrReader& in) {
    const auto bytes = TRY(in.get_padded(TRY(in.get_count(Max, 1))));
    return Opaque<Max>(bytes.begin(), bytes.end());
  }
};

template <uint32_t Max>
struct Xdr<XdrChars<Max>> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, const XdrChars<Max>& value) {
    out.put32(static_cast<uint32_t>(value.size()));
    for (const char c : value) {
      out.put32(static_cast<uint32_t>(c));  // signed: libvirt sends it extended
    }
  }
  static Result<XdrChars<Max>> get(XdrReader& in) {
    XdrChars<Max> value;
    for (uint32_t left = TRY(in.get_count(Max, 4)); left > 0; --left) {
      value.push_back(static_cast<char>(TRY(in.get32())));
    }
    return value;
  }
};

template <class T>
struct Xdr<std::optional<T>> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, const std::optional<T>& value) {
    out.put32(value ? 1 : 0);
    if (value) {
      Xdr<T>::put(out, *value);
    }
  }
  static Result<std::optional<T>> get(XdrReader& in) {
    const uint32_t present = TRY(in.get32());
    if (present > 1) {
      return fail("an optional value is announced by {}", present);
    }
    if (present == 0) {
      return std::optional<T>();
    }
    return std::optional<T>(TRY(Xdr<T>::get(in)));
  }
};

template <class T, uint32_t Max>
struct Xdr<List<T, Max>> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, const List<T, Max>& value) {
    out.put32(static_cast<uint32_t>(value.size()));
    for (const T& element : value) {
      Xdr<T>::put(out, element);
    }
  }
  static Result<List<T, Max>> get(XdrReader& in) {
    List<T, Max> value;
    for (uint32_t left = TRY(in.get_count(Max, Xdr<T>::kLeast)); left > 0; --left) {
      value.push_back(TRY(Xdr<T>::get(in)));
    }
    return value;
  }
};

template <class T, size_t N>
  requires(!std::same_as<std::array<T, N>, Uuid>)
struct Xdr<std::array<T, N>> {
  static constexpr uint32_t kLeast = Xdr<T>::kLeast * N;
  static void put(XdrWriter& out, const std::array<T, N>& value) {
    for (const T& element : value) {
      Xdr<T>::put(out, element);
    }
  }
  static Result<std::array<T, N>> get(XdrReader& in) {
    std::array<T, N> value{};
    for (T& element : value) {
      element = TRY(Xdr<T>::get(in));
    }
    return value;
  }
};

template <class T>
  requires(XdrTuple<T> || XdrEach<T>)
struct Xdr<T> {
  template <class Member>
  using Of = std::remove_cvref_t<decltype(std::declval<T&>().*std::declval<Member>())>;

  static constexpr uint32_t least() {
    uint32_t sum = 0;
    each([&sum]<class Member>(Member) {
      sum += Xdr<Of<Member>>::kLeast;
      return true;
    });
    return sum;
  }
  static constexpr uint32_t kLeast = least();
  static void put(XdrWriter& out, const T& value) {
    each([&]<class Member>(Member member) {
      Xdr<Of<Member>>::put(out, value.*member);
      return true;
    });
  }
  static Result<T> get(XdrReader& in) {
    T value{};
    Result<void> outcome;
    each([&](auto member) { return get_member(in, value, member, outcome); });
    if (!outcome) {
      return std::unexpected(std::move(outcome).error());
    }
    return value;
  }

 private:
  // Calls f with each member in wire order until it gives false.
  template <class F>
  static constexpr void each(F&& f) {
    if constexpr (XdrEach<T>) {
      (void)T::xdr_each(f);
    } else {
      std::apply([&f](auto... members) { (void)(f(members) && ...); }, T::xdr);
    }
  }
  template <class Member>
  static bool get_member(XdrReader& in, T& value, Member member, Result<void>& outcome) {
    auto got = Xdr<Of<Member>>::get(in);
    if (got) {
      value.*member = std::move(*got);
    } else {
      outcome = std::unexpected(std::move(got).error());
    }
    return got.has_value();
  }
};

template <class T>
[[nodiscard]] std::vector<uint8_t> encode(const T& value) {
  XdrWriter out;
  Xdr<T>::put(out, value);
  return out.take();
}

// The value that fills all of the bytes.
template <class T>
[[nodiscard]] Result<T> decode(std::span<const uint8_t> bytes) {
  XdrReader in(bytes);
  T value = TRY(Xdr<T>::get(in));
  TRY_VOID(in.check_end());
  return value;
}

}  // namespace lodge::rpc
