// Jobs that take long, and the images of managed saves. Both come with saving and migration; what is asked of them is
// answered.
#include <array>

#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

Answer<DomainGetJobInfoRet> domain_get_job_info(Call& call, const DomainGetJobInfoArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  if (!view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  return DomainGetJobInfoRet{};
}

Answer<DomainGetJobStatsRet> domain_get_job_stats(Call& call, const DomainGetJobStatsArgs& args) {
  TRY_VOID(
      check_flags(args.flags, VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED, "virDomainGetJobStats"));
  const DomainView view = TRY(find(call, args.dom))->view();
  if (!view.active() && (args.flags & VIR_DOMAIN_JOB_STATS_COMPLETED) == 0) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  return DomainGetJobStatsRet{};
}

Answer<void> abort_job(Call& call, const DomainName& name) {
  const DomainView view = TRY(find(call, name))->view();
  if (!view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  return call_error(VIR_ERR_OPERATION_INVALID, "no job is active on the domain");
}
Answer<void> domain_abort_job(Call& call, const DomainAbortJobArgs& args) { return abort_job(call, args.dom); }
Answer<void> domain_abort_job_flags(Call& call, const DomainAbortJobFlagsArgs& args) { return abort_job(call, args.dom); }

Answer<DomainHasManagedSaveImageRet> domain_has_managed_save_image(Call& call, const DomainHasManagedSaveImageArgs& args) {
  TRY(find(call, args.dom));
  return DomainHasManagedSaveImageRet{.result = 0};
}

// virt-manager asks for the snapshots of every domain when it starts.
Answer<DomainListAllSnapshotsRet> domain_list_all_snapshots(Call& call, const DomainListAllSnapshotsArgs& args) {
  TRY(find(call, args.dom));
  return DomainListAllSnapshotsRet{};
}
Answer<DomainSnapshotNumRet> domain_snapshot_num(Call& call, const DomainSnapshotNumArgs& args) {
  TRY(find(call, args.dom));
  return DomainSnapshotNumRet{.num = 0};
}
Answer<DomainHasCurrentSnapshotRet> domain_has_current_snapshot(Call& call, const DomainHasCurrentSnapshotArgs& args) {
  TRY(find(call, args.dom));
  return DomainHasCurrentSnapshotRet{.result = 0};
}

constexpr std::array kCalls{
    bind<Proc::domain_get_job_info, domain_get_job_info>(),
    bind<Proc::domain_get_job_stats, domain_get_job_stats>(),
    bind<Proc::domain_abort_job, domain_abort_job>(),
    bind<Proc::domain_abort_job_flags, domain_abort_job_flags>(),
    bind<Proc::domain_has_managed_save_image, domain_has_managed_save_image>(),
    bind<Proc::domain_list_all_snapshots, domain_list_all_snapshots>(),
    bind<Proc::domain_snapshot_num, domain_snapshot_num>(),
    bind<Proc::domain_has_current_snapshot, domain_has_current_snapshot>(),
};

}  // namespace

Bindings job_calls() { return kCalls; }

}  // namespace lodge
