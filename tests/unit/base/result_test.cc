// Result, Error and the TRY macros; units; descriptors.
#include "base/result.h"

#include <fcntl.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <memory>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"

namespace lodge {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) {
    return fail("{} is odd", value);
  }
  return value / 2;
}
Result<int> quarter(int value) { return TRY(half(TRY(half(value)))); }
Result<void> check_even(int value) {
  TRY_VOID_CONTEXT(half(value), "check");
  return {};
}
Result<std::unique_ptr<int>> boxed(int value) { return std::make_unique<int>(TRY_CONTEXT(half(value), "box")); }

}  // namespace

TEST_CASE("try_passes_values_and_errors_on") {
  CHECK(*quarter(8) == 2);
  CHECK(quarter(6).error().message == "3 is odd");
  CHECK(check_even(2));
  CHECK(check_even(3).error().message == "check: 3 is odd");
  CHECK(**boxed(4) == 2);
  CHECK(boxed(5).error().message == "box: 5 is odd");
}

TEST_CASE("errno_errors_have_text_and_code") {
  const auto outcome = []() -> Result<void> { return fail_errno(ENOENT, "open {}", "x"); }();
  CHECK(outcome.error().message == "open x: No such file or directory");
  CHECK(outcome.error().code == ENOENT);
  CHECK(context(outcome.error(), "disk").error().code == ENOENT);
}

TEST_CASE("checked_arithmetic_notices_overflow") {
  CHECK(*checked_add(1, 2) == 3);
  CHECK_FALSE(checked_add(UINT64_MAX, 1));
  CHECK(*checked_mul(1ULL << 32, (1ULL << 32) - 1) == 0xFFFFFFFF00000000);
  CHECK_FALSE(checked_mul(1ULL << 32, 1ULL << 32));
  CHECK(range_fits(0, 10, 10));
  CHECK_FALSE(range_fits(1, 10, 10));
  CHECK_FALSE(range_fits(UINT64_MAX, 2, 10));
  CHECK_FALSE(range_fits(2, UINT64_MAX, 10));
  CHECK(truncate_to(0x1122334455667788, 8) == 0x1122334455667788);
  CHECK(truncate_to(0x1122334455667788, 2) == 0x7788);
  CHECK(align_up(4097, 4096) == 8192);
}

TEST_CASE("fd_closes_what_it_owns_once") {
  int pipes[2];
  REQUIRE(::pipe(pipes) == 0);
  {
    Fd first(pipes[0]);
    Fd second(std::move(first));
    CHECK_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is the question
    Fd third;
    third = std::move(second);
    const Fd copy = *third.duplicate();
    CHECK(copy.get() != third.get());
    CHECK((::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(::fcntl(pipes[0], F_GETFD) == -1);
  ::close(pipes[1]);
  CHECK(open_file("/nonexistent/file", O_RDONLY).error().message.find("/nonexistent/file") != std::string::npos);
}

TEST_CASE("event_counter_drains_what_was_signalled") {
  const auto event = *EventFd::create();
  CHECK(event.drain() == 0);
  event.signal();
  event.signal();
  CHECK(event.drain() == 2);
  CHECK(event.drain() == 0);
}

TEST_CASE("guest_warnings_count_all_and_admit_few") {
  GuestWarnings warnings;
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) {
    admitted += warnings.admit() ? 1 : 0;
  }
  CHECK(warnings.count() == 1000);
  CHECK(admitted >= 1);
  CHECK(admitted <= 10);
}

}  // namespace lodge
