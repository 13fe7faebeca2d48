#include <algorithm>

#include "devices/legacy/fw_cfg/device.h"

namespace lodge {
namespace {

void append_be(std::vector<std::byte>& out, uint64_t value, size_t size) {
  for (size_t i = size; i-- > 0;) {
    out.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}

std::vector<std::byte> little_endian(uint64_t value, size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(value >> (8 * i));
  }
  return bytes;
}

}  // namespace

FwCfgItems::FwCfgItems() {
  constexpr uint32_t kPortsAndDma = 3;
  const auto signature = bytes_of("QEMU");
  set(fw_cfg::kSignature, {signature.begin(), signature.end()});
  set_number(fw_cfg::kId, kPortsAndDma, 4);
}

FwCfgItems::Item& FwCfgItems::at(uint16_t key) {
  const auto it = std::ranges::find(items_, key, &Item::key);
  if (it != items_.end()) {
    *it = Item{key, {}, {}, nullptr};
    return *it;
  }
  return items_.emplace_back(Item{key, {}, {}, nullptr});
}

void FwCfgItems::set(uint16_t key, std::vector<std::byte> bytes) { at(key).bytes = std::move(bytes); }

void FwCfgItems::set_number(uint16_t key, uint64_t value, size_t size) { set(key, little_endian(value, size)); }

void FwCfgItems::set_text(uint16_t key, std::string_view text) {
  const auto bytes = bytes_of(text);
  std::vector<std::byte> ended(bytes.begin(), bytes.end());
  ended.push_back(std::byte{0});
  set(key, std::move(ended));
}

void FwCfgItems::set_view(uint16_t key, std::span<const std::byte> bytes) { at(key).view = bytes; }

void FwCfgItems::put_file(File file) {
  file.name.resize(std::min(file.name.size(), fw_cfg::kMaxName));
  const auto it = std::ranges::find(files_, file.name, &File::name);
  if (it != files_.end()) {
    *it = std::move(file);
  } else {
    files_.push_back(std::move(file));
  }
}

void FwCfgItems::add_file(std::string_view name, std::vector<std::byte> bytes) {
  put_file({std::string(name), std::move(bytes), nullptr});
}

void FwCfgItems::add_file(std::string_view name, FwCfgFile& file) { put_file({std::string(name), {}, &file}); }

void FwCfgItems::add_number_file(std::string_view name, uint64_t value, size_t size) {
  add_file(name, little_endian(value, size));
}

void FwCfgItems::finish() {
  std::ranges::sort(files_, {}, &File::name);
  std::vector<std::byte> directory;
  append_be(directory, files_.size(), 4);
  uint16_t key = fw_cfg::kFirstFile;
  for (File& file : files_) {
    append_be(directory, file.file != nullptr ? file.file->size() : file.bytes.size(), 4);
    append_be(directory, key, 2);
    append_be(directory, 0, 2);
    const auto name = bytes_of(file.name);
    directory.insert(directory.end(), name.begin(), name.end());
    directory.resize(directory.size() + fw_cfg::kMaxName + 1 - name.size());
    Item& item = at(key++);
    item.bytes = std::move(file.bytes);
    item.file = file.file;
  }
  files_.clear();
  set(fw_cfg::kDirectory, std::move(directory));
}

std::span<const std::byte> FwCfgItems::find(uint16_t key) const {
  const auto it = std::ranges::find(items_, key, &Item::key);
  if (it == items_.end()) {
    return {};
  }
  return it->bytes.empty() ? it->view : std::span<const std::byte>(it->bytes);
}

FwCfgFile* FwCfgItems::find_file(uint16_t key) const {
  const auto it = std::ranges::find(items_, key, &Item::key);
  return it == items_.end() ? nullptr : it->file;
}

}  // namespace lodge
