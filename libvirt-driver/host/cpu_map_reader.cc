// Reads libvirt's cpu_map: index.xml names the files, these define vendors, features, models.
#include <algorithm>
#include <charconv>
#include <set>

#include "base/fd.h"
#include "libvirt-driver/host/cpu_models.h"
#include "libvirt-driver/xml/xml_reader.h"

namespace lodge {
namespace {

constexpr uint64_t kMaxFile = uint64_t{4} << 20;
constexpr size_t kMaxFiles = 1024;
constexpr size_t kMaxModels = 4096;
constexpr size_t kMaxPerItem = 64;  // registers of a feature, signatures of a model

}  // namespace

class CpuModelReader {
 public:
  explicit CpuModelReader(const std::string& directory) : directory_(directory) {}

  Answer<CpuModels> read() {
    file_ = "index.xml";
    const XmlDocument index = TRY(parse(file_));
    for (const XmlNode& arch : index.root().children()) {
      if (arch.name() == "arch" && arch.attribute("name") == "x86") {
        TRY_VOID(read_items(arch, true));
      }
    }
    if (out_.models_.empty() || out_.features_.empty()) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "{}: no x86 models or features are defined", directory_);
    }
    return std::move(out_);
  }

 private:
  template <class... Args>
  [[nodiscard]] std::unexpected<CallError> bad(const XmlNode& at, fmt::format_string<Args...> format, Args&&... args) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "{}/{}:{}: {}", directory_, file_, at.line(),
                      fmt::format(format, std::forward<Args>(args)...));
  }

  Answer<XmlDocument> parse(const std::string& name) {
    const std::string path = directory_ + "/" + name;
    auto text = read_file(path, kMaxFile);
    if (!text) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "CPU models cannot be read: {}; libvirt0 brings them", text.error().message);
    }
    return XmlDocument::parse(*text, path);
  }

  Answer<void> read_items(const XmlNode& parent, bool may_include) {
    for (const XmlNode& item : parent.children()) {
      if (item.name() == "vendor") {
        const std::string name = TRY(name_of(item));
        out_.vendors_[name] = item.attribute("string").value_or("").substr(0, 12);
      } else if (item.name() == "feature") {
        TRY_VOID(read_feature(item));
      } else if (item.name() == "model") {
        TRY_VOID(read_model(item));
      } else if (item.name() == "include" && may_include) {
        TRY_VOID(read_include(item));
      }  // others are for a newer libvirt
    }
    return {};
  }

  Answer<void> read_include(const XmlNode& item) {
    const std::string name = item.attribute("filename").value_or("");
    if (name.empty() || name.find('/') != std::string::npos || ++files_ > kMaxFiles) {
      return bad(item, "'{}' cannot be included: it is outside the directory or one file too many", name);
    }
    const std::string outer = std::exchange(file_, name);
    const XmlDocument document = TRY(parse(name));
    TRY_VOID(read_items(document.root(), false));
    file_ = outer;
    return {};
  }

  Answer<std::string> name_of(const XmlNode& item) {
    std::string name = item.attribute("name").value_or("");
    if (name.empty() || name.size() > kMaxPerItem) {
      return bad(item, "the name of this {} is missing or too long", item.name());
    }
    return name;
  }

  // Decimal, or hexadecimal behind 0x; absent is 0.
  Answer<uint32_t> number(const XmlNode& item, std::string_view attribute) {
    const std::string text = item.attribute(attribute).value_or("");
    if (text.empty()) {
      return 0U;
    }
    return to_number(item, text);
  }
  Answer<uint32_t> to_number(const XmlNode& item, std::string_view text) {
    const std::string_view whole = text;
    const int base = text.starts_with("0x") ? 16 : 10;
    text.remove_prefix(base == 16 ? 2 : 0);
    uint32_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc{} || end != text.data() + text.size()) {
      return bad(item, "'{}' is not a number", whole.substr(0, 40));
    }
    return value;
  }

  Answer<void> read_feature(const XmlNode& item) {
    NamedFeature feature;
    feature.name = TRY(name_of(item));
    feature.migratable = item.attribute("migratable") != "no";
    const size_t index = out_.features_.size();
    if (index == kMaxCpuFeatures || !out_.feature_index_.emplace(feature.name, index).second) {
      return bad(item, "feature '{}' is defined twice or one too many", feature.name);
    }
    for (const XmlNode& part : item.children()) {
      if (part.name() == "alias") {
        out_.feature_index_.emplace(TRY(name_of(part)), index);
      } else if (part.name() == "cpuid" || part.name() == "msr") {
        const bool msr = part.name() == "msr";
        const uint32_t leaf = TRY(number(part, msr ? "index" : "eax_in"));
        const uint32_t subleaf = TRY(number(part, "ecx_in"));
        feature.bits.push_back({msr, leaf, subleaf, TRY(number(part, "eax")), TRY(number(part, "ebx")),
                                TRY(number(part, "ecx")), TRY(number(part, "edx"))});
      }
    }
    if (feature.bits.empty() || feature.bits.size() > kMaxPerItem) {
      return bad(item, "feature '{}' has no bits or too many", feature.name);
    }
    out_.migratable_.set(index, feature.migratable);
    out_.features_.push_back(std::move(feature));
    return {};
  }

  Answer<CpuSignatureRange> read_signature(const XmlNode& item) {
    CpuSignatureRange out{TRY(number(item, "family")), TRY(number(item, "model"))};
    const std::string steppings = item.attribute("stepping").value_or("");
    if (steppings.empty()) {
      return out;
    }
    // "4", "5-7" or "0-4,8": the span from the first to the last is near enough, models do not share signatures inside it.
    const size_t first = steppings.find_first_of(",-");
    const size_t last = steppings.find_last_of(",-");
    out.first_stepping = TRY(to_number(item, steppings.substr(0, first)));
    out.last_stepping = last == std::string::npos ? out.first_stepping : TRY(to_number(item, steppings.substr(last + 1)));
    return out;
  }

  Answer<void> read_model(const XmlNode& item) {
    NamedModel model;
    model.name = TRY(name_of(item));
    for (const XmlNode& part : item.children()) {  // ancestors first: what is removed is removed from theirs too
      if (part.name() == "model") {
        const NamedModel* ancestor = out_.model(TRY(name_of(part)));
        if (ancestor == nullptr) {
          return bad(part, "model '{}' descends from '{}', which is not defined before it", model.name,
                     part.attribute("name").value_or(""));
        }
        model.features |= ancestor->features;
        model.vendor = ancestor->vendor;
        model.signatures = ancestor->signatures;
      }
    }
    bool own_signature = false;
    CpuFeatureSet removed;
    for (const XmlNode& part : item.children()) {
      if (part.name() == "decode") {
        model.for_hosts = part.attribute("host") != "off";
        model.for_guests = part.attribute("guest") != "off";
      } else if (part.name() == "vendor") {
        model.vendor = TRY(name_of(part));
      } else if (part.name() == "signature") {
        if (!std::exchange(own_signature, true)) {
          model.signatures.clear();
        }
        model.signatures.push_back(TRY(read_signature(part)));
      } else if (part.name() == "feature") {
        const auto feature = out_.feature(TRY(name_of(part)));
        if (!feature) {
          return bad(part, "model '{}' has feature '{}', which is not defined", model.name,
                     part.attribute("name").value_or(""));
        }
        if (part.attribute("removed") == "yes") {
          removed.set(*feature);
        } else if (part.attribute("added") != "yes") {  // "added" ones came after the model did: not required of it
          model.features.set(*feature);
        }
      }
    }
    model.features &= ~removed;
    if (model.signatures.size() > kMaxPerItem || out_.models_.size() == kMaxModels ||
        !out_.model_index_.emplace(model.name, out_.models_.size()).second) {
      return bad(item, "model '{}' is defined twice, one too many, or has too many signatures", model.name);
    }
    out_.models_.push_back(std::move(model));
    return {};
  }

  std::string directory_;
  std::string file_;
  size_t files_ = 0;
  CpuModels out_;
};

Answer<CpuModels> CpuModels::load(const std::string& directory) { return CpuModelReader(directory).read(); }

}  // namespace lodge
