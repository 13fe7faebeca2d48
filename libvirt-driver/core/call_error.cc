#include "libvirt-driver/core/call_error.h"

namespace lodge {

// The texts are those of libvirt's clients and scripts: they are shown, searched for and matched.
std::string_view message_prefix(int code) {
  switch (code) {
    case VIR_ERR_INTERNAL_ERROR: return "internal error";
    case VIR_ERR_NO_MEMORY: return "out of memory";
    case VIR_ERR_NO_SUPPORT: return "this function is not supported by the connection driver";
    case VIR_ERR_NO_CONNECT: return "no connection driver available for";
    case VIR_ERR_INVALID_CONN: return "invalid connection pointer in";
    case VIR_ERR_INVALID_DOMAIN: return "invalid domain pointer in";
    case VIR_ERR_INVALID_ARG: return "invalid argument";
    case VIR_ERR_OPERATION_FAILED: return "operation failed";
    case VIR_ERR_OS_TYPE: return "unknown OS type";
    case VIR_ERR_NO_KERNEL: return "missing kernel information";
    case VIR_ERR_DOM_EXIST: return "domain already exists with name";
    case VIR_ERR_OPERATION_DENIED: return "operation forbidden";
    case VIR_ERR_OPEN_FAILED: return "failed to open";
    case VIR_ERR_XML_ERROR: return "XML error";
    case VIR_ERR_NO_DOMAIN: return "Domain not found";
    case VIR_ERR_AUTH_FAILED: return "authentication failed";
    case VIR_ERR_AUTH_CANCELLED: return "authentication cancelled";
    case VIR_ERR_AUTH_UNAVAILABLE: return "authentication unavailable";
    case VIR_ERR_NO_SECURITY_MODEL: return "Security model not found";
    case VIR_ERR_OPERATION_INVALID: return "Requested operation is not valid";
    case VIR_ERR_CONFIG_UNSUPPORTED: return "unsupported configuration";
    case VIR_ERR_OPERATION_TIMEOUT: return "Timed out during operation";
    case VIR_ERR_NO_DOMAIN_SNAPSHOT: return "Domain snapshot not found";
    case VIR_ERR_INVALID_STREAM: return "invalid stream pointer";
    case VIR_ERR_ARGUMENT_UNSUPPORTED: return "argument unsupported";
    case VIR_ERR_OPERATION_ABORTED: return "operation aborted";
    case VIR_ERR_NO_DOMAIN_METADATA: return "metadata not found";
    case VIR_ERR_MIGRATE_UNSAFE: return "Unsafe migration";
    case VIR_ERR_OVERFLOW: return "numerical overflow";
    case VIR_ERR_OPERATION_UNSUPPORTED: return "Operation not supported";
    case VIR_ERR_AGENT_UNRESPONSIVE: return "Guest agent is not responding";
    case VIR_ERR_ACCESS_DENIED: return "access denied";
    case VIR_ERR_CPU_INCOMPATIBLE: return "the CPU is incompatible with host CPU";
    case VIR_ERR_XML_INVALID_SCHEMA: return "XML document failed to validate against schema";
    case VIR_ERR_DEVICE_MISSING: return "device not found";
    case VIR_ERR_RESOURCE_BUSY: return "resource busy";
    default: return "";
  }
}

std::string CallError::message() const {
  const std::string_view prefix = message_prefix(code);
  return prefix.empty() ? detail : fmt::format("{}: {}", prefix, detail);
}

}  // namespace lodge
