#include "vmm/config/json.h"

#include <algorithm>
#include <type_traits>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "vmm/config/fields.h"

namespace lodge {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

constexpr size_t kMaxItems = 4096;

template <class T>
std::string words_of() {
  return fmt::format("{}", fmt::join(EnumWords<T>::words, ", "));
}

class Reader {
 public:
  Reader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  template <class T>
  void field(std::string_view name, std::string_view, T& member, Bounds bounds = {}) {
    known_.emplace_back(name);
    if (const auto it = json_.find(name); it != json_.end() && error_.empty()) {
      read(*it, path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name), member, bounds);
    }
  }

  // After describe(): unknown members.
  void finish() {
    for (const auto& [name, value] : json_.items()) {
      if (error_.empty() && std::ranges::find(known_, name) == known_.end()) {
        error_ = fmt::format("{}{}{}: there is no such setting; known are {}", path_, path_.empty() ? "" : ".", name,
                             fmt::join(known_, ", "));
      }
    }
  }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  template <class T>
  void read(const Json& json, const std::string& path, T& member, Bounds bounds) {
    if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) {
        error_ = fmt::format("{}: must be true or false", path);
        return;
      }
      member = json.get<bool>();
    } else if constexpr (std::is_same_v<T, int>) {  // descriptors
      if (!json.is_number_integer() || json.get<int64_t>() < -1 || json.get<int64_t>() > 1'000'000) {
        error_ = fmt::format("{}: must be a descriptor number, or -1 for none", path);
        return;
      }
      member = json.get<int>();
    } else if constexpr (std::is_same_v<T, int64_t>) {
      const auto most = static_cast<int64_t>(bounds.most);
      if (!json.is_number_integer() || (json.is_number_unsigned() && json.get<uint64_t>() > bounds.most) ||
          json.get<int64_t>() < -most || json.get<int64_t>() > most) {
        error_ = fmt::format("{}: must be a number from {} to {}", path, -most, most);
        return;
      }
      member = json.get<int64_t>();
    } else if constexpr (std::is_integral_v<T>) {
      if (!json.is_number_unsigned() || json.get<uint64_t>() < bounds.least || json.get<uint64_t>() > bounds.most) {
        error_ = fmt::format("{}: must be a number from {} to {}", path, bounds.least, bounds.most);
        return;
      }
      member = json.get<T>();
    } else if constexpr (std::is_enum_v<T>) {
      const auto& words = EnumWords<T>::words;
      const auto it = json.is_string() ? std::ranges::find(words, json.get_ref<const std::string&>()) : words.end();
      if (it == words.end()) {
        error_ = fmt::format("{}: {} is not one of {}", path, json.dump(-1, ' ', false, Json::error_handler_t::replace),
                             words_of<T>());
        return;
      }
      member = static_cast<T>(it - words.begin());
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string() || json.get_ref<const std::string&>().find('\0') != std::string::npos) {
        error_ = fmt::format("{}: must be text", path);
        return;
      }
      member = json.get<std::string>();
    } else if constexpr (kIsVector<T>) {
      if (!json.is_array() || json.size() > kMaxItems) {
        error_ = fmt::format("{}: must be a list of at most {} items", path, kMaxItems);
        return;
      }
      member.clear();
      member.resize(json.size());
      for (size_t i = 0; i < json.size() && error_.empty(); ++i) {
        read(json[i], fmt::format("{}[{}]", path, i), member[i], bounds);
      }
    } else {
      if (!json.is_object()) {
        error_ = fmt::format("{}: must be an object", path);
        return;
      }
      Reader inner(json, path);
      describe(inner, member);
      inner.finish();
      error_ = inner.error();
    }
  }

  const Json& json_;
  std::string path_;
  std::vector<std::string> known_;
  std::string error_;
};

template <class T>
Json value_of(T& member);

class Writer {
 public:
  template <class T>
  void field(std::string_view name, std::string_view, T& member, Bounds = {}) {
    json[std::string(name)] = value_of(member);
  }
  Json json = Json::object();
};

template <class T>
Json value_of(T& member) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(EnumWords<T>::words.at(static_cast<size_t>(member)));
  } else if constexpr (std::is_integral_v<T> || std::is_same_v<T, std::string>) {
    return member;
  } else if constexpr (kIsVector<T>) {
    Json list = Json::array();
    for (auto& item : member) {
      list.push_back(value_of(item));
    }
    return list;
  } else {
    Writer writer;
    describe(writer, member);
    return writer.json;
  }
}

template <class T>
Json schema_of(T& member, Bounds bounds);

class SchemaWriter {
 public:
  template <class T>
  void field(std::string_view name, std::string_view help, T& member, Bounds bounds = {}) {
    Json schema = schema_of(member, bounds);
    schema["description"] = help;
    properties[std::string(name)] = std::move(schema);
  }
  Json properties = Json::object();
};

template <class T>
Json schema_of(T& member, Bounds bounds) {
  Json schema;
  if constexpr (std::is_same_v<T, bool>) {
    schema = {{"type", "boolean"}, {"default", member}};
  } else if constexpr (std::is_same_v<T, int>) {
    schema = {{"type", "integer"}, {"minimum", -1}, {"default", member}};
  } else if constexpr (std::is_same_v<T, int64_t>) {
    const auto most = static_cast<int64_t>(bounds.most);
    schema = {{"type", "integer"}, {"minimum", -most}, {"maximum", most}, {"default", member}};
  } else if constexpr (std::is_integral_v<T>) {
    schema = {{"type", "integer"}, {"minimum", bounds.least}, {"maximum", bounds.most}, {"default", member}};
  } else if constexpr (std::is_enum_v<T>) {
    Json words = Json::array();
    for (const auto word : EnumWords<T>::words) {
      words.push_back(std::string(word));
    }
    schema = {{"enum", words}, {"default", value_of(member)}};
  } else if constexpr (std::is_same_v<T, std::string>) {
    schema = {{"type", "string"}, {"default", member}};
  } else if constexpr (kIsVector<T>) {
    typename T::value_type item{};
    schema = {{"type", "array"}, {"items", schema_of(item, bounds)}, {"maxItems", kMaxItems}};
  } else {
    SchemaWriter writer;
    describe(writer, member);
    schema = {{"type", "object"}, {"properties", writer.properties}, {"additionalProperties", false}};
  }
  return schema;
}

template <class Settings>
Result<void> apply_text(Settings& settings, std::string_view text, std::string_view what) {
  // Depth is bounded by the callback: no document of ours nests deeper than this.
  constexpr int kMaxDepth = 16;
  bool too_deep = false;
  const Json json = Json::parse(
      text,
      [&too_deep](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kMaxDepth;
        return !too_deep;
      },
      false);
  if (too_deep || json.is_discarded()) {
    return fail("{}: not valid JSON{}", what, too_deep ? " (nested too deep)" : "");
  }
  if (!json.is_object()) {
    return fail("{}: must be a JSON object", what);
  }
  Reader reader(json, "");
  Settings wanted = settings;
  describe(reader, wanted);
  reader.finish();
  if (!reader.error().empty()) {
    return fail("{}: {}", what, reader.error());
  }
  settings = std::move(wanted);
  return {};
}

}  // namespace

Result<void> apply_json(MachineConfig& config, std::string_view text) { return apply_text(config, text, "configuration"); }

Result<DiskSettings> disk_from_json(std::string_view text) {
  DiskSettings disk;
  TRY_VOID(apply_text(disk, text, "disk"));
  return disk;
}

Result<NetSettings> net_from_json(std::string_view text) {
  NetSettings net;
  TRY_VOID(apply_text(net, text, "NIC"));
  return net;
}

Result<InputSettings> input_from_json(std::string_view text) {
  InputSettings input;
  TRY_VOID(apply_text(input, text, "input device"));
  return input;
}

Result<UsbDeviceSettings> usb_device_from_json(std::string_view text) {
  UsbDeviceSettings device;
  TRY_VOID(apply_text(device, text, "USB device"));
  return device;
}

std::string to_json(const MachineConfig& config) {
  MachineConfig copy = config;  // describe() takes what it may change
  return value_of(copy).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string config_schema() {
  MachineConfig defaults;
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "Lodge machine"}};
  schema.update(schema_of(defaults, {}));
  return schema.dump(2) + "\n";
}

}  // namespace lodge
