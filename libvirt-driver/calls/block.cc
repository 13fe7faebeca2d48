// Disks: sizes, counters, resizing, reading a piece.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/device_counters.h"
#include "libvirt-driver/domains/image_size.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kMaxPeek = 4U << 20;

// By target ("vda") or by path.
Answer<DomainDisk> find_disk(const DomainConfig& config, const std::string& name) {
  const auto& disks = config.devices.disks;
  const auto it = std::ranges::find_if(
      disks, [&](const DomainDisk& disk) { return disk.target == name || (!name.empty() && disk.source.path == name); });
  if (it == disks.end()) {
    return call_error(VIR_ERR_INVALID_ARG, "invalid path {} not assigned to domain", name);
  }
  return *it;
}

// One that has an image.
Answer<DomainDisk> find_image(const DomainConfig& config, const std::string& name) {
  DomainDisk disk = TRY(find_disk(config, name));
  if (disk.source.path.empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "disk '{}' does not currently have a source assigned", name);
  }
  return disk;
}

// Counters of one disk, or with an empty path of all together.
Answer<DiskCounters> counters_of(const DomainView& view, const std::string& path) {
  const auto run = TRY(Driver::running(view));
  std::vector<DomainDisk> disks;
  if (path.empty()) {
    disks = view.live->devices.disks;
  } else {
    disks.push_back(TRY(find_disk(*view.live, path)));
  }
  const Json stats = TRY(run->monitor->execute("query-stats"));
  DiskCounters sum;
  for (const DomainDisk& disk : disks) {
    const DiskCounters one = disk_counters(stats, disk.alias);
    sum.read_requests += one.read_requests;
    sum.read_bytes += one.read_bytes;
    sum.read_time += one.read_time;
    sum.write_requests += one.write_requests;
    sum.write_bytes += one.write_bytes;
    sum.write_time += one.write_time;
    sum.flush_requests += one.flush_requests;
    sum.flush_time += one.flush_time;
    sum.errors += one.errors;
  }
  return sum;
}

Answer<DomainBlockStatsRet> domain_block_stats(Call& call, const DomainBlockStatsArgs& args) {
  const DiskCounters counters = TRY(counters_of(TRY(find(call, args.dom))->view(), args.path));
  return DomainBlockStatsRet{.rd_req = counters.read_requests,
                             .rd_bytes = counters.read_bytes,
                             .wr_req = counters.write_requests,
                             .wr_bytes = counters.write_bytes,
                             .errs = counters.errors};
}

Answer<DomainBlockStatsFlagsRet> domain_block_stats_flags(Call& call, const DomainBlockStatsFlagsArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_TYPED_PARAM_STRING_OKAY, "virDomainBlockStatsFlags"));
  const DiskCounters counters = TRY(counters_of(TRY(find(call, args.dom))->view(), args.path));
  return counted_params<DomainBlockStatsFlagsRet>(
      args.nparams,
      {llong_param("rd_bytes", counters.read_bytes), llong_param("rd_operations", counters.read_requests),
       llong_param("rd_total_times", counters.read_time), llong_param("wr_bytes", counters.write_bytes),
       llong_param("wr_operations", counters.write_requests), llong_param("wr_total_times", counters.write_time),
       llong_param("flush_operations", counters.flush_requests), llong_param("flush_total_times", counters.flush_time)});
}

Answer<DomainGetBlockInfoRet> domain_get_block_info(Call& call, const DomainGetBlockInfoArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainGetBlockInfo"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const DomainDisk disk = TRY(find_image(view.config(), args.path));
  const ImageSize size = TRY(image_size(disk.source.path));
  return DomainGetBlockInfoRet{.allocation = size.allocation, .capacity = size.capacity, .physical = size.physical};
}

Answer<void> domain_block_resize(Call& call, const DomainBlockResizeArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_BLOCK_RESIZE_BYTES, "virDomainBlockResize"));
  const bool bytes = (args.flags & VIR_DOMAIN_BLOCK_RESIZE_BYTES) != 0;
  if (!bytes && args.size > UINT64_MAX / 1024) {
    return call_error(VIR_ERR_OVERFLOW, "size must be less than {}", UINT64_MAX / 1024);
  }
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("block-resize"));
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  const DomainDisk disk = TRY(find_disk(*view.live, args.disk));
  TRY(run->monitor->execute("block_resize", {{"device", disk.alias}, {"size", bytes ? args.size : args.size * 1024}}));
  return {};
}

Answer<DomainBlockPeekRet> domain_block_peek(Call& call, const DomainBlockPeekArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainBlockPeek"));
  if (args.size > kMaxPeek) {
    return call_error(VIR_ERR_INVALID_ARG, "{} bytes are too many at once; {} are possible", args.size, kMaxPeek);
  }
  const DomainView view = TRY(find(call, args.dom))->view();
  const DomainDisk disk = TRY(find_image(view.config(), args.path));
  if (!disk.driver.format.empty() && disk.driver.format != "raw") {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "peeking is only supported for disk with 'raw' format not '{}'",
                      disk.driver.format);
  }
  const Fd fd = TRY(open_file(disk.source.path, O_RDONLY));
  DomainBlockPeekRet reply;
  reply.buffer.resize(args.size);
  const ssize_t got = ::pread(fd.get(), reply.buffer.data(), args.size, static_cast<off_t>(args.offset));
  if (got != static_cast<ssize_t>(args.size)) {
    return call_error(VIR_ERR_OPERATION_FAILED, "'{}' has no {} bytes at {}", disk.source.path, args.size, args.offset);
  }
  return reply;
}

Answer<DomainGetDiskErrorsRet> domain_get_disk_errors(Call& call, const DomainGetDiskErrorsArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainGetDiskErrors"));
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  DomainGetDiskErrorsRet reply;
  if (args.maxerrors == 0) {
    reply.nerrors = static_cast<int32_t>(view.live->devices.disks.size());
    return reply;
  }
  for (const auto& [target, error] : view.disk_errors) {
    if (reply.errors.size() < args.maxerrors) {
      reply.errors.push_back({.disk = target, .error = error});
    }
  }
  reply.nerrors = static_cast<int32_t>(reply.errors.size());
  return reply;
}

// Block jobs come with snapshots; until then there are none.
Answer<DomainGetBlockJobInfoRet> domain_get_block_job_info(Call& call, const DomainGetBlockJobInfoArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  TRY(find_disk(*view.live, args.path));
  return DomainGetBlockJobInfoRet{};
}

constexpr std::array kCalls{
    bind<Proc::domain_block_stats, domain_block_stats>(),
    bind<Proc::domain_block_stats_flags, domain_block_stats_flags>(),
    bind<Proc::domain_get_block_info, domain_get_block_info>(),
    bind<Proc::domain_block_resize, domain_block_resize>(),
    bind<Proc::domain_block_peek, domain_block_peek>(),
    bind<Proc::domain_get_disk_errors, domain_get_disk_errors>(),
    bind<Proc::domain_get_block_job_info, domain_get_block_job_info>(),
};

}  // namespace

Bindings block_calls() { return kCalls; }

}  // namespace lodge
