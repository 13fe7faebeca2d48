#include "vmm/control/queries.h"

#include "base/base64.h"
#include "vmm/control/command_call.h"

namespace lodge {
namespace {

constexpr uint64_t kMaxMemoryRead = 65536;

void put_status(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_object().member("status", target.status()).member("running", target.running()).end_object();
}

void put_name(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_object().member("name", target.name()).end_object();
}

void put_cpus(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_array();
  for (const ControlTarget::Cpu& cpu : target.cpus()) {
    writer.begin_object().member("cpu-index", cpu.index).member("thread-id", cpu.thread_id).member("apic-id", cpu.apic_id);
    writer.member("socket-id", cpu.socket).member("die-id", cpu.die).member("core-id", cpu.core);
    writer.member("smt-id", cpu.thread).member("time-ns", cpu.time_ns).end_object();
  }
  writer.end_array();
}

void put_cpu_seats(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_array();
  for (const ControlTarget::CpuSeat& seat : target.cpu_seats()) {
    writer.begin_object().member("cpu-index", seat.index).member("present", seat.present);
    writer.member("removable", seat.removable).end_object();
  }
  writer.end_array();
}

void put_io_threads(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_array();
  for (const ControlTarget::IoThread& thread : target.io_threads()) {
    writer.begin_object().member("id", thread.id).member("thread-id", thread.thread_id);
    writer.member("time-ns", thread.time_ns).end_object();
  }
  writer.end_array();
}

void put_stats(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_object().key("cpus").begin_array();
  for (const ControlTarget::Cpu& cpu : target.cpus()) {
    writer.begin_object().member("cpu-index", cpu.index).member("time-ns", cpu.time_ns).member("exits", cpu.exits);
    writer.member("unclaimed-accesses", cpu.unclaimed).end_object();
  }
  writer.end_array().key("memory").begin_object().member("size", target.memory_size()).end_object();
  writer.key("devices").begin_object();
  for (const ControlTarget::DeviceCounters& device : target.counters()) {
    writer.key(device.id).begin_object();
    for (const Counter& counter : device.counters) {
      writer.member(counter.name, counter.value);
    }
    writer.end_object();
  }
  writer.end_object().end_object();
}

void put_block(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_array();
  for (const ControlTarget::Disk& disk : target.disks()) {
    writer.begin_object().member("device", disk.id).member("image", disk.image).member("size", disk.size);
    writer.member("logical-block", disk.logical_block).member("read-only", disk.read_only);
    writer.member("slot", disk.slot);
    if (disk.tray) {
      writer.member("tray-open", disk.tray->open).member("locked", disk.tray->locked);
    }
    writer.end_object();
  }
  writer.end_array();
}

void put_net(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_array();
  for (const ControlTarget::Net& net : target.nets()) {
    writer.begin_object().member("device", net.id).member("mac", net.mac).member("link", net.link).member("kind", net.kind);
    writer.member("interface", net.interface).member("vhost", net.vhost).member("queues", net.queues);
    writer.member("slot", net.slot).end_object();
  }
  writer.end_array();
}

void put_chardev(JsonWriter& writer, const ControlTarget& target) {
  writer.begin_array();
  for (const ControlTarget::CharDevice& device : target.char_devices()) {
    writer.begin_object().member("device", device.id).member("path", device.path).member("open", device.open).end_object();
  }
  writer.end_array();
}

void put_balloon(JsonWriter& writer, const ControlTarget::Balloon& balloon) {
  writer.begin_object().member("actual", balloon.actual).member("target", balloon.target);
  writer.member("stats-period", balloon.period).member("last-update", balloon.updated).key("stats").begin_object();
  for (const auto& [name, value] : balloon.stats) {
    writer.member(name, value);
  }
  writer.end_object().end_object();
}

template <void (*put)(JsonWriter&, const ControlTarget&)>
void answer(CommandCall& call) {
  JsonWriter writer;
  put(writer, call.target());
  call.finish(writer);
}

std::string_view to_string(ArgumentKind kind) {
  switch (kind) {
    case ArgumentKind::text: return "text";
    case ArgumentKind::number: return "number";
    case ArgumentKind::flag: return "flag";
    case ArgumentKind::text_or_null: return "text or null";
  }
  return "";
}

}  // namespace

void query_status(CommandCall& call) { answer<put_status>(call); }
void query_name(CommandCall& call) { answer<put_name>(call); }
void query_cpus(CommandCall& call) { answer<put_cpus>(call); }
void query_hotpluggable_cpus(CommandCall& call) { answer<put_cpu_seats>(call); }
void query_iothreads(CommandCall& call) { answer<put_io_threads>(call); }
void query_stats(CommandCall& call) { answer<put_stats>(call); }
void query_block(CommandCall& call) { answer<put_block>(call); }
void query_net(CommandCall& call) { answer<put_net>(call); }
void query_chardev(CommandCall& call) { answer<put_chardev>(call); }
void query_version(CommandCall& call) { call.answer(version_json()); }

void query_balloon(CommandCall& call) {
  const auto balloon = call.target().balloon();
  if (!balloon) {
    call.answer(fail("the guest has no balloon; start it with --balloon"));
    return;
  }
  JsonWriter writer;
  put_balloon(writer, *balloon);
  call.finish(writer);
}

void query_vm_generation_id(CommandCall& call) {
  const auto id = call.target().generation_id();
  if (!id) {
    call.answer(fail("the guest has no generation ID; start it with --vmgenid"));
    return;
  }
  JsonWriter writer;
  writer.begin_object().member("guid", id->guid).member("address", id->address).end_object();
  call.finish(writer);
}

void query_vmcoreinfo(CommandCall& call) {
  const auto note = call.target().core_info();
  if (!note) {
    call.answer(fail("the guest has no place to tell of its notes; start it with --vmcoreinfo"));
    return;
  }
  JsonWriter writer;
  writer.begin_object().member("told", note->told).member("address", note->address).member("size", note->size).end_object();
  call.finish(writer);
}

void query_all(CommandCall& call) {
  const ControlTarget& target = call.target();
  JsonWriter writer;
  writer.begin_object();
  put_status(writer.key("status"), target);
  put_cpus(writer.key("cpus"), target);
  put_io_threads(writer.key("iothreads"), target);
  put_block(writer.key("block"), target);
  put_net(writer.key("net"), target);
  if (const auto balloon = target.balloon()) {
    put_balloon(writer.key("balloon"), *balloon);
  }
  put_chardev(writer.key("chardev"), target);
  put_stats(writer.key("stats"), target);
  writer.end_object();
  call.finish(writer);
}

void query_commands(CommandCall& call) {
  JsonWriter writer;
  writer.begin_array();
  for (const Command& command : commands()) {
    writer.begin_object().member("name", command.name).member("help", command.help).key("arguments").begin_array();
    for (const CommandArgument& argument : command.arguments) {
      writer.begin_object().member("name", argument.name).member("type", to_string(argument.kind));
      writer.member("required", argument.required).end_object();
    }
    writer.end_array().end_object();
  }
  writer.end_array();
  call.finish(writer);
}

void query_save(CommandCall& call) {
  const ControlTarget::SaveProgress progress = call.target().save_progress();
  JsonWriter writer;
  writer.begin_object().member("status", progress.status).member("done", progress.done).member("total", progress.total);
  if (!progress.error.empty()) {
    writer.member("error", progress.error);
  }
  writer.end_object();
  call.finish(writer);
}

void pmemread(CommandCall& call) {
  const uint64_t address = call.number("address");
  const uint64_t size = call.number("size");
  if (size == 0 || size > kMaxMemoryRead) {
    call.answer(fail("pmemread: a size of {} bytes is not possible; ask for 1 to {}", size, kMaxMemoryRead));
    return;
  }
  const auto bytes = call.target().read_memory(address, size);
  if (!bytes) {
    call.answer(context(bytes.error(), "pmemread"));
    return;
  }
  JsonWriter writer;
  writer.begin_object().member("address", address).member("data", to_base64(*bytes)).end_object();
  call.finish(writer);
}

}  // namespace lodge
