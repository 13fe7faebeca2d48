#include "vmm/control/commands.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "vmm/config/fields.h"
#include "vmm/control/command_call.h"
#include "vmm/control/device_add.h"
#include "vmm/control/queries.h"
#include "vmm/control/screen.h"

namespace lodge {

Result<void> DescriptorTable::put(const std::string& name, Fd fd) {
  if (descriptors_.size() >= kMax && !descriptors_.contains(name)) {
    return fail("descriptor '{}' is one too many; the monitor keeps {} that wait to be used (closefd drops one)", name,
                kMax);
  }
  descriptors_[name] = std::move(fd);
  return {};
}

Result<Fd> DescriptorTable::take(const std::string& name) {
  const auto it = descriptors_.find(name);
  if (it == descriptors_.end()) {
    return fail("there is no descriptor '{}'; pass it with getfd first", name);
  }
  Fd fd = std::move(it->second);
  descriptors_.erase(it);
  return fd;
}

namespace {

void qmp_capabilities(CommandCall& call) { call.finish(Result<void>()); }

void stop(CommandCall& call) { call.target().stop(call.done()); }
void cont(CommandCall& call) { call.target().resume(call.done()); }
void system_reset(CommandCall& call) { call.target().reset(call.done()); }
void system_powerdown(CommandCall& call) {
  call.target().press_power_button(call.flag("reboot"));
  call.finish(Result<void>());
}
void set_action(CommandCall& call) {
  ControlTarget::Actions actions;
  const std::pair<std::string_view, std::optional<OnEvent>*> places[] = {
      {"on_poweroff", &actions.poweroff}, {"on_reboot", &actions.reboot}, {"on_crash", &actions.crash}};
  for (const auto& [name, place] : places) {
    if (!call.arguments.contains(name)) {
      continue;
    }
    const auto& words = EnumWords<OnEvent>::words;
    const auto* word = std::ranges::find(words, call.text(name));
    if (word == words.end()) {
      call.answer(fail("set-action: {} cannot be '{}'; use {}", name, call.text(name), fmt::join(words, ", ")));
      return;
    }
    *place = static_cast<OnEvent>(word - words.begin());
  }
  call.target().set_actions(actions);
  call.finish(Result<void>());
}
void quit(CommandCall& call) {
  call.finish(Result<void>());
  call.target().quit();
}
void inject_nmi(CommandCall& call) { call.finish(call.target().inject_nmi()); }
void balloon_stats_period(CommandCall& call) {
  // Far beyond what is allowed, but a number of seconds.
  const uint64_t seconds = std::min<uint64_t>(call.number("seconds"), UINT32_MAX);
  call.finish(call.target().set_balloon_period(std::chrono::seconds(seconds)));
}
void balloon(CommandCall& call) { call.finish(call.target().set_balloon(call.number("value"))); }
void block_resize(CommandCall& call) { call.finish(call.target().resize_disk(call.text("device"), call.number("size"))); }
void set_link(CommandCall& call) { call.finish(call.target().set_link(call.text("name"), call.flag("up"))); }
void announce(CommandCall& call) { call.finish(call.target().announce(call.text("name"))); }
void save(CommandCall& call) { call.target().save(call.text("path"), call.flag("quit"), call.done()); }

// Too large a number is that of no vCPU.
uint32_t cpu_index(const CommandCall& call) {
  return static_cast<uint32_t>(std::min<uint64_t>(call.number("cpu-index"), UINT32_MAX));
}
void cpu_add(CommandCall& call) { call.target().add_cpu(cpu_index(call), call.done()); }
void cpu_del(CommandCall& call) { call.target().remove_cpu(cpu_index(call), call.done()); }

void change_medium(CommandCall& call) {
  auto image = call.context.descriptors.take(call.text("fd"));
  if (!image) {
    call.finish(std::unexpected(image.error()));
    return;
  }
  call.target().change_medium(call.text("id"), call.text("path"), std::move(*image), call.flag("force"), call.done());
}
void eject(CommandCall& call) { call.target().change_medium(call.text("id"), "", Fd(), call.flag("force"), call.done()); }

void device_del(CommandCall& call) { call.target().remove_device(call.text("id"), call.done()); }

void getfd(CommandCall& call) {
  if (call.context.received.empty()) {
    call.answer(fail("getfd came without a descriptor; pass it with the message (SCM_RIGHTS)"));
    return;
  }
  Fd fd = std::move(call.context.received.front());
  call.context.received.pop_front();
  call.finish(call.context.descriptors.put(call.text("fdname"), std::move(fd)));
}

void closefd(CommandCall& call) {
  auto fd = call.context.descriptors.take(call.text("fdname"));
  Result<void> outcome;
  if (fd) {
    fd->reset();  // before the answer says so
  } else {
    outcome = std::unexpected(fd.error());
  }
  call.finish(outcome);
}

using Kind = ArgumentKind;
constexpr std::array kBalloon{CommandArgument{"value", Kind::number, true}};
constexpr std::array kBalloonPeriod{CommandArgument{"seconds", Kind::number, true}};
constexpr std::array kMemory{CommandArgument{"address", Kind::number, true}, CommandArgument{"size", Kind::number, true}};
constexpr std::array kBlockResize{CommandArgument{"device", Kind::text, true}, CommandArgument{"size", Kind::number, true}};
constexpr std::array kSetLink{CommandArgument{"name", Kind::text, true}, CommandArgument{"up", Kind::flag, true}};
constexpr std::array kAnnounce{CommandArgument{"name", Kind::text, false}};
constexpr std::array kSave{CommandArgument{"path", Kind::text, true}, CommandArgument{"quit", Kind::flag, false}};
constexpr std::array kDeviceAdd{CommandArgument{"driver", Kind::text, true}, CommandArgument{"id", Kind::text, true}};
constexpr std::array kCpu{CommandArgument{"cpu-index", Kind::number, true}};
constexpr std::array kPowerdown{CommandArgument{"reboot", Kind::flag, false}};
constexpr std::array kSetAction{CommandArgument{"on_poweroff", Kind::text, false},
                                CommandArgument{"on_reboot", Kind::text, false},
                                CommandArgument{"on_crash", Kind::text, false}};
constexpr std::array kDeviceDel{CommandArgument{"id", Kind::text, true}};
constexpr std::array kChangeMedium{CommandArgument{"id", Kind::text, true}, CommandArgument{"fd", Kind::text, true},
                                   CommandArgument{"path", Kind::text, false}, CommandArgument{"force", Kind::flag, false}};
constexpr std::array kEject{CommandArgument{"id", Kind::text, true}, CommandArgument{"force", Kind::flag, false}};
constexpr std::array kSendKey{CommandArgument{"keys", Kind::text, true}, CommandArgument{"hold-ms", Kind::number, false}};
constexpr std::array kDescriptor{CommandArgument{"fdname", Kind::text, true}};

constexpr std::array kCommands{
    Command{"announce", "ask the guest to make its addresses known to the network (all NICs, or one)", kAnnounce, announce},
    Command{"attach-display",
            "show the screen to the viewer at the other end of a socket pair that getfd took, and take its keys",
            kDescriptor, attach_display},
    Command{"balloon", "ask the guest to keep this many bytes of its memory", kBalloon, balloon},
    Command{"balloon_stats_period", "have the guest tell of its memory every so many seconds (0: not)", kBalloonPeriod,
            balloon_stats_period},
    Command{"block_resize", "tell the guest that its disk has this many bytes now, and make it so (0: look)", kBlockResize,
            block_resize},
    Command{"change-medium", "put the image of a descriptor that getfd took into a CD or floppy drive (path: its name)",
            kChangeMedium, change_medium},
    Command{"closefd", "close a descriptor that getfd took", kDescriptor, closefd},
    Command{"cont", "let the guest run; requests that failed and wait are tried again", {}, cont},
    Command{"cpu_add", "add a vCPU that is possible (query-hotpluggable-cpus)", kCpu, cpu_add},
    Command{"cpu_del", "ask the guest to let go of a vCPU (DEVICE_DELETED of vcpuN tells when it has)", kCpu, cpu_del},
    Command{"device_add",
            "plug in a disk (virtio-blk, usb-storage), NIC (virtio-net, e1000, rtl8139) or input device (virtio-tablet, "
            "usb-tablet, ...); settings as in the configuration, descriptors by name",
            kDeviceAdd, device_add, true},
    Command{"device_del",
            "ask the guest to let go of a device, or take it out of USB (DEVICE_DELETED tells when it is gone)", kDeviceDel,
            device_del},
    Command{"eject", "take the medium out of a CD or floppy drive (force: also when the guest has locked it)", kEject,
            eject},
    Command{"getfd", "keep the descriptor that came with this message under a name", kDescriptor, getfd},
    Command{"inject-nmi", "send every processor a non-maskable interrupt", {}, inject_nmi},
    Command{"pmemread", "guest physical memory, at most 64 KiB, in base64", kMemory, pmemread},
    Command{"qmp_capabilities", "does nothing; there is nothing to negotiate", {}, qmp_capabilities},
    Command{"query-all", "status, cpus, iothreads, block, net, balloon, chardev and stats in one", {}, query_all},
    Command{"query-balloon", "memory that the balloon leaves to the guest", {}, query_balloon},
    Command{"query-block", "the disks", {}, query_block},
    Command{"query-chardev", "serial ports and channels, and where to connect", {}, query_chardev},
    Command{"query-commands", "this table", {}, query_commands},
    Command{"query-cpus", "processors, their threads and places", {}, query_cpus},
    Command{"query-hotpluggable-cpus",
            "processors that are possible, and which can be added and removed",
            {},
            query_hotpluggable_cpus},
    Command{"query-iothreads", "threads that do the devices' work", {}, query_iothreads},
    Command{"query-name", "the guest's name", {}, query_name},
    Command{"query-net", "the NICs", {}, query_net},
    Command{"query-save", "how far a save is, or how the last one ended", {}, query_save},
    Command{"query-stats", "counters of processors and devices", {}, query_stats},
    Command{"query-status", "whether the guest runs", {}, query_status},
    Command{"query-version", "the monitor's version", {}, query_version},
    Command{
        "query-vm-generation-id", "the generation ID, and where it is in the guest's memory", {}, query_vm_generation_id},
    Command{"query-vmcoreinfo", "where the guest's kernel says that its note for dumps is", {}, query_vmcoreinfo},
    Command{"quit", "end the monitor at once, as pulling the plug", {}, quit},
    Command{"save", "write the guest to a file and go on (or end: quit)", kSave, save},
    Command{"screendump", "write what the screen shows into the file that getfd took, as a PPM image", kDescriptor,
            screendump},
    Command{"send-key", "press keys (Linux's numbers, with commas between) together, for so many milliseconds", kSendKey,
            send_key},
    Command{"set-action", "what happens from now on when the guest ends of itself: destroy, restart or preserve", kSetAction,
            set_action},
    Command{"set_link", "plug or pull a NIC's cable", kSetLink, set_link},
    Command{"stop", "pause the guest", {}, stop},
    Command{"system_powerdown", "press the power button (reboot: if the guest then switches itself off, reset it)",
            kPowerdown, system_powerdown},
    Command{"system_reset", "reset the machine", {}, system_reset},
};
static_assert(std::ranges::is_sorted(kCommands, {}, &Command::name), "sorted, for the look-up");

}  // namespace

std::span<const Command> commands() { return kCommands; }

void execute(const Request& request, CommandContext context, Reply reply) {
  if (!request.problem.empty()) {
    reply(error_line("GenericError", request.problem, request.id));
    return;
  }
  const auto it = std::ranges::lower_bound(kCommands, std::string_view(request.execute), {}, &Command::name);
  if (it == kCommands.end() || it->name != request.execute) {
    reply(error_line("CommandNotFound", fmt::format("there is no command '{}'; query-commands lists them", request.execute),
                     request.id));
    return;
  }
  auto answer = [reply = std::move(reply), id = request.id](const Result<std::string>& outcome) {
    reply(outcome ? return_line(*outcome, id) : error_line("GenericError", outcome.error().message, id));
  };
  if (const auto outcome = check_arguments({it->name, it->help, it->arguments}, request.arguments, it->settings); !outcome) {
    answer(std::unexpected(outcome.error()));
    return;
  }
  CommandCall call{context, request.arguments, std::move(answer)};
  it->run(call);
}

RunRequest runner(ControlTarget& target) {
  return [&target](const Request& request, DescriptorTable& descriptors, std::deque<Fd>& received, Reply reply) {
    execute(request, {target, descriptors, received}, std::move(reply));
  };
}

}  // namespace lodge
