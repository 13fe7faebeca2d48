// Parts of scattered memory. The memory may be the guest's, which changes it meanwhile: every byte is read or written once.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lodge {

// The kernel's limit of parts in one call.
inline constexpr size_t kMaxIov = 1024;

// The parts of `iov` in [offset, offset + limit), at most kMaxIov of them. Returns the bytes covered.
uint64_t slice_iov(std::span<const iovec> iov, uint64_t offset, uint64_t limit, std::vector<iovec>& out);
// Between a flat buffer and all of `parts`.
void copy_to_iov(std::span<const iovec> parts, const std::byte* flat);
void copy_from_iov(std::span<const iovec> parts, std::byte* flat);
// Zeros in [offset, offset + length) of `iov`.
void zero_iov(std::span<const iovec> iov, uint64_t offset, uint64_t length);

}  // namespace lodge
