// The commands that only look: each answers at once. Control thread; the table is in commands.cc.
#pragma once

namespace lodge {

struct CommandCall;

void query_all(CommandCall& call);
void query_balloon(CommandCall& call);
void query_block(CommandCall& call);
void query_chardev(CommandCall& call);
void query_commands(CommandCall& call);
void query_cpus(CommandCall& call);
void query_hotpluggable_cpus(CommandCall& call);
void query_iothreads(CommandCall& call);
void query_name(CommandCall& call);
void query_net(CommandCall& call);
void query_save(CommandCall& call);
void query_stats(CommandCall& call);
void query_status(CommandCall& call);
void query_version(CommandCall& call);
void query_vm_generation_id(CommandCall& call);
void query_vmcoreinfo(CommandCall& call);
void pmemread(CommandCall& call);

}  // namespace lodge
