#include "vmm/cpu/model_map.h"

#include <expat.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/fd.h"

namespace lodge {
namespace {

constexpr uint64_t kMaxFile = uint64_t{4} << 20;
constexpr size_t kMaxDepth = 16;
constexpr size_t kMaxFiles = 1024;
constexpr size_t kMaxNames = 8192;  // models, features, aliases
constexpr std::string_view kRemedy = "install libvirt0, which brings /usr/share/libvirt/cpu_map";

template <class Map>
std::string names_of(const Map& map) {
  std::string out;
  for (const auto& [name, value] : map) {
    out += out.empty() ? name : ", " + name;
  }
  return out;
}

}  // namespace

// Reads index.xml and what it includes into a CpuMap. expat calls back into C functions, so errors are kept and parsing
// stops.
class CpuMapReader {
 public:
  explicit CpuMapReader(std::string directory) : directory_(std::move(directory)) {}

  Result<CpuMap> read() {
    TRY_VOID_CONTEXT(read_file("index.xml"), std::string("CPU models cannot be read (") + std::string(kRemedy) + ")");
    TRY_VOID(resolve());
    return std::move(map_);
  }

 private:
  using Attributes = const XML_Char**;

  struct RawModel {
    CpuModel model;
    std::vector<std::string> ancestors;
    std::vector<std::string> removed;
  };

  static std::string_view attribute(Attributes attributes, std::string_view name) {
    for (; *attributes != nullptr; attributes += 2) {
      if (name == attributes[0]) {
        return attributes[1];
      }
    }
    return {};
  }

  void error(const std::string& text) {
    if (error_.empty()) {
      error_ = fmt::format("line {}: {}", XML_GetCurrentLineNumber(parser_), text);
    }
    XML_StopParser(parser_, XML_FALSE);
  }

  std::string name_attribute(Attributes attributes) {
    const std::string_view name = attribute(attributes, "name");
    if (name.empty() || name.size() > 64) {
      error("a name is missing or too long");
    }
    return std::string(name);
  }

  // Decimal or 0x hexadecimal; absent is 0. "5-7" gives 5.
  uint32_t number(Attributes attributes, std::string_view name) {
    std::string_view text = attribute(attributes, name);
    if (text.empty()) {
      return 0;
    }
    int base = 10;
    if (text.starts_with("0x")) {
      text.remove_prefix(2);
      base = 16;
    }
    uint32_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc{} || (end != text.data() + text.size() && *end != '-' && *end != ',')) {
      error(fmt::format("'{}' is not a number for {}", text.substr(0, 40), name));
    }
    return value;
  }

  void start(std::string_view element, Attributes attributes) {
    const std::string parent = path_.empty() ? std::string() : path_.back();
    path_.emplace_back(element);
    if (path_.size() > kMaxDepth) {
      return error("elements are nested too deeply");
    }
    if (element == "arch") {
      foreign_ = attribute(attributes, "name") != "x86";
    } else if (foreign_) {
      return;
    } else if (parent == "model") {
      start_in_model(element, attributes);
    } else if (parent == "feature") {
      start_in_feature(element, attributes);
    } else if (element == "include") {
      includes_.emplace_back(attribute(attributes, "filename"));
    } else if (element == "vendor") {
      map_.vendors_[name_attribute(attributes)] = std::string(attribute(attributes, "string").substr(0, 12));
    } else if (element == "feature") {
      start_feature(attributes);
    } else if (element == "model") {
      model_ = {};
      model_.model.name = name_attribute(attributes);
    }
  }

  void start_feature(Attributes attributes) {
    CpuFeature feature;
    feature.name = name_attribute(attributes);
    feature.migratable = attribute(attributes, "migratable") != "no";
    feature_ = feature.name;
    if (map_.features_.size() >= kMaxNames || !map_.features_.emplace(feature_, std::move(feature)).second) {
      error(fmt::format("feature '{}' is defined twice or one too many", feature_));
    }
  }

  void start_in_feature(std::string_view element, Attributes attributes) {
    if (element == "alias") {
      if (map_.aliases_.size() < kMaxNames) {
        map_.aliases_.emplace(name_attribute(attributes), feature_);
      }
      return;
    }
    if (element != "cpuid" && element != "msr") {
      return;
    }
    CpuBits bits;
    bits.msr = element == "msr";
    bits.leaf = number(attributes, bits.msr ? "index" : "eax_in");
    bits.subleaf = number(attributes, "ecx_in");
    bits.eax = number(attributes, "eax");
    bits.ebx = number(attributes, "ebx");
    bits.ecx = number(attributes, "ecx");
    bits.edx = number(attributes, "edx");
    const auto feature = map_.features_.find(feature_);
    if (feature != map_.features_.end() && feature->second.bits.size() < 16) {
      feature->second.bits.push_back(bits);
    }
  }

  void start_in_model(std::string_view element, Attributes attributes) {
    CpuModel& model = model_.model;
    if (element == "feature") {
      const std::string name = name_attribute(attributes);
      if (model.features.size() + model_.removed.size() >= kMaxNames) {
        return error("the model has too many features");
      }
      if (attribute(attributes, "removed") == "yes") {
        model_.removed.push_back(name);
      } else if (attribute(attributes, "added") != "yes") {  // "added" ones came after the model did: not required of it
        model.features.push_back(name);
      }
    } else if (element == "model") {
      model_.ancestors.push_back(name_attribute(attributes));
    } else if (element == "vendor") {
      model.vendor = name_attribute(attributes);
    } else if (element == "decode") {
      model.host_usable = attribute(attributes, "host") != "off";
    } else if (element == "signature" && model.signatures.size() < 64) {
      model.signatures.push_back(
          {number(attributes, "family"), number(attributes, "model"), number(attributes, "stepping")});
    }
  }

  void end(std::string_view element) {
    path_.pop_back();
    if (element == "arch") {
      foreign_ = false;
    } else if (element == "model" && !foreign_ && (path_.empty() || path_.back() != "model")) {
      const std::string name = model_.model.name;
      if (raw_.size() >= kMaxNames || !raw_.emplace(name, std::move(model_)).second) {
        error(fmt::format("model '{}' is defined twice or one too many", name));
      }
      model_ = {};
    }
  }

  Result<void> parse(const std::string& name) {
    const std::string file = directory_ + "/" + name;
    const std::string text = TRY(lodge::read_file(file, kMaxFile));
    const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser(XML_ParserCreate(nullptr), &XML_ParserFree);
    if (!parser) {
      return fail("{}: no memory for the XML parser", file);
    }
    parser_ = parser.get();
    path_.clear();
    error_.clear();
    foreign_ = false;
    XML_SetUserData(parser_, this);
    XML_SetElementHandler(
        parser_,
        [](void* self, const XML_Char* element, Attributes attributes) {
          static_cast<CpuMapReader*>(self)->start(element, attributes);
        },
        [](void* self, const XML_Char* element) { static_cast<CpuMapReader*>(self)->end(element); });
    // No file of the map has a document type; refusing it keeps entities out.
    XML_SetStartDoctypeDeclHandler(parser_, [](void* self, const XML_Char*, const XML_Char*, const XML_Char*, int) {
      static_cast<CpuMapReader*>(self)->error("a document type is not allowed");
    });
    const bool good = XML_Parse(parser_, text.data(), static_cast<int>(text.size()), XML_TRUE) == XML_STATUS_OK;
    if (!error_.empty()) {
      return fail("{}: {}", file, error_);
    }
    if (!good) {
      return fail("{}: line {}: {}", file, XML_GetCurrentLineNumber(parser_), XML_ErrorString(XML_GetErrorCode(parser_)));
    }
    return {};
  }

  Result<void> read_file(const std::string& first) {
    includes_ = {first};
    for (size_t i = 0; i < includes_.size(); ++i) {  // parse() appends
      const std::string name = includes_[i];
      if (i >= kMaxFiles || name.empty() || name.find('/') != std::string::npos) {
        return fail("{}: it includes too many files or one outside the directory ('{}')", directory_, name);
      }
      TRY_VOID(parse(name));
    }
    if (raw_.empty() || map_.features_.empty()) {
      return fail("{}: no x86 models or features are defined", directory_);
    }
    return {};
  }

  // Features of `name` with its ancestors'.
  Result<std::vector<std::string>> inherit(const std::string& name, size_t depth) {
    const auto found = raw_.find(name);
    if (found == raw_.end()) {
      return fail("{}: ancestor '{}' is not defined", directory_, name);
    }
    if (depth > kMaxDepth) {
      return fail("{}: the ancestors of model '{}' do not end", directory_, name);
    }
    RawModel& raw = found->second;
    std::vector<std::string> features = raw.model.features;
    for (const std::string& ancestor : raw.ancestors) {
      const auto more = TRY(inherit(ancestor, depth + 1));
      features.insert(features.end(), more.begin(), more.end());
      const CpuModel& above = raw_.find(ancestor)->second.model;
      if (raw.model.vendor.empty()) {
        raw.model.vendor = above.vendor;
      }
      if (raw.model.signatures.empty()) {
        raw.model.signatures = above.signatures;
      }
    }
    std::erase_if(features, [&raw](const std::string& feature) {
      return std::find(raw.removed.begin(), raw.removed.end(), feature) != raw.removed.end();
    });
    std::sort(features.begin(), features.end());
    features.erase(std::unique(features.begin(), features.end()), features.end());
    return features;
  }

  Result<void> resolve() {
    for (auto& [name, raw] : raw_) {
      auto features = TRY(inherit(name, 0));
      CpuModel model = raw.model;
      for (const std::string& feature : features) {
        if (!map_.features_.contains(feature)) {
          return fail("{}: model '{}' has feature '{}', which is not defined", directory_, name, feature);
        }
      }
      model.features = std::move(features);
      map_.models_.emplace(name, std::move(model));
    }
    return {};
  }

  std::string directory_;
  CpuMap map_;
  std::map<std::string, RawModel, std::less<>> raw_;
  std::vector<std::string> includes_;
  XML_Parser parser_ = nullptr;
  std::vector<std::string> path_;  // open elements
  std::string error_;
  bool foreign_ = false;  // inside another architecture
  std::string feature_;   // being defined
  RawModel model_;        // being defined
};

Result<CpuMap> CpuMap::load(const std::string& directory) { return CpuMapReader(directory).read(); }

Result<const CpuModel*> CpuMap::model(std::string_view name) const {
  const auto found = models_.find(name);
  if (found == models_.end()) {
    return fail("CPU model '{}' is unknown; models: {}", name, names_of(models_));
  }
  return &found->second;
}

Result<const CpuFeature*> CpuMap::feature(std::string_view name) const {
  auto found = features_.find(name);
  if (found == features_.end()) {
    const auto alias = aliases_.find(name);
    found = alias == aliases_.end() ? features_.end() : features_.find(alias->second);
  }
  if (found == features_.end()) {
    return fail("CPU feature '{}' is unknown; features: {}", name, names_of(features_));
  }
  return &found->second;
}

std::string CpuMap::vendor_id(std::string_view vendor_name) const {
  const auto found = vendors_.find(vendor_name);
  return found == vendors_.end() ? std::string() : found->second;
}

}  // namespace lodge
