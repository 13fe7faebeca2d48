// State records: round trip, unknown and truncated input, versions.
#include "base/state/record.h"

#include <catch2/catch.hpp>

namespace lodge {

enum class Colour : uint8_t { red, green };
struct InnerState {
  uint16_t number = 7;
  friend bool operator==(const InnerState&, const InnerState&) = default;
};
struct OuterState {
  uint64_t big = 0;
  bool flag = true;
  Colour colour = Colour::red;
  std::string text = "default";
  std::array<uint8_t, 3> bytes{1, 2, 3};
  std::vector<uint32_t> list;
  InnerState inner;
  std::vector<InnerState> inners;
  friend bool operator==(const OuterState&, const OuterState&) = default;
};
struct NewerState {
  uint64_t big = 0;
  uint32_t extra = 5;
};
struct ShortArrayState {
  std::array<uint8_t, 2> bytes{};
};

template <>
struct Schema<InnerState> {
  static constexpr std::string_view name = "test-inner";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "number", &InnerState::number)};
};
template <>
struct Schema<OuterState> {
  using S = OuterState;
  static constexpr std::string_view name = "test-outer";
  static constexpr uint16_t version = 2;
  static constexpr auto fields =
      std::tuple{field(1, "big", &S::big),     field(2, "flag", &S::flag),    field(3, "colour", &S::colour),
                 field(4, "text", &S::text),   field(5, "bytes", &S::bytes),  field(6, "list", &S::list),
                 field(7, "inner", &S::inner), field(8, "inners", &S::inners)};
};
template <>
struct Schema<NewerState> {
  static constexpr std::string_view name = "test-outer";
  static constexpr uint16_t version = 3;
  static constexpr auto fields = std::tuple{field(1, "big", &NewerState::big), field(9, "extra", &NewerState::extra)};
};
template <>
struct Schema<ShortArrayState> {
  static constexpr std::string_view name = "test-outer";
  static constexpr uint16_t version = 2;
  static constexpr auto fields = std::tuple{field(5, "bytes", &ShortArrayState::bytes)};
};

namespace {

OuterState full() {
  return {~uint64_t{0}, false, Colour::green, std::string("a\0b", 3), {9, 8, 7}, {1, 2, UINT32_MAX}, {8}, {{1}, {7}, {3}}};
}

StateBytes written(const auto& value, std::string_view id = "dev0") {
  StateWriter out;
  out.put(id, value);
  return out.bytes();
}

Result<OuterState> read_back(std::span<const std::byte> bytes) {
  return TRY(StateReader::parse(bytes)).get<OuterState>("dev0");
}

}  // namespace

TEST_CASE("state_round_trip_gives_the_same_value") {
  CHECK(*read_back(written(full())) == full());
  CHECK(*read_back(written(OuterState{})) == OuterState{});
}

TEST_CASE("state_at_its_defaults_takes_no_bytes_but_the_record") { CHECK(written(OuterState{}).size() < 40); }

TEST_CASE("state_truncated_at_any_byte_is_refused") {
  const StateBytes whole = written(full());
  for (size_t length = 0; length < whole.size(); ++length) {
    CHECK_FALSE(read_back(std::span(whole).first(length)));
  }
}

TEST_CASE("state_with_any_byte_changed_is_refused_or_read_without_harm") {
  const StateBytes whole = written(full());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const uint8_t flip : {0x01, 0x80, 0xFF}) {
      StateBytes damaged = whole;
      damaged[at] ^= std::byte{flip};
      (void)read_back(damaged);
    }
  }
}

TEST_CASE("state_of_a_newer_version_is_refused_by_name") {
  const auto outcome = read_back(written(NewerState{}));
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().message == "test-outer v3, this build knows v2");
}

TEST_CASE("state_of_an_older_version_has_defaults_for_what_it_lacks") {
  const auto reader = *StateReader::parse(written(OuterState{.big = 3}));
  const auto newer = reader.get<NewerState>("dev0");
  REQUIRE(newer);
  CHECK(newer->big == 3);
  CHECK(newer->extra == 5);
}

TEST_CASE("state_with_an_unknown_field_is_refused_by_name") {
  const auto reader = *StateReader::parse(written(full()));
  const auto outcome = reader.get<NewerState>("dev0");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().message.find("test-outer") != std::string::npos);
  CHECK(outcome.error().message.find("field 2") != std::string::npos);
}

TEST_CASE("state_array_of_another_length_is_refused") {
  const OuterState only_bytes{.bytes = {4, 4, 4}};
  CHECK_FALSE(StateReader::parse(written(only_bytes))->get<ShortArrayState>("dev0"));
}

TEST_CASE("state_list_that_claims_more_than_there_is_allocates_nothing") {
  OuterState state;
  state.list = {1};
  StateBytes bytes = written(state);
  // The count follows record head, field id and field length.
  const size_t count_at = bytes.size() - 8;
  for (size_t i = 0; i < 4; ++i) {
    bytes[count_at + i] = std::byte{0xFF};
  }
  CHECK_FALSE(read_back(bytes));
}

TEST_CASE("state_records_are_found_by_kind_and_id_and_unused_ones_are_named") {
  StateWriter out;
  out.put("dev0", OuterState{.big = 1});
  out.put("dev1", OuterState{.big = 2});
  out.put("dev0", InnerState{3});
  const auto reader = *StateReader::parse(out.bytes());
  CHECK(reader.get<OuterState>("dev1")->big == 2);
  CHECK(reader.get<InnerState>("dev0")->number == 3);
  CHECK(reader.has<OuterState>("dev0"));
  CHECK_FALSE(reader.has<InnerState>("dev1"));
  CHECK(reader.get<InnerState>("dev1").error().message.find("test-inner 'dev1'") != std::string::npos);
  CHECK(reader.check_all_used().error().message.find("test-outer 'dev0'") != std::string::npos);
  (void)reader.get<OuterState>("dev0");
  CHECK(reader.check_all_used());
}

TEST_CASE("state_with_a_record_twice_is_refused") {
  StateWriter out;
  out.put("dev0", InnerState{});
  out.put("dev0", InnerState{});
  CHECK_FALSE(StateReader::parse(out.bytes()));
}

}  // namespace lodge
