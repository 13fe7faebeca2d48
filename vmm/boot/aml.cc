#include "vmm/boot/aml.h"

#include <array>
#include <cassert>
#include <cstdio>
#include <string>

namespace lodge::aml {
namespace {

// Opcodes (ACPI 6.5, table 20.3); the extended ones follow kExtended.
enum Op : unsigned {
  kZero = 0x00,
  kOne = 0x01,
  kName = 0x08,
  kBytePrefix = 0x0a,
  kWordPrefix = 0x0b,
  kDwordPrefix = 0x0c,
  kStringPrefix = 0x0d,
  kQwordPrefix = 0x0e,
  kScope = 0x10,
  kBuffer = 0x11,
  kPackage = 0x12,
  kMethod = 0x14,
  kDualName = 0x2e,
  kMultiName = 0x2f,
  kExtended = 0x5b,
  kLocal0 = 0x60,
  kArg0 = 0x68,
  kStore = 0x70,
  kAdd = 0x72,
  kShiftRight = 0x7a,
  kAnd = 0x7b,
  kOr = 0x7d,
  kNotify = 0x86,
  kIndex = 0x88,
  kCreateDwordField = 0x8a,
  kLogicalNot = 0x92,
  kLogicalEqual = 0x93,
  kIf = 0xa0,
  kElse = 0xa1,
  kWhile = 0xa2,
  kReturn = 0xa4,
  kExtRegion = 0x80,
  kExtField = 0x81,
  kExtDevice = 0x82,
};

void put(Bytes& out, uint64_t value, unsigned size = 1) {
  for (unsigned i = 0; i < size; ++i) {
    out.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}

Bytes raw(std::initializer_list<unsigned> values) {
  Bytes out;
  for (const unsigned value : values) {
    put(out, value);
  }
  return out;
}

// PkgLength (20.2.4); `counts_itself` is false for field widths.
Bytes package_length(size_t payload, bool counts_itself = true) {
  for (unsigned size = 1; size <= 4; ++size) {
    const size_t total = payload + (counts_itself ? size : 0);
    if (size == 1) {
      if (total < 0x40) {
        return raw({static_cast<unsigned>(total)});
      }
      continue;
    }
    if (total < size_t{1} << (4 + 8 * (size - 1))) {
      Bytes out = raw({static_cast<unsigned>((size - 1) << 6 | (total & 0xf))});
      put(out, total >> 4, size - 1);
      return out;
    }
  }
  assert(false && "AML package above 256 MiB");
  return {};
}

// opcode, length of all that follows, head, body
Bytes block(std::initializer_list<unsigned> opcode, const Bytes& head, const Bytes& body) {
  return join({raw(opcode), package_length(head.size() + body.size()), head, body});
}

void put_segment(Bytes& out, std::string_view segment) {
  assert(!segment.empty() && segment.size() <= 4);
  for (size_t i = 0; i < 4; ++i) {
    put(out, static_cast<unsigned char>(i < segment.size() ? segment[i] : '_'));
  }
}

// Address space descriptors, 6.4.3.5: `size` is the width of each of the five numbers.
Bytes address_space(unsigned tag, unsigned size, unsigned type, unsigned flags, unsigned type_flags, uint64_t first,
                    uint64_t last) {
  Bytes out = raw({tag});
  put(out, 3 + 5 * size, 2);
  put(out, type);
  put(out, flags);
  put(out, type_flags);
  put(out, 0, size);  // granularity
  put(out, first, size);
  put(out, last, size);
  put(out, 0, size);  // translation
  put(out, last - first + 1, size);
  return out;
}

constexpr unsigned kWordTag = 0x88;
constexpr unsigned kDwordTag = 0x87;
constexpr unsigned kQwordTag = 0x8a;
constexpr unsigned kFixedProducer = 0x0c;  // minimum and maximum fixed, positive decode, producer
constexpr unsigned kEntireRange = 0x03;
constexpr unsigned kReadWriteUncached = 0x01;

unsigned hex_digit(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10); }

}  // namespace

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) {
    append(out, part);
  }
  return out;
}

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

Bytes path(std::string_view text) {
  Bytes out;
  while (!text.empty() && (text.front() == '\\' || text.front() == '^')) {
    put(out, static_cast<unsigned char>(text.front()));
    text.remove_prefix(1);
  }
  std::vector<std::string_view> segments;
  while (!text.empty()) {
    const size_t dot = text.find('.');
    segments.push_back(text.substr(0, dot));
    text.remove_prefix(dot == std::string_view::npos ? text.size() : dot + 1);
  }
  if (segments.empty()) {
    put(out, 0);
  } else if (segments.size() == 2) {
    put(out, kDualName);
  } else if (segments.size() > 2) {
    put(out, kMultiName);
    put(out, segments.size());
  }
  for (const std::string_view segment : segments) {
    put_segment(out, segment);
  }
  return out;
}

Bytes integer(uint64_t value) {
  if (value <= 1) {
    return raw({value == 0 ? kZero : kOne});
  }
  Bytes out;
  if (value <= 0xff) {
    out = raw({kBytePrefix});
    put(out, value, 1);
  } else if (value <= 0xffff) {
    out = raw({kWordPrefix});
    put(out, value, 2);
  } else if (value <= 0xffffffff) {
    out = raw({kDwordPrefix});
    put(out, value, 4);
  } else {
    out = raw({kQwordPrefix});
    put(out, value, 8);
  }
  return out;
}

Bytes dword(uint32_t value) {
  Bytes out = raw({kDwordPrefix});
  put(out, value, 4);
  return out;
}

Bytes string(std::string_view text) {
  Bytes out = raw({kStringPrefix});
  for (const char c : text) {
    put(out, static_cast<unsigned char>(c));
  }
  put(out, 0);
  return out;
}

Bytes eisa_id(std::string_view id) {
  assert(id.size() == 7);
  const auto letter = [&id](size_t i) { return static_cast<unsigned>(id[i] - 'A' + 1); };
  const unsigned vendor = letter(0) << 10 | letter(1) << 5 | letter(2);
  Bytes out = raw({kDwordPrefix, vendor >> 8, vendor & 0xff});
  put(out, hex_digit(id[3]) << 4 | hex_digit(id[4]));
  put(out, hex_digit(id[5]) << 4 | hex_digit(id[6]));
  return out;
}

Bytes buffer(std::span<const std::byte> data) {
  return block({kBuffer}, integer(data.size()), Bytes(data.begin(), data.end()));
}

Bytes package(const std::vector<Bytes>& elements) {
  assert(elements.size() <= 255);
  Bytes body;
  for (const Bytes& element : elements) {
    append(body, element);
  }
  return block({kPackage}, raw({static_cast<unsigned>(elements.size())}), body);
}

Bytes uuid_buffer(std::string_view text) {
  // aabbccdd-eeff-gghh-iijj-kkllmmnnoopp: the first three groups are stored little-endian.
  assert(text.size() == 36);
  constexpr std::array<size_t, 16> kOrder{6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
  Bytes data;
  for (const size_t at : kOrder) {
    put(data, hex_digit(text[at]) << 4 | hex_digit(text[at + 1]));
  }
  return buffer(data);
}

Bytes name(std::string_view where, const Bytes& value) { return join({raw({kName}), path(where), value}); }
Bytes scope(std::string_view where, const Bytes& body) { return block({kScope}, path(where), body); }
Bytes device(std::string_view where, const Bytes& body) { return block({kExtended, kExtDevice}, path(where), body); }

Bytes method(std::string_view where, uint8_t arguments, bool serialized, const Bytes& body) {
  Bytes head = path(where);
  put(head, arguments | (serialized ? 8U : 0U));
  return block({kMethod}, head, body);
}

Bytes operation_region(std::string_view where, RegionSpace space, uint64_t base, uint64_t length) {
  return join(
      {raw({kExtended, kExtRegion}), path(where), raw({static_cast<unsigned>(space)}), integer(base), integer(length)});
}

Bytes field(std::string_view region, FieldAccess access, std::initializer_list<FieldUnit> units) {
  Bytes body = raw({static_cast<unsigned>(access)});  // no lock, preserve
  for (const FieldUnit& unit : units) {
    if (unit.name.empty()) {
      put(body, 0);
    } else {
      put_segment(body, unit.name);
    }
    append(body, package_length(unit.bits, false));
  }
  return block({kExtended, kExtField}, path(region), body);
}

Bytes dword_field(const Bytes& source, uint64_t byte_offset, std::string_view where) {
  return join({raw({kCreateDwordField}), source, integer(byte_offset), path(where)});
}

Bytes arg(unsigned index) { return raw({kArg0 + index}); }
Bytes local(unsigned index) { return raw({kLocal0 + index}); }
Bytes ret(const Bytes& value) { return join({raw({kReturn}), value}); }
Bytes if_true(const Bytes& predicate, const Bytes& body) { return block({kIf}, predicate, body); }
Bytes while_true(const Bytes& predicate, const Bytes& body) { return block({kWhile}, predicate, body); }
Bytes otherwise(const Bytes& body) { return block({kElse}, {}, body); }
Bytes store(const Bytes& value, const Bytes& target) { return join({raw({kStore}), value, target}); }

Bytes bit_and(const Bytes& a, const Bytes& b, const Bytes& target) {
  return join({raw({kAnd}), a, b, target.empty() ? raw({0}) : target});
}
Bytes bit_or(const Bytes& a, const Bytes& b, const Bytes& target) {
  return join({raw({kOr}), a, b, target.empty() ? raw({0}) : target});
}
Bytes add(const Bytes& a, const Bytes& b, const Bytes& target) {
  return join({raw({kAdd}), a, b, target.empty() ? raw({kZero}) : target});
}

Bytes element(const Bytes& package, uint64_t index) { return join({raw({kIndex}), package, integer(index), raw({kZero})}); }

Bytes shift_right(const Bytes& value, const Bytes& count) { return join({raw({kShiftRight}), value, count, raw({0})}); }
Bytes equal(const Bytes& a, const Bytes& b) { return join({raw({kLogicalEqual}), a, b}); }
Bytes logical_not(const Bytes& a) { return join({raw({kLogicalNot}), a}); }
Bytes notify(const Bytes& object, const Bytes& value) { return join({raw({kNotify}), object, value}); }

Bytes resources(const Bytes& descriptors) {
  Bytes data = descriptors;
  put(data, 0x79);  // end tag
  unsigned sum = 0;
  for (const std::byte b : data) {
    sum += std::to_integer<unsigned>(b);
  }
  put(data, 0x100 - (sum & 0xff));
  return buffer(data);
}

Bytes io_ports(uint16_t first, uint16_t count) {
  Bytes out = raw({0x47, 1});  // 16-bit decode
  put(out, first, 2);
  put(out, first, 2);
  put(out, 1);
  put(out, count);
  return out;
}

Bytes isa_irq(uint8_t irq) {
  Bytes out = raw({0x22});
  put(out, 1U << irq, 2);
  return out;
}

// As device of the ISA bus, compatible timing, 8 bits, bus master not (ACPI 6.4.2.2).
Bytes isa_dma(uint8_t channel) {
  Bytes out = raw({0x2A});
  put(out, 1U << channel, 1);
  put(out, 0, 1);
  return out;
}

Bytes memory32_fixed(bool writable, uint32_t base, uint32_t size) {
  Bytes out = raw({0x86, 9, 0, writable ? 1U : 0U});
  put(out, base, 4);
  put(out, size, 4);
  return out;
}

Bytes bus_range(uint16_t first, uint16_t last) { return address_space(kWordTag, 2, 2, kFixedProducer, 0, first, last); }
Bytes io_window(uint16_t first, uint16_t last) {
  return address_space(kWordTag, 2, 1, kFixedProducer, kEntireRange, first, last);
}
Bytes memory_window32(uint32_t first, uint32_t last) {
  return address_space(kDwordTag, 4, 0, kFixedProducer, kReadWriteUncached, first, last);
}
Bytes memory_window64(uint64_t first, uint64_t last) {
  return address_space(kQwordTag, 8, 0, kFixedProducer, kReadWriteUncached, first, last);
}

Bytes interrupt(uint32_t gsi, bool level) {
  Bytes out = raw({0x89, 6, 0, level ? 0x01U : 0x03U, 1});  // consumer, active high
  put(out, gsi, 4);
  return out;
}

}  // namespace lodge::aml
