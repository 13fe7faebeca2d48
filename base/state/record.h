// Records of a saved state: {kind, id, version, payload}, in memory. migration/save_file puts them into a file.
//
// Kind is the Schema's name ("virtio-rng"), id the device's configured name ("rng0"): the key is never an index.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/state/schema.h"

namespace lodge {

// Collects records. A pair of kind and id may be put once.
class StateWriter {
 public:
  template <Described T>
  void put(std::string_view id, const T& value) {
    StateBytes payload;
    state_detail::encode_struct(payload, value);
    put_raw(Schema<T>::name, id, Schema<T>::version, std::move(payload));
  }
  [[nodiscard]] const StateBytes& bytes() const { return out_; }

 private:
  void put_raw(std::string_view kind, std::string_view id, uint16_t version, StateBytes payload);
  StateBytes out_;
};

// Reads them back. Everything is checked: a state file is as hostile as a guest.
class StateReader {
 public:
  [[nodiscard]] static Result<StateReader> parse(std::span<const std::byte> bytes);

  // The record of this kind and id. Errors: absent, newer than this build, unknown field, damaged.
  template <Described T>
  [[nodiscard]] Result<T> get(std::string_view id) const {
    T value{};
    const std::span<const std::byte> payload = TRY(find(Schema<T>::name, id, Schema<T>::version));
    if (auto outcome = state_detail::decode_struct(payload, value); !outcome) {
      return context(outcome.error(), fmt::format("saved {} '{}'", Schema<T>::name, id));
    }
    return value;
  }
  template <Described T>
  [[nodiscard]] bool has(std::string_view id) const {
    return records_.contains({std::string(Schema<T>::name), std::string(id)});
  }
  // Records that nobody asked for: the state describes devices that this machine does not have.
  [[nodiscard]] Result<void> check_all_used() const;

 private:
  struct Record {
    uint16_t version = 0;
    StateBytes payload;
  };
  using Key = std::pair<std::string, std::string>;
  [[nodiscard]] Result<std::span<const std::byte>> find(std::string_view kind, std::string_view id, uint16_t known) const;
  std::map<Key, Record> records_;
  mutable std::set<Key> used_;
};

}  // namespace lodge
