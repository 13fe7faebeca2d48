#include "libvirt-driver/domains/domain_list.h"

#include <algorithm>

#include "libvirt-driver/xml/uuid.h"

namespace lodge {

Answer<DomainPtr> DomainList::by_uuid(const Uuid& uuid) const {
  const std::shared_lock lock(mutex_);
  const auto it = by_uuid_.find(uuid);
  if (it == by_uuid_.end()) {
    return call_error(VIR_ERR_NO_DOMAIN, "no domain with matching uuid '{}'", print_uuid(uuid));
  }
  return it->second;
}

Answer<DomainPtr> DomainList::by_name(std::string_view name) const {
  const std::shared_lock lock(mutex_);
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) {
    return call_error(VIR_ERR_NO_DOMAIN, "no domain with matching name '{}'", name);
  }
  return it->second;
}

Answer<DomainPtr> DomainList::by_id(int32_t id) const {
  const std::shared_lock lock(mutex_);
  const auto it =
      std::ranges::find_if(by_name_, [id](const auto& entry) { return entry.second->view().id() == id && id >= 0; });
  if (it == by_name_.end()) {
    return call_error(VIR_ERR_NO_DOMAIN, "no domain with matching id {}", id);
  }
  return it->second;
}

std::vector<DomainPtr> DomainList::all() const {
  const std::shared_lock lock(mutex_);
  std::vector<DomainPtr> domains;
  domains.reserve(by_name_.size());
  for (const auto& [name, domain] : by_name_) {
    domains.push_back(domain);
  }
  return domains;
}

Answer<DomainList::Added> DomainList::add(const Uuid& uuid, const std::string& name) {
  const std::unique_lock lock(mutex_);
  const auto named = by_name_.find(name);
  if (named != by_name_.end() && named->second->view().uuid != uuid) {
    return call_error(VIR_ERR_OPERATION_FAILED, "domain '{}' already exists with uuid {}", name,
                      print_uuid(named->second->view().uuid));
  }
  const auto known = by_uuid_.find(uuid);
  if (known != by_uuid_.end()) {
    if (named == by_name_.end()) {
      return call_error(VIR_ERR_OPERATION_FAILED, "domain '{}' is already defined with uuid {}", known->second->view().name,
                        print_uuid(uuid));
    }
    return Added{known->second, false};
  }
  auto domain = std::make_shared<Domain>(uuid, name);
  by_uuid_.emplace(uuid, domain);
  by_name_.emplace(name, domain);
  return Added{domain, true};
}

void DomainList::remove(const DomainPtr& domain) {
  const std::unique_lock lock(mutex_);
  const DomainView view = domain->view();
  const auto it = by_uuid_.find(view.uuid);
  if (it != by_uuid_.end() && it->second == domain) {
    by_uuid_.erase(it);
    by_name_.erase(view.name);
  }
}

Answer<void> DomainList::rename(const DomainPtr& domain, const std::string& name) {
  const std::unique_lock lock(mutex_);
  if (by_name_.contains(name)) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain with name '{}' already exists", name);
  }
  by_name_.erase(domain->view().name);
  domain->change([&](DomainView& view) { view.name = name; });
  by_name_.emplace(name, domain);
  return {};
}

}  // namespace lodge
