// The verbs of screen, keyboard and mouse; the table is in commands.cc.
#pragma once

namespace lodge {

struct CommandCall;

void screendump(CommandCall& call);
void send_key(CommandCall& call);
void attach_display(CommandCall& call);

}  // namespace lodge
