// Result<T> and Error: how every fallible call of Lodge reports. The only file that names std::expected.
//
// An Error carries one human sentence, innermost cause last ("open disk 'vda' (/srv/a.img): Permission denied"), and the
// errno behind it when there is one. Each layer adds context() once; nothing logs and returns the same error.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/core.h>

namespace lodge {

struct Error {
  std::string message;
  int code = 0;  // errno value, or 0 when the cause is not a system call
};

template <class T>
using Result = std::expected<T, Error>;

// An error from text: fail("vCPU count {} is above the limit {}", n, max).
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), 0});
}

// An error from an errno value: fail_errno(errno, "open {}", path) -> "open PATH: No such file or directory".
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(int code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{
      fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...), std::generic_category().message(code)), code});
}

// The same error seen from one layer up.
[[nodiscard]] inline std::unexpected<Error> context(Error error, std::string_view what) {
  error.message = fmt::format("{}: {}", what, error.message);
  return std::unexpected(std::move(error));
}

}  // namespace lodge

// TRY(expr): the value of a Result, or return its error from the enclosing function.
#define TRY(expr) LODGE_TRY_(LODGE_TRY_NAME_(__COUNTER__), expr)
// TRY_VOID(expr): the same for Result<void>.
#define TRY_VOID(expr) LODGE_TRY_VOID_(LODGE_TRY_NAME_(__COUNTER__), expr)
// TRY_CONTEXT(expr, "what") and TRY_VOID_CONTEXT: with context added to the error.
#define TRY_CONTEXT(expr, what) LODGE_TRY_CONTEXT_(LODGE_TRY_NAME_(__COUNTER__), expr, what)
#define TRY_VOID_CONTEXT(expr, what) LODGE_TRY_VOID_CONTEXT_(LODGE_TRY_NAME_(__COUNTER__), expr, what)

// Each use has a name of its own, so that uses may nest.
#define LODGE_TRY_JOIN_(a, b) a##b
#define LODGE_TRY_NAME_(counter) LODGE_TRY_JOIN_(lodge_try_, counter)
#define LODGE_TRY_(name, expr)                         \
  __extension__({                                      \
    auto name = (expr);                                \
    if (!name) {                                       \
      return std::unexpected(std::move(name).error()); \
    }                                                  \
    std::move(*name);                                  \
  })
#define LODGE_TRY_VOID_(name, expr)                    \
  do {                                                 \
    auto name = (expr);                                \
    if (!name) {                                       \
      return std::unexpected(std::move(name).error()); \
    }                                                  \
  } while (false)
#define LODGE_TRY_CONTEXT_(name, expr, what)                  \
  __extension__({                                             \
    auto name = (expr);                                       \
    if (!name) {                                              \
      return ::lodge::context(std::move(name).error(), what); \
    }                                                         \
    std::move(*name);                                         \
  })
#define LODGE_TRY_VOID_CONTEXT_(name, expr, what)             \
  do {                                                        \
    auto name = (expr);                                       \
    if (!name) {                                              \
      return ::lodge::context(std::move(name).error(), what); \
    }                                                         \
  } while (false)
