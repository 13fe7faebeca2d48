#!/usr/bin/python3
"""An authority at polkit's place on a private bus: answers as a file says and notes what it is asked.

usage: fake_polkit.py ANSWERS ASKED     support/access.py starts it
"""
import json
import sys

from gi.repository import Gio, GLib

INTERFACE = """<node><interface name='org.freedesktop.PolicyKit1.Authority'><method name='CheckAuthorization'>
<arg type='(sa{sv})' direction='in'/><arg type='s' direction='in'/><arg type='a{ss}' direction='in'/><arg type='u' direction='in'/>
<arg type='s' direction='in'/><arg type='(bba{ss})' direction='out'/></method></interface></node>"""
VERDICTS = {"yes": (True, False, {}), "no": (False, False, {}), "challenge": (False, True, {}),
            "dismissed": (False, True, {"polkit.dismissed": "true"})}


def on_call(_bus, _sender, _path, _interface, _method, arguments, invocation):
    """CheckAuthorization"""
    (kind, subject), action, _details, flags, _cancellation = arguments.unpack()
    with open(sys.argv[2], "a", encoding="ascii") as asked:
        print(json.dumps({"kind": kind, "action": action, "flags": flags, **subject}), file=asked)
    with open(sys.argv[1], encoding="ascii") as answers:
        answer = json.load(answers).get(f"{action} {subject['uid']}", "no")
    if answer != "never":
        invocation.return_value(GLib.Variant("((bba{ss}))", (VERDICTS[answer],)))


def main():
    """Serves until it is ended."""
    node = Gio.DBusNodeInfo.new_for_xml(INTERFACE)

    def on_bus(bus, _name):
        bus.register_object("/org/freedesktop/PolicyKit1/Authority", node.interfaces[0], on_call, None, None)

    def on_name(_bus, _name):
        with open(sys.argv[2], "a", encoding="ascii"):
            pass

    Gio.bus_own_name(Gio.BusType.SYSTEM, "org.freedesktop.PolicyKit1", Gio.BusNameOwnerFlags.NONE, on_bus, on_name,
                     lambda *_: sys.exit("the name cannot be had"))
    GLib.MainLoop().run()


main()
