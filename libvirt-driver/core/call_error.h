// CallError: how a call of a client fails, in libvirt's terms: a code that clients branch on, and a detail for people.
//
// Functions that a call reaches give Answer<T>; what comes up from the layers below as Error becomes an internal error (or a
// system error when there is an errno), so TRY works for both. Values, any thread.
#pragma once

#include <libvirt/virterror.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace lodge {

struct CallError {
  int code = VIR_ERR_INTERNAL_ERROR;
  std::string detail;          // "no domain with matching name 'web'"
  int domain = VIR_FROM_QEMU;  // libvirt has no number for us; clients merge errors of this one
  int system_error = 0;        // errno, for VIR_ERR_SYSTEM_ERROR

  CallError(int error_code, std::string text, int error_domain = VIR_FROM_QEMU)
      : code(error_code), detail(std::move(text)), domain(error_domain) {}
  CallError(Error error)  // NOLINT(google-explicit-constructor): errors of lower layers pass through TRY
      : code(error.code != 0 ? VIR_ERR_SYSTEM_ERROR : VIR_ERR_INTERNAL_ERROR),
        detail(std::move(error.message)),
        system_error(error.code) {}

  // What a client shows: the code's standard beginning, then the detail ("Domain not found: no domain with ...").
  [[nodiscard]] std::string message() const;
};

template <class T>
using Answer = std::expected<T, CallError>;

// call_error(VIR_ERR_NO_DOMAIN, "no domain with matching name '{}'", name)
template <class... Args>
[[nodiscard]] std::unexpected<CallError> call_error(int code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(CallError(code, fmt::format(format, std::forward<Args>(args)...)));
}

// The standard beginning of a code's messages, "" if it has none.
[[nodiscard]] std::string_view message_prefix(int code);

}  // namespace lodge
