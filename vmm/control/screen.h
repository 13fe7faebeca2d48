// The verbs of screen and keyboard; the table is in commands.cc.
#pragma once

namespace lodge {

struct CommandCall;

void screendump(CommandCall& call);
void send_key(CommandCall& call);

}  // namespace lodge
