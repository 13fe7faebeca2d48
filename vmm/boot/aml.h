// A writer of ACPI Machine Language (ACPI 6.5 chapter 20): each function gives the bytes of one term, and terms nest by
// being passed to the function of the enclosing one. Called by the ACPI builder; pure functions.
// Arguments are our own constants and configuration, so a malformed name is a bug (assert), not an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

namespace lodge::aml {

using Bytes = std::vector<std::byte>;

// All parts in order.
[[nodiscard]] Bytes join(std::initializer_list<Bytes> parts);
void append(Bytes& to, const Bytes& more);

// Names: up to four characters a segment, "\\_SB.PCI0" or "^FOO"; short segments are padded with '_'.
[[nodiscard]] Bytes path(std::string_view text);

// Data.
[[nodiscard]] Bytes integer(uint64_t value);
[[nodiscard]] Bytes dword(uint32_t value);  // always as long: where firmware puts another one
[[nodiscard]] Bytes string(std::string_view text);
[[nodiscard]] Bytes eisa_id(std::string_view id);  // "PNP0A08"
[[nodiscard]] Bytes buffer(std::span<const std::byte> data);
[[nodiscard]] Bytes package(const std::vector<Bytes>& elements);  // at most 255
[[nodiscard]] Bytes uuid_buffer(std::string_view text);           // as ToUUID writes it

// Declarations.
[[nodiscard]] Bytes name(std::string_view path, const Bytes& value);
[[nodiscard]] Bytes scope(std::string_view path, const Bytes& body);
[[nodiscard]] Bytes device(std::string_view name, const Bytes& body);
[[nodiscard]] Bytes method(std::string_view name, uint8_t arguments, bool serialized, const Bytes& body);

enum class RegionSpace : uint8_t { memory = 0, io = 1, pci_config = 2 };
[[nodiscard]] Bytes operation_region(std::string_view name, RegionSpace space, uint64_t base, uint64_t length);
enum class FieldAccess : uint8_t { any = 0, byte = 1, word = 2, dword = 3 };
struct FieldUnit {
  std::string_view name;  // empty: a gap
  uint32_t bits = 0;
};
[[nodiscard]] Bytes field(std::string_view region, FieldAccess access, std::initializer_list<FieldUnit> units);
// A dword of a buffer under a name (CreateDWordField).
[[nodiscard]] Bytes dword_field(const Bytes& source, uint64_t byte_offset, std::string_view name);

// Statements and expressions.
[[nodiscard]] Bytes arg(unsigned index);
[[nodiscard]] Bytes local(unsigned index);
[[nodiscard]] Bytes ret(const Bytes& value);
[[nodiscard]] Bytes if_true(const Bytes& predicate, const Bytes& body);
[[nodiscard]] Bytes while_true(const Bytes& predicate, const Bytes& body);
[[nodiscard]] Bytes otherwise(const Bytes& body);  // directly after if_true
[[nodiscard]] Bytes store(const Bytes& value, const Bytes& target);
[[nodiscard]] Bytes bit_and(const Bytes& a, const Bytes& b, const Bytes& target = {});  // empty target: result only
[[nodiscard]] Bytes bit_or(const Bytes& a, const Bytes& b, const Bytes& target = {});
[[nodiscard]] Bytes add(const Bytes& a, const Bytes& b, const Bytes& target = {});
[[nodiscard]] Bytes shift_right(const Bytes& value, const Bytes& count);
[[nodiscard]] Bytes element(const Bytes& package, uint64_t index);  // of a package in a local variable; a target, too
[[nodiscard]] Bytes equal(const Bytes& a, const Bytes& b);
[[nodiscard]] Bytes logical_not(const Bytes& a);
[[nodiscard]] Bytes notify(const Bytes& object, const Bytes& value);

// Resource descriptors; resources() closes a list of them into a buffer with end tag and checksum.
[[nodiscard]] Bytes resources(const Bytes& descriptors);
[[nodiscard]] Bytes io_ports(uint16_t first, uint16_t count);
[[nodiscard]] Bytes isa_irq(uint8_t irq);  // edge, active high, exclusive
[[nodiscard]] Bytes isa_dma(uint8_t channel);
[[nodiscard]] Bytes memory32_fixed(bool writable, uint32_t base, uint32_t size);
[[nodiscard]] Bytes bus_range(uint16_t first, uint16_t last);
[[nodiscard]] Bytes io_window(uint16_t first, uint16_t last);
[[nodiscard]] Bytes memory_window32(uint32_t first, uint32_t last);
[[nodiscard]] Bytes memory_window64(uint64_t first, uint64_t last);
[[nodiscard]] Bytes interrupt(uint32_t gsi, bool level);  // active high, exclusive

}  // namespace lodge::aml
