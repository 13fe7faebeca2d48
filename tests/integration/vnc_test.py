"""lodge-vnc: VNC clients see a guest's screen and type, those who may not stay out, and bad ones hurt nobody but themselves."""
import os
import shutil
import socket
import struct
import subprocess
import time

import pytest
from support import places, rfb
from support.control import ControlError
from support.vnc import Vnc
from support.wait import until

BOOT_SECONDS = 2 * places.BOOT_SECONDS
SLOW_SECONDS = 3 * places.COMMAND_SECONDS  # for a client that is given some time
GREY, BLACK = 0xAAAAAA, 0
TEXT_SIZE = (720, 400)


def bios(vmm, name):
    """A guest whose BIOS waits for a key on its screen."""
    options = ("--firmware", "bios,menu=on,menu_wait_ms=65535", "--video", "vga", "--debug-console")
    machine = vmm(machine="pc", name=name, memory=256, kernel=None, initrd=None, extra=options)
    machine.errors.wait_for("Press ESC for boot menu", BOOT_SECONDS)
    return machine


@pytest.fixture(scope="module")
def machine(shared_vmm):
    """A guest for all tests of the file."""
    return bios(shared_vmm, "seen")


@pytest.fixture
def vnc(tmp_path, machine):
    """Starts lodge-vnc beside it: vnc(option, ...) -> Vnc. All end with the test."""
    started = []

    def start(*options, of=machine):
        started.append(Vnc(str(tmp_path), of, 5950 + len(started), *options, name=f"vnc{len(started)}"))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        print(each.report())


def screen(machine):
    """What the monitor's own screendump shows, as RFB has it."""
    fd = os.memfd_create("screen")
    try:
        machine.control.execute("getfd", {"fdname": "screen"}, descriptors=[fd])
        machine.control.execute("screendump", {"fdname": "screen"})
        image = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    pixels = image.split(b"\n", 3)[3]
    return b"".join(pixels[at + 2 : at + 3] + pixels[at + 1 : at + 2] + pixels[at : at + 1] + b"\0" for at in range(0, len(pixels), 3))


def is_served(client):
    """The client gets a picture when it asks for the whole."""
    client.update(incremental=False)
    assert set(client.colours()) == {GREY, BLACK}


def test_people_see_and_type(vmm, vnc):
    """Two clients see SeaBIOS's screen as it is; a key that one of them presses opens the boot menu, which both see."""
    machine = bios(vmm, "typed")
    server = vnc(of=machine)
    one = server.client(encodings=(rfb.RAW, rfb.DESKTOP_SIZE, rfb.EXTENDED_KEY, rfb.POINTER_MOTION))
    assert one.name == "Lodge (vnc0)"
    assert (one.width, one.height) == TEXT_SIZE
    is_served(one)
    assert set(one.encodings) == {rfb.EXTENDED_KEY, rfb.POINTER_MOTION}
    assert one.steps, "the guest has a mouse"
    other = server.client(encodings=(rfb.RAW,))
    is_served(other)
    lit = other.colours()[GREY]
    one.scancode(1, rfb.ESCAPE, True)
    one.scancode(1, rfb.ESCAPE, False)
    machine.errors.wait_for("Select boot device", BOOT_SECONDS)
    for client in (one, other):
        while client.colours()[GREY] <= lit:
            client.update()
    until(lambda: (one.update(incremental=False), bytes(one.pixels) == screen(machine))[1], "the picture is the screen's")
    one.pointer(0, 0x7FFF + 3, 0x7FFF - 3)
    other.pointer(1, 100, 100)
    other.press(ord("a"), ord("A"))
    is_served(other)


def test_only_what_changes_is_sent(machine, vnc):
    """After the whole picture, the blinking of the cursor costs a few characters' space."""
    client = vnc().client()
    is_served(client)
    client.request()
    for x, y, width, height in client.receive():
        assert width * height <= 4 * 64 * 16, (x, y, width, height)


def enters(server, password):
    """Whether a client comes in with this password; it is gone again."""
    client = server.connect()
    try:
        client.enter(password=password)
        is_served(client)
        return True
    except rfb.Refused:
        return False
    finally:
        client.close()


def test_passwords(machine, vnc):
    """Required and missing, right, wrong, expired, empty, changed, taken away."""
    server = vnc("--password-required")
    assert not enters(server, "")
    assert not enters(server, "secret12")
    server.control.execute("set-password", {"password": "secret12"})
    assert enters(server, "secret12")
    assert not enters(server, "secret13")
    assert not enters(server, "")
    server.control.execute("set-password", {"password": "secret12", "expires": int(time.time()) + 3600})
    assert enters(server, "secret12")
    server.control.execute("set-password", {"password": "secret12", "expires": int(time.time()) - 1})
    assert not enters(server, "secret12")
    server.control.execute("set-password", {"password": ""})
    assert not enters(server, "")
    waiting = server.connect()
    waiting.read(12)
    server.control.execute("set-password", {"password": "other"})
    waiting.wait_closed(places.COMMAND_SECONDS)
    assert enters(server, "other")
    server.control.execute("set-password", {"password": None})
    assert not enters(server, "other")
    with pytest.raises(ControlError, match="8 at most"):
        server.control.execute("set-password", {"password": "123456789"})
    with pytest.raises(ControlError, match="is not a text or null"):
        server.control.execute("set-password", {"password": 1})


def test_challenges_differ(machine, vnc):
    """What one client answered is of no use to another."""
    server = vnc()
    server.control.execute("set-password", {"password": "secret"})
    seen = set()
    for _ in range(4):
        client = server.connect()
        client.enter(password="secret")
        seen.add(client.challenge)
        client.close()
    assert len(seen) == 4


def test_sockets(machine, vnc):
    """A unix socket, which is its owner's, and one that is handed over; events tell of clients."""
    server = vnc("--password-required")
    assert os.stat(server.path).st_mode & 0o777 == 0o600
    server.control.execute("set-password", {"password": "secret"})
    at_path = server.connect(server.path).enter(password="secret")
    is_served(at_path)
    ours, theirs = socket.socketpair()
    with theirs:
        server.control.execute("getfd", {"fdname": "web"}, descriptors=[theirs.fileno()])
    server.control.execute("add-client", {"fdname": "web", "skip-auth": True})
    handed = rfb.Rfb(connection=ours).enter()
    is_served(handed)
    asked, theirs = socket.socketpair()
    with theirs:
        server.control.execute("getfd", {"fdname": "web"}, descriptors=[theirs.fileno()])
    server.control.execute("add-client", {"fdname": "web"})
    with pytest.raises(rfb.Refused):
        rfb.Rfb(connection=asked).enter(password="wrong")
    until(lambda: len(server.clients()) == 2, "two clients are left")
    assert [each["state"] for each in server.clients()] == ["active", "active"]
    assert server.control.wait_for_event("VNC_INITIALIZED")["data"]["address"] == "unix"
    handed.close()
    server.control.wait_for_event("VNC_DISCONNECTED")
    with pytest.raises(ControlError, match="there is no descriptor"):
        server.control.execute("add-client", {"fdname": "web"})
    with pytest.raises(ControlError, match="no command 'save'"):
        server.control.execute("save", {"path": "/x"})
    server.control.execute("quit")
    assert server.wait_exit() == 0
    assert not os.path.exists(server.path)
    assert machine.control.execute("query-status")["running"]


def is_turned_away(server, **options):
    """A client comes through the handshake and is dropped then."""
    client = server.connect()
    try:
        client.enter(**options)
    except ConnectionError:
        pass
    client.wait_closed(places.COMMAND_SECONDS)


def test_sharing(machine, vnc):
    """One that wants to be alone sends the others away, or is refused, or is not listened to."""
    server = vnc()
    first = server.client()
    second = server.client(shared=False)
    first.wait_closed(places.COMMAND_SECONDS)
    is_turned_away(server)
    is_served(second)
    forced = vnc("--share", "force-shared")
    first = forced.client()
    is_turned_away(forced, shared=False)
    is_served(first)
    ignoring = vnc("--share", "ignore")
    first = ignoring.client()
    is_served(ignoring.client(shared=False))
    is_served(first)


def handshake(server):
    """A client's socket, past the handshake, with small buffers."""
    client = server.connect()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.enter()
    return client


def try_send(client, data):
    """Sends as much as the server takes; whether it still listens."""
    try:
        client.socket.sendall(data)
        return True
    except (ConnectionError, TimeoutError):
        return False


def test_bad_clients_hurt_nobody_else(machine, vnc):
    """Rubbish, a browser, floods, silence: each is dropped, while another is served all the time and the guest runs."""
    server = vnc()
    good = server.client()
    is_served(good)
    noise = os.urandom(1 << 16)
    for words in (noise, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0" + noise, b"RFB 003.008\n\1" + noise, b"RFB 999.999\n"):
        bad = server.connect()
        try_send(bad, words)
        bad.wait_closed(SLOW_SECONDS)
        is_served(good)
    for words in (noise, struct.pack(">BBHI", 6, 0, 0, 1 << 31), b"\xff" * 4096, struct.pack(">BxH", 2, 0xFFFF) + noise[:9]):
        bad = handshake(server)
        try_send(bad, words)
        if not words.startswith(b"\2"):  # whose rest never comes
            bad.wait_closed(SLOW_SECONDS)
        is_served(good)
    for message in (struct.pack(">BBxxI", 4, 1, ord("a")), struct.pack(">BBHH", 5, 1, 9, 9) + struct.pack(">BBHH", 5, 0, 9, 9)):
        bad = handshake(server)
        while try_send(bad, message * 1000):
            pass
        bad.wait_closed(SLOW_SECONDS)
        is_served(good)
    bad = handshake(server)
    while try_send(bad, struct.pack(">BBHHHH", 3, 0, 0, 0, *TEXT_SIZE) * 1000):  # and never reads
        is_served(good)
        if len(server.clients()) == 2:
            break
    silent = [server.connect() for _ in range(8)]
    server.wait_clients(1, SLOW_SECONDS)
    for each in silent:
        each.wait_closed(places.COMMAND_SECONDS)
    is_served(good)
    assert machine.control.execute("query-status")["running"]


def test_many_clients(machine, vnc):
    """64 and no more; who is in the handshake makes room."""
    server = vnc()
    inside = [server.client() for _ in range(60)]
    waiting = [server.connect() for _ in range(8)]
    for each in waiting[:4]:
        each.wait_closed(places.COMMAND_SECONDS)
    for each in waiting[4:]:
        each.enter()
    server.connect().wait_closed(places.COMMAND_SECONDS)
    for each in (inside[0], inside[-1], waiting[-1]):
        is_served(each)
    assert len(server.clients("active")) == 64


def test_the_channel_has_eight_viewers_and_takes_no_rubbish(machine):
    """A program that attaches itself and sends what is no packet is dropped; the ninth is refused."""

    def attach():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            machine.control.execute("getfd", {"fdname": "viewer"}, descriptors=[theirs.fileno()])
        machine.control.execute("attach-display", {"fdname": "viewer"})
        ours.settimeout(places.CONTROL_SECONDS)
        hello, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
        assert struct.unpack("<III", hello) == (1, 1, 0)
        os.close(descriptors[0])
        assert struct.unpack("<II", ours.recv(64)) == (3, 0)
        return ours

    def is_dropped(viewer):
        try:
            while viewer.recv(64):
                pass
        except ConnectionError:
            pass
        viewer.close()

    refresh = struct.pack("<II", 16, 7)
    for packet in (b"x", os.urandom(60), bytes(4096), struct.pack("<IHH", 17, 0xFFFF, 1)):
        viewer = attach()
        viewer.send(packet)
        is_dropped(viewer)
    viewer = attach()
    with pytest.raises(ConnectionError):
        while True:
            viewer.send(refresh)  # and never reads
    is_dropped(viewer)
    viewers = []

    def full():
        try:
            viewers.append(attach())
            return False
        except ControlError as error:
            assert "8 viewers" in error.description
            return True

    until(full, "the ninth is refused")
    assert len(viewers) == 8
    viewers[7].send(refresh)
    assert struct.unpack("<7I", viewers[7].recv(64)) == (2, 7, *TEXT_SIZE, 0, TEXT_SIZE[1], 1)
    for viewer in viewers:
        viewer.close()
    stream, _ = socket.socketpair()
    machine.control.execute("getfd", {"fdname": "viewer"}, descriptors=[stream.fileno()])
    with pytest.raises(ControlError, match="keeps packets apart"):
        machine.control.execute("attach-display", {"fdname": "viewer"})
    assert machine.control.execute("query-status")["running"]


def test_both_ends_may_go(vmm, vnc):
    """The guest outlives a lodge-vnc that is killed; the next one, and its clients, end with the guest."""
    machine = bios(vmm, "short")
    killed = vnc(of=machine)
    is_served(killed.client())
    killed.kill()
    server = vnc(of=machine)
    client = server.client()
    is_served(client)
    machine.control.execute("quit")
    assert machine.wait_exit() == 0
    assert server.wait_exit() == 0
    client.wait_closed(places.COMMAND_SECONDS)
    assert not os.path.exists(server.path)


def test_mistakes_are_named(machine, tmp_path):
    """Of the command line and of sockets: one line each."""
    program = Vnc.__init__.__globals__["PROGRAM"]
    control = machine.control_path
    for words, status, what in (
        ([], 2, "whose screen"),
        (["--monitor", control], 2, "nobody could come"),
        (["--monitor", control, "--listen", "nonsense"], 1, "ADDRESS:PORT"),
        (["--monitor", f"{tmp_path}/none", "--listen", "127.0.0.1:5990"], 1, "No such file"),
        (["--monitor", control, "--listen", "unix:/dev/null"], 1, "not a socket"),
        (["--monitor", control, "--listen-fd", "0"], 1, "no listening socket"),
        (["--monitor", control, "--listen", "127.0.0.1:5990", "--websocket", "yes"], 2, "cannot be 'yes'"),
        (["--colour", "x"], 2, "no option '--colour'"),
    ):
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == status, done
        assert what in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("program", ["vncsnapshot", "gvnccapture"])
def test_stock_clients_take_a_picture(machine, vnc, program):
    """RFB 3.3 with raw pixels, and gtk-vnc, which virt-manager has. The pictures stay in build/test-logs for people to look at."""
    display = vnc().address[1] - 5900
    picture = f"{places.TREE}/build/test-logs/{program}.{'jpg' if program == 'vncsnapshot' else 'png'}"
    os.makedirs(os.path.dirname(picture), exist_ok=True)
    assert shutil.which(program), f"{program} is missing (packages/test.txt)"
    words = [program, f"127.0.0.1:{display}", picture]
    done = subprocess.run(words, capture_output=True, text=True, timeout=places.COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    with open(picture, "rb") as file:
        data = file.read()
    width, height = TEXT_SIZE
    if program == "gvnccapture":
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == TEXT_SIZE
    else:
        assert data[:2] == b"\xff\xd8" and struct.pack(">HH", height, width) in data
