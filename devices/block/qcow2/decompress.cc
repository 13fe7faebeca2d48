#include "devices/block/qcow2/decompress.h"

#include <zlib.h>
#include <zstd.h>

namespace lodge::qcow2 {
namespace {

bool inflate_all(std::span<const std::byte> from, std::span<std::byte> to) {
  z_stream stream{};
  if (inflateInit2(&stream, -15) != Z_OK) {  // no header; the largest window, which takes all others
    return false;
  }
  // SAFETY: zlib takes bytes as unsigned characters, and reads only.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(to.data());
  stream.avail_out = static_cast<uInt>(to.size());
  const int outcome = inflate(&stream, Z_FINISH);
  const bool whole = stream.avail_out == 0 && (outcome == Z_STREAM_END || outcome == Z_BUF_ERROR);
  (void)inflateEnd(&stream);
  return whole;
}

bool unzstd(std::span<const std::byte> from, std::span<std::byte> to) {
  ZSTD_DCtx* const context = ZSTD_createDCtx();
  if (context == nullptr) {
    return false;
  }
  ZSTD_inBuffer in{from.data(), from.size(), 0};
  ZSTD_outBuffer out{to.data(), to.size(), 0};
  bool good = true;
  while (good && out.pos < out.size) {
    const size_t before = in.pos + out.pos;
    good = ZSTD_isError(ZSTD_decompressStream(context, &out, &in)) == 0 && in.pos + out.pos > before;
  }
  ZSTD_freeDCtx(context);
  return good;
}

}  // namespace

bool decompress(Compression kind, std::span<const std::byte> from, std::span<std::byte> to) {
  return kind == Compression::zlib ? inflate_all(from, to) : unzstd(from, to);
}

}  // namespace lodge::qcow2
