// DomainList: all domains, found by UUID, name or id. Any thread; nothing here waits.
#pragma once

#include <functional>
#include <shared_mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libvirt-driver/domains/domain.h"

namespace lodge {

class DomainList {
 public:
  // Errors: NO_DOMAIN in libvirt's words.
  [[nodiscard]] Answer<DomainPtr> by_uuid(const Uuid& uuid) const;
  [[nodiscard]] Answer<DomainPtr> by_name(std::string_view name) const;
  [[nodiscard]] Answer<DomainPtr> by_id(int32_t id) const;
  [[nodiscard]] std::vector<DomainPtr> all() const;

  // The domain of this UUID and name, a new one if there is none. Errors: OPERATION_FAILED when the name has another UUID or
  // the UUID another name.
  struct Added {
    DomainPtr domain;
    bool fresh;
  };
  [[nodiscard]] Answer<Added> add(const Uuid& uuid, const std::string& name);
  void remove(const DomainPtr& domain);
  // Error: OPERATION_INVALID when the name is taken.
  [[nodiscard]] Answer<void> rename(const DomainPtr& domain, const std::string& name);

 private:
  struct Hash {
    size_t operator()(const Uuid& uuid) const {
      return std::hash<std::string_view>()({reinterpret_cast<const char*>(uuid.data()), uuid.size()});
    }
  };
  mutable std::shared_mutex mutex_;
  std::unordered_map<Uuid, DomainPtr, Hash> by_uuid_;
  std::map<std::string, DomainPtr, std::less<>> by_name_;
};

}  // namespace lodge
