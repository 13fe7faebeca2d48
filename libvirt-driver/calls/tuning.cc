// Shares of the host and limits: what a definition says, and what the guest's control group enforces.
#include "libvirt-driver/domains/tuning.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "libvirt-driver/calls/change_tuning.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kChangeFlags = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;
constexpr uint32_t kQueryFlags = kChangeFlags | VIR_TYPED_PARAM_STRING_OKAY;
constexpr uint64_t kUsualPeriod = 100'000;                 // us, the kernel's
constexpr int64_t kUnlimitedQuota = 17'592'186'044'415;    // as libvirt tells it
constexpr std::pair<int64_t, int64_t> kShares{1, 10'000};  // cpu.weight
constexpr std::pair<int64_t, int64_t> kPeriods{1000, 1'000'000};
constexpr std::pair<int64_t, int64_t> kQuotas{1000, kUnlimitedQuota};

// ---- processor time

struct SchedulerField {
  const char* name;
  std::optional<uint64_t> CpuTune::* number;  // shares, periods
  std::optional<int64_t> CpuTune::* quota;
  std::pair<int64_t, int64_t> range;
};
constexpr std::array kSchedulerFields{
    SchedulerField{VIR_DOMAIN_SCHEDULER_CPU_SHARES, &CpuTune::shares, nullptr, kShares},
    SchedulerField{VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, &CpuTune::period, nullptr, kPeriods},
    SchedulerField{VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, nullptr, &CpuTune::quota, kQuotas},
    SchedulerField{VIR_DOMAIN_SCHEDULER_EMULATOR_PERIOD, &CpuTune::emulator_period, nullptr, kPeriods},
    SchedulerField{VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA, nullptr, &CpuTune::emulator_quota, kQuotas},
    SchedulerField{VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD, &CpuTune::global_period, nullptr, kPeriods},
    SchedulerField{VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA, nullptr, &CpuTune::global_quota, kQuotas},
};

Answer<DomainGetSchedulerTypeRet> domain_get_scheduler_type(Call& call, const DomainGetSchedulerTypeArgs& args) {
  TRY(find(call, args.dom));
  return DomainGetSchedulerTypeRet{.type = "posix", .nparams = static_cast<int32_t>(kSchedulerFields.size())};
}

Answer<Params> scheduler_params(Call& call, const DomainName& name, uint32_t flags) {
  const DomainView view = TRY(find(call, name))->view();
  const ConfigPtr config = TRY(queried(flags, view));
  const bool live = config == view.live;
  Params params;
  for (const SchedulerField& field : kSchedulerFields) {
    if (field.quota != nullptr) {
      const int64_t quota = (config->cpu_tune.*field.quota).value_or(live ? kUnlimitedQuota : 0);
      params.push_back(llong_param(field.name, quota));
      continue;
    }
    uint64_t otherwise = 0;
    if (live) {
      const bool shares = field.number == &CpuTune::shares;
      otherwise = shares ? TRY(view.run->cgroup.shares()) : kUsualPeriod;
    }
    params.push_back(ullong_param(field.name, (config->cpu_tune.*field.number).value_or(otherwise)));
  }
  return params;
}

template <class Ret>
Ret some_params(int32_t wanted, Params params) {
  Ret reply;
  params.resize(std::min(params.size(), static_cast<size_t>(std::max(wanted, 0))));
  reply.params.assign(params.begin(), params.end());
  return reply;
}

Answer<DomainGetSchedulerParametersRet> domain_get_scheduler_parameters(Call& call,
                                                                        const DomainGetSchedulerParametersArgs& args) {
  return some_params<DomainGetSchedulerParametersRet>(args.nparams, TRY(scheduler_params(call, args.dom, 0)));
}

Answer<DomainGetSchedulerParametersFlagsRet> domain_get_scheduler_parameters_flags(
    Call& call, const DomainGetSchedulerParametersFlagsArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetSchedulerParametersFlags"));
  return some_params<DomainGetSchedulerParametersFlagsRet>(args.nparams, TRY(scheduler_params(call, args.dom, args.flags)));
}

Answer<void> set_scheduler_field(CpuTune& tune, const TypedParam& param) {
  const auto field =
      std::ranges::find_if(kSchedulerFields, [&](const SchedulerField& known) { return param.field == known.name; });
  if (field == kSchedulerFields.end()) {
    return call_error(VIR_ERR_INVALID_ARG, "parameter '{}' not supported", param.field);
  }
  const int64_t value = TRY(number_of(param));
  const bool unlimited = field->quota != nullptr && value <= 0;
  if (!unlimited && (value < field->range.first || value > field->range.second)) {
    return call_error(VIR_ERR_INVALID_ARG, "value of '{}' is out of range [{}, {}]", param.field, field->range.first,
                      field->range.second);
  }
  if (field->quota != nullptr) {
    tune.*field->quota = unlimited ? -1 : value;
  } else {
    tune.*field->number = static_cast<uint64_t>(value);
  }
  return {};
}

template <class List>
Answer<void> set_scheduler(Call& call, const DomainName& name, const List& params, uint32_t flags) {
  TRY_VOID(check_flags(flags, kChangeFlags, "virDomainSetSchedulerParametersFlags"));
  return change_tuning(
      call, name, flags, "schedinfo",
      [&](DomainConfig& config) -> Answer<void> {
        for (const TypedParam& param : params) {
          TRY_VOID(set_scheduler_field(config.cpu_tune, param));
        }
        return {};
      },
      [&](const DomainConfig& live, const Run& run) -> Answer<void> {
        TRY_VOID(apply_tuning(live, run));
        DomainEventCallbackTunableMsg event{.callback_id = 0, .dom = {live.name, live.uuid, run.id}, .params = {}};
        for (TypedParam param : params) {
          param.field = "cputune." + param.field;
          event.params.push_back(std::move(param));
        }
        call.driver.events().emit(VIR_DOMAIN_EVENT_ID_TUNABLE, std::move(event));
        return {};
      });
}

Answer<void> domain_set_scheduler_parameters(Call& call, const DomainSetSchedulerParametersArgs& args) {
  return set_scheduler(call, args.dom, args.params, 0);
}
Answer<void> domain_set_scheduler_parameters_flags(Call& call, const DomainSetSchedulerParametersFlagsArgs& args) {
  return set_scheduler(call, args.dom, args.params, args.flags);
}

// ---- memory

struct MemoryField {
  const char* name;
  OptionalKib MemoryTune::* limit;
};
constexpr std::array kMemoryFields{
    MemoryField{VIR_DOMAIN_MEMORY_HARD_LIMIT, &MemoryTune::hard_limit},
    MemoryField{VIR_DOMAIN_MEMORY_SOFT_LIMIT, &MemoryTune::soft_limit},
    MemoryField{VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, &MemoryTune::swap_hard_limit},
};

Answer<DomainGetMemoryParametersRet> domain_get_memory_parameters(Call& call, const DomainGetMemoryParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetMemoryParameters"));
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  Params params;
  for (const MemoryField& field : kMemoryFields) {
    params.push_back(
        ullong_param(field.name, (config->memory_tune.*field.limit).value_or(VIR_DOMAIN_MEMORY_PARAM_UNLIMITED)));
  }
  return counted_params<DomainGetMemoryParametersRet>(args.nparams, std::move(params));
}

Answer<void> domain_set_memory_parameters(Call& call, const DomainSetMemoryParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kChangeFlags, "virDomainSetMemoryParameters"));
  return change_tuning(
      call, args.dom, args.flags, "memtune",
      [&](DomainConfig& config) -> Answer<void> {
        for (const TypedParam& param : args.params) {
          const auto field =
              std::ranges::find_if(kMemoryFields, [&](const MemoryField& known) { return param.field == known.name; });
          if (field == kMemoryFields.end()) {
            return call_error(VIR_ERR_INVALID_ARG, "parameter '{}' not supported", param.field);
          }
          config.memory_tune.*field->limit = static_cast<uint64_t>(TRY(number_of(param)));
        }
        const MemoryTune& tune = config.memory_tune;
        if (tune.swap_hard_limit && tune.hard_limit.value_or(VIR_DOMAIN_MEMORY_PARAM_UNLIMITED) > *tune.swap_hard_limit) {
          return call_error(VIR_ERR_INVALID_ARG,
                            "memory hard_limit tunable value must be lower than or equal to swap_hard_limit");
        }
        return {};
      },
      [](const DomainConfig& live, const Run& run) { return apply_memory_tuning(live, run.cgroup); });
}

// ---- NUMA nodes

Answer<DomainGetNumaParametersRet> domain_get_numa_parameters(Call& call, const DomainGetNumaParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetNumaParameters"));
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  const NumaMode mode = config->numa_tune.mode;
  const int word = mode == NumaMode::absent ? 0 : static_cast<int>(mode) - 1;  // VIR_DOMAIN_NUMATUNE_MEM_*
  return counted_params<DomainGetNumaParametersRet>(
      args.nparams,
      {int_param(VIR_DOMAIN_NUMA_MODE, word), text_param(VIR_DOMAIN_NUMA_NODESET, print_id_set(config->numa_tune.nodeset))});
}

Answer<IdSet> nodes_of(const std::string& text) {
  auto nodes = parse_id_set(text);
  if (!nodes) {
    return call_error(VIR_ERR_INVALID_ARG, "invalid nodeset of 'numatune': {}", text);
  }
  return std::move(*nodes);
}

Answer<void> domain_set_numa_parameters(Call& call, const DomainSetNumaParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kChangeFlags, "virDomainSetNumaParameters"));
  const auto change = [&](DomainConfig& config) -> Answer<void> {
    for (const TypedParam& param : args.params) {
      const auto* text = std::get_if<std::string>(&param.value);
      if (param.field == VIR_DOMAIN_NUMA_NODESET && text != nullptr) {
        config.numa_tune.nodeset = TRY(nodes_of(*text));
        if (config.numa_tune.mode == NumaMode::absent) {
          config.numa_tune.mode = NumaMode::strict;  // libvirt's default
        }
      } else if (param.field == VIR_DOMAIN_NUMA_MODE) {
        const int64_t mode = TRY(number_of(param));
        if (mode < 0 || mode > VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE) {
          return call_error(VIR_ERR_INVALID_ARG, "unsupported numatune mode: '{}'", mode);
        }
        config.numa_tune.mode = static_cast<NumaMode>(mode + 1);
      } else {
        return call_error(VIR_ERR_INVALID_ARG, "parameter '{}' not supported", param.field);
      }
    }
    return {};
  };
  return change_tuning(
      call, args.dom, args.flags, "numatune", change, [&](const DomainConfig& live, const Run& run) -> Answer<void> {
        if (std::ranges::any_of(args.params, [](const TypedParam& param) { return param.field == VIR_DOMAIN_NUMA_MODE; })) {
          return call_error(VIR_ERR_OPERATION_INVALID, "can't change numatune mode for running domain");
        }
        if (live.numa_tune.mode != NumaMode::strict && live.numa_tune.mode != NumaMode::restrictive) {
          return call_error(VIR_ERR_OPERATION_INVALID, "change of nodeset for running domain requires strict numa mode");
        }
        return apply_memory_tuning(live, run.cgroup);
      });
}

// ---- disks of the host

struct IoField {
  const char* name;
  std::optional<uint64_t> BlkioDevice::* value;
};
constexpr std::array kIoFields{
    IoField{VIR_DOMAIN_BLKIO_DEVICE_WEIGHT, &BlkioDevice::weight},
    IoField{VIR_DOMAIN_BLKIO_DEVICE_READ_IOPS, &BlkioDevice::read_iops_sec},
    IoField{VIR_DOMAIN_BLKIO_DEVICE_WRITE_IOPS, &BlkioDevice::write_iops_sec},
    IoField{VIR_DOMAIN_BLKIO_DEVICE_READ_BPS, &BlkioDevice::read_bytes_sec},
    IoField{VIR_DOMAIN_BLKIO_DEVICE_WRITE_BPS, &BlkioDevice::write_bytes_sec},
};

Answer<DomainGetBlkioParametersRet> domain_get_blkio_parameters(Call& call, const DomainGetBlkioParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetBlkioParameters"));
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  Params params{uint_param(VIR_DOMAIN_BLKIO_WEIGHT, config->blkio.weight.value_or(0))};
  for (const IoField& field : kIoFields) {
    std::string text;
    for (const BlkioDevice& device : config->blkio.devices) {
      if (device.*field.value) {
        text += fmt::format("{}{},{}", text.empty() ? "" : ",", device.path, *(device.*field.value));
      }
    }
    params.push_back(text_param(field.name, std::move(text)));
  }
  return counted_params<DomainGetBlkioParametersRet>(args.nparams, std::move(params));
}

// "/dev/sda,100,/dev/sdb,0" into the devices.
Answer<void> set_io_field(BlkioTune& tune, const IoField& field, std::string_view text) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const size_t end = comma == std::string_view::npos ? comma : text.find(',', comma + 1);
    const std::string path(text.substr(0, comma));
    const std::string_view digits = comma == std::string_view::npos ? "" : text.substr(comma + 1, end - comma - 1);
    uint64_t value = 0;
    if (path.empty() || digits.empty() ||
        std::from_chars(digits.data(), digits.data() + digits.size(), value).ptr != digits.data() + digits.size()) {
      return call_error(VIR_ERR_INVALID_ARG, "unable to parse blkio device '{}' '{}'", field.name, text);
    }
    auto device = std::ranges::find(tune.devices, path, &BlkioDevice::path);
    if (device == tune.devices.end()) {
      device = tune.devices.insert(device, BlkioDevice{.path = path});
    }
    (*device).*field.value = value;
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return {};
}

Answer<void> domain_set_blkio_parameters(Call& call, const DomainSetBlkioParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kChangeFlags, "virDomainSetBlkioParameters"));
  return change_tuning(
      call, args.dom, args.flags, "blkiotune",
      [&](DomainConfig& config) -> Answer<void> {
        for (const TypedParam& param : args.params) {
          const auto* text = std::get_if<std::string>(&param.value);
          const auto field =
              std::ranges::find_if(kIoFields, [&](const IoField& known) { return param.field == known.name; });
          if (param.field == VIR_DOMAIN_BLKIO_WEIGHT) {
            config.blkio.weight = static_cast<uint32_t>(TRY(number_of(param)));
          } else if (field != kIoFields.end() && text != nullptr) {
            TRY_VOID(set_io_field(config.blkio, *field, *text));
          } else {
            return call_error(VIR_ERR_INVALID_ARG, "parameter '{}' not supported", param.field);
          }
        }
        return {};
      },
      apply_tuning);
}

Answer<DomainGetIothreadInfoRet> domain_get_iothread_info(Call& call, const DomainGetIothreadInfoArgs& args) {
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  DomainGetIothreadInfoRet reply;
  for (uint32_t id = 1; id <= config->iothreads.value_or(0); ++id) {
    reply.info.push_back({.iothread_id = id, .cpumap = {}});
  }
  reply.ret = static_cast<uint32_t>(reply.info.size());
  return reply;
}

constexpr std::array kCalls{
    bind<Proc::domain_get_scheduler_type, domain_get_scheduler_type>(),
    bind<Proc::domain_get_scheduler_parameters, domain_get_scheduler_parameters>(),
    bind<Proc::domain_get_scheduler_parameters_flags, domain_get_scheduler_parameters_flags>(),
    bind<Proc::domain_set_scheduler_parameters, domain_set_scheduler_parameters>(),
    bind<Proc::domain_set_scheduler_parameters_flags, domain_set_scheduler_parameters_flags>(),
    bind<Proc::domain_get_memory_parameters, domain_get_memory_parameters>(),
    bind<Proc::domain_set_memory_parameters, domain_set_memory_parameters>(),
    bind<Proc::domain_get_numa_parameters, domain_get_numa_parameters>(),
    bind<Proc::domain_set_numa_parameters, domain_set_numa_parameters>(),
    bind<Proc::domain_get_blkio_parameters, domain_get_blkio_parameters>(),
    bind<Proc::domain_set_blkio_parameters, domain_set_blkio_parameters>(),
    bind<Proc::domain_get_iothread_info, domain_get_iothread_info>(),
};

}  // namespace

Bindings tuning_calls() { return kCalls; }

}  // namespace lodge
