"""Clients of virtlodged that break the protocol, hang or flood it: each is answered or closed, and others do not notice."""
import contextlib
import struct
import subprocess

import pytest
from support import access, places, rpc
from support.access import Virtlodged, lists
from support.rpc import Client, message
from support.wait import until

TCP_SASL = 'listen_tcp = 1\nauth_tcp = "sasl"\n'


@pytest.fixture(scope="module")
def daemon():
    """One for all that must not harm it. Guests are not needed; a definition gives replies some length."""
    with Virtlodged() as made:
        for number in range(20):
            path = f"{made.folder}/d.xml"
            with open(path, "w", encoding="ascii") as file:
                file.write(f"<domain type='kvm'><name>d{number}</name><memory>65536</memory><os><type>hvm</type></os></domain>")
            assert access.virsh(made.uri(), "define", path)[0] == 0
        yield made


@pytest.fixture
def witness(daemon):
    """Another client, connected all the while; it must be answered before and after."""
    with Client(daemon.socket) as client:
        client.open()
        assert client.call(rpc.GET_HOSTNAME)[0] == rpc.OK
        yield client
        assert client.call(rpc.GET_HOSTNAME)[0] == rpc.OK
        assert daemon.process.poll() is None


CLOSED = {
    "a length below the header's": b"\0\0\0\x1b" + bytes(24),
    "no length at all": bytes(28),
    "a length of 4 GiB": b"\xff\xff\xff\xff" + bytes(24),
    "a length beyond the limit": message(1, length=(32 << 20) + 5),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "a reply": message(rpc.GET_HOSTNAME, kind=rpc.REPLY),
    "a type that there is not": message(rpc.GET_HOSTNAME, kind=77),
    "a status that there is not": message(rpc.GET_HOSTNAME, status=77),
    "more descriptors than may be": message(rpc.GET_HOSTNAME, struct.pack(">I", 33), kind=4),
}


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("what", CLOSED)
def test_what_is_no_message_ends_the_connection(daemon, what):
    """The server closes; nothing is answered that a client could take for a reply."""
    with Client(daemon.socket) as client:
        client.open()
        client.send(CLOSED[what])
        assert client.closed()


ANSWERED = {
    "an unknown program": (message(1, program=0x12345678, serial=9), "Cannot find program 305419896 version 1"),
    "an unknown version": (message(1, version=7, serial=9), "version 7"),
    "an unknown procedure": (message(99999, serial=9), "unknown procedure: 99999"),
    "a negative procedure": (message(-5, serial=9), "unknown procedure: -5"),
    "an event's procedure": (message(318, serial=9), "unknown procedure: 318"),
    "a call with a status": (message(rpc.GET_HOSTNAME, serial=9, status=rpc.ERROR), "Unexpected message status"),
    "arguments cut short": (message(23, b"\0\0\0\x09abc", serial=9), "Unable to decode message payload"),
    "arguments too long": (message(rpc.GET_HOSTNAME, bytes(64), serial=9), "Unable to decode message payload"),
    "a string of 4 GiB": (message(23, b"\xff\xff\xff\xffabcd", serial=9), "Unable to decode message payload"),
    "a second opening": (message(rpc.OPEN, rpc.OPEN_ARGUMENTS, serial=9), "connection already open"),
    "a login that is over": (message(rpc.SASL_INIT, serial=9), "authenticated already"),
}


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("what", ANSWERED)
def test_wrong_calls_are_answered_with_an_error(daemon, what):
    """The reply has the call's numbers and says what is wrong; the connection goes on."""
    data, words = ANSWERED[what]
    with Client(daemon.socket) as client:
        client.open()
        client.send(data)
        procedure, kind, serial, status, payload = client.receive()
        assert (procedure, kind, serial, status) == (struct.unpack(">i", data[12:16])[0], rpc.REPLY, 9, rpc.ERROR)
        assert words in rpc.error_text(payload)
        assert client.call(rpc.GET_HOSTNAME)[0] == rpc.OK


def test_order_and_serials_are_the_clients_affair(daemon, witness):
    """Doubled serials get a reply each; stream packets of no stream and unknown events are passed over; bytes may come one by one."""
    with Client(daemon.socket) as client:
        assert client.call(rpc.GET_HOSTNAME)[0] == rpc.ERROR  # not opened yet
        client.open()
        client.send(message(rpc.GET_HOSTNAME, serial=50) * 3)
        assert [client.receive()[2] for _ in range(3)] == [50] * 3
        for status in (rpc.CONTINUE, rpc.OK, rpc.ERROR):
            client.send(message(201, b"data", kind=rpc.STREAM, serial=77, status=status))
        client.send(message(5, program=rpc.KEEPALIVE, kind=rpc.EVENT) + message(7, b"x", kind=rpc.EVENT))
        client.send(message(1, program=rpc.KEEPALIVE, kind=rpc.EVENT))
        assert client.receive()[0] == 2  # PONG
        for byte in message(rpc.GET_HOSTNAME, serial=60):
            client.send(bytes([byte]))
        assert client.receive()[2:4] == (60, rpc.OK)
    assert witness.call(rpc.GET_HOSTNAME)[0] == rpc.OK


def test_announced_bytes_that_never_come_cost_nothing(daemon, witness):
    """A hundred clients announce 32 MiB each, send a little and stand still: memory stays, others are answered."""
    before = daemon.memory_kib()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(Client(daemon.socket))
            client.open()
            client.send(message(rpc.GET_HOSTNAME, length=32 << 20) + bytes(1000))
        for _ in range(20):
            assert witness.call(rpc.GET_HOSTNAME)[0] == rpc.OK
        assert lists(daemon.uri())
        assert daemon.memory_kib() - before < 100 << 10


def test_a_client_for_looking_only_may_not_send_32_mib(daemon, witness):
    """On the read-only socket, which is for everyone, messages of more than 4 MiB end the connection."""
    with Client(daemon.socket_ro) as client:
        client.open()
        client.send(message(rpc.GET_HOSTNAME, length=5 << 20))
        assert client.closed()
    assert witness.call(rpc.GET_HOSTNAME)[0] == rpc.OK


def flood(client, data, rounds):
    """Sends as long as the server takes it; how often that was."""
    client.socket.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        for _ in range(rounds):
            if client.socket.send(data) < len(data):
                break
            sent += 1
    return sent


def test_a_client_that_never_reads_is_not_read_from(daemon, witness):
    """It sends calls with long replies and never reads: the server soon takes no more, and its memory stays."""
    before = daemon.memory_kib()
    with contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(Client(daemon.socket)) for _ in range(20)]
        for client in deaf:
            client.open()
        calls = message(rpc.CAPABILITIES, serial=1) * 20

        def all_stuck():
            witness.call(rpc.GET_HOSTNAME)
            return not any([flood(client, calls, 200) for client in deaf])

        until(all_stuck, "nothing more is taken from them", places.COMMAND_SECONDS)
        assert lists(daemon.uri())
        assert daemon.memory_kib() - before < 200 << 10
    until(lambda: daemon.memory_kib() - before < 100 << 10, "the memory is free again")


def test_a_client_that_never_reads_its_events_is_disconnected(daemon, witness):
    """Long events pile up for it: it is disconnected, and the log says why; another client gets all of its own."""
    uuid = bytes.fromhex(access.virsh(daemon.uri(), "domuuid", "d0")[1].strip().replace("-", ""))
    name = rpc.text("d0") + uuid + struct.pack(">i", -1)
    long_uri = rpc.text("u" * (1 << 20))
    metadata_change = struct.pack(">iI", 23, 0)  # of all domains
    with Client(daemon.socket) as deaf, Client(daemon.socket) as fine, Client(daemon.socket) as author:
        for client in (deaf, fine):
            client.open()
            assert client.call(316, metadata_change)[0] == rpc.OK
        author.open()
        for number in range(24):
            title = struct.pack(">iI", 1, 1) + rpc.text(f"t{number}")
            assert author.call(264, name + title + struct.pack(">II", 0, 1) + long_uri + struct.pack(">I", 2))[0] == rpc.OK
            assert fine.receive()[1] == rpc.EVENT
        assert deaf.closed()
        assert "does not read its events" in daemon.said()
        assert fine.call(rpc.GET_HOSTNAME)[0] == rpc.OK
    assert witness.call(rpc.GET_HOSTNAME)[0] == rpc.OK


def test_pings_without_end_leave_others_their_turn(daemon, witness):
    """Clients that send pings as fast as they can, and read the answers, slow nobody down for good."""
    script = ("import socket, threading, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
              f"data = {message(1, program=rpc.KEEPALIVE, kind=rpc.EVENT)!r} * 500\n"
              "threading.Thread(target=lambda: [s.sendall(data) for _ in iter(int, 1)], daemon=True).start()\n"
              "while s.recv(1 << 20):\n  print('pong', flush=True)\n")
    floods = [subprocess.Popen(["/usr/bin/python3", "-c", script, daemon.socket], stdout=subprocess.PIPE) for _ in range(3)]
    try:
        assert all(process.stdout.readline() for process in floods)
        for _ in range(20):
            assert witness.call(rpc.GET_HOSTNAME)[0] == rpc.OK
        assert lists(daemon.uri())
    finally:
        for process in floods:
            process.kill()
            process.wait()
            process.stdout.close()


def test_500_connections_are_served(daemon, witness):
    """500 clients are connected at the same time, each is answered, so is one more; all of them may vanish at once."""
    before = daemon.memory_kib()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(daemon.socket)) for _ in range(500)]
        for client in clients:
            client.send(message(rpc.AUTH_LIST) + message(rpc.OPEN, rpc.OPEN_ARGUMENTS, serial=1) + message(rpc.GET_HOSTNAME, serial=2))
        for client in clients:
            assert [client.receive()[3] for _ in range(3)] == [rpc.OK] * 3
        assert lists(daemon.uri())
        assert daemon.memory_kib() - before < 100 << 10
    assert witness.call(rpc.GET_HOSTNAME)[0] == rpc.OK


def test_at_the_most_clients_the_next_one_waits(tmp_path_factory):
    """max_clients: one more is served as soon as another leaves."""
    del tmp_path_factory
    with Virtlodged("max_clients = 10\nmax_anonymous_clients = 10\n") as small, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(small.socket)).open() for _ in range(10)]
        late = stack.enter_context(Client(small.socket))
        late.send(message(rpc.AUTH_LIST, serial=1))
        for client in clients:
            assert client.call(rpc.GET_HOSTNAME)[0] == rpc.OK
        late.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.socket.recv(1)
        late.socket.settimeout(places.COMMAND_SECONDS)
        clients[0].socket.close()
        assert late.receive()[3] == rpc.OK


def test_strangers_keep_nobody_out_and_do_not_stay(tmp_path_factory):
    """Half-open TCP connections of clients that say nothing: 500 of them leave local clients and one that logs in alone; they may send
    no calls and no long messages; none stays for longer than the time for logging in."""
    folder = str(tmp_path_factory.mktemp("sasl"))
    passwords = access.Passwords(folder, "DIGEST-MD5")
    passwords.add("fred", "secret")
    port = access.free_port()
    with Virtlodged(TCP_SASL + f"tcp_port = {port}\n", environment=passwords.environment) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Client(port)) for _ in range(500)]
        assert lists(server.uri())
        assert lists(f"lodge+tcp://127.0.0.1:{port}/system?authfile={passwords.file('fred', 'secret')}")
        assert silent[0].closed()  # it made room
        with Client(port) as eager:
            status, payload = eager.call(rpc.GET_HOSTNAME)
            assert status == rpc.ERROR and rpc.error_text(payload) == "authentication required"
            eager.send(message(rpc.SASL_START, length=1 << 20))
            assert eager.closed()
        with Client(port) as early:  # what is sent in the clear before the login is over is never a call of the client's
            status, payload = early.call(rpc.SASL_START, rpc.text("DIGEST-MD5") + bytes(8))
            assert status == rpc.ERROR and "is not what this connection waits for" in rpc.error_text(payload)
            assert early.closed()
        assert lists(server.uri())
        for client in silent[-3:]:
            assert client.closed()
        assert "did not authenticate within" in server.said()
