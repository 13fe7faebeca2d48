"""VNC over TLS (VeNCrypt with X.509 certificates): who comes in and who does not, stock clients, clients that misbehave, virtlodged's settings."""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import libvirt
import pytest
from support import access, disks, places, rfb
from support.daemon import URI, Daemon
from support.fake_monitor import PROGRAM, FakeMonitor
from support.vnc import servers
from support.wait import until

GREEN, BLUE = 0x00FF00, 0x0000FF
SIZE = (640, 400)
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Authorities, a server's certificate in a folder as lodge-vnc wants it, two clients' certificates."""
    made = access.Certificates(str(tmp_path_factory.mktemp("certificates")))
    made.client("friend")
    made.client("stranger", authority="other-ca")
    os.mkdir(made.path("vnc"))
    for name, ours in (("ca.pem", "ca-cert.pem"), ("server.pem", "server-cert.pem"), ("server.key", "server-key.pem")):
        shutil.copy(made.path(name), f"{made.path('vnc')}/{ours}")
    return made


def trusting(certificates, authority="ca", name=None):
    """A client's side of TLS, which believes that authority and shows that certificate."""
    context = ssl.create_default_context(cafile=certificates.path(f"{authority}.pem"))
    if name:
        context.load_cert_chain(certificates.path(f"{name}.pem"), certificates.path(f"{name}.key"))
    return context


@pytest.fixture
def screen(tmp_path, certificates):
    """screen(option, ...): a green screen over TLS."""
    shown = []

    def start(*options, where=("--tls-cert-dir", certificates.path("vnc")), passed=()):
        folder = f"{tmp_path}/{len(shown)}"
        os.mkdir(folder)
        shown.append(FakeMonitor(folder, *SIZE, *where, *options, passed=passed))
        shown[-1].paint(*SIZE, GREEN)
        until(shown[-1].listens, "lodge-vnc listens")
        return shown[-1]

    yield start
    for each in shown:
        if each.process.poll() is None:
            each.close()
        print(each.said())


def serves(screen, context, password=None):
    """A client comes in, sees the screen, and what it types arrives."""
    client = rfb.Rfb(screen.path).enter_tls(context, password)
    client.update(incremental=False)
    assert (client.width, client.height) == SIZE and set(client.colours()) == {GREEN}
    client.press(ord("a"))
    assert screen.next(2) == [("key", 30, 1), ("key", 30, 0)]
    return client


def test_encrypted(screen, certificates):
    """Nothing else is offered; a picture of many records that changes its size; what a client holds is let up when it goes."""
    shown = screen()
    client = serves(shown, trusting(certificates))
    shown.paint(2000, 1500, BLUE)
    while (client.width, client.height) != (2000, 1500) or set(client.colours()) != {BLUE}:
        client.update()
    client.key(ord("a"), True)
    client.close()
    assert shown.next(2) == [("key", 30, 1), ("key", 30, 0)]
    with pytest.raises(AssertionError):  # no plain type
        rfb.Rfb(shown.path).enter()


def test_passwords_in_tls(screen, certificates):
    """Required and missing, right, wrong, taken away; who is in the middle when it changes starts again."""
    shown = screen("--password-required")
    context = trusting(certificates)

    def refused(password):
        with pytest.raises(rfb.Refused, match="Authentication failed"):
            rfb.Rfb(shown.path).enter_tls(context, password)

    refused("secret12")
    shown.control.execute("set-password", {"password": "secret12"})
    serves(shown, context, "secret12").close()
    refused("secret13")
    shown.control.execute("set-password", {"password": "secret12", "expires": 1})
    refused("secret12")
    shown.control.execute("set-password", {"password": ""})
    refused("")
    waiting = rfb.Rfb(shown.path)
    waiting.start_tls(context)
    shown.control.execute("set-password", {"password": "other"})
    waiting.wait_closed(places.COMMAND_SECONDS)
    serves(shown, context, "other")
    assert "its password is wrong or has expired" in shown.said()


def test_a_socket_that_is_handed_over(screen, certificates):
    """With skip-auth neither TLS nor a password, without it both."""
    shown = screen("--password-required")
    shown.control.execute("set-password", {"password": "secret"})
    for skip in (True, False):
        ours, theirs = socket.socketpair()
        with theirs:
            shown.control.execute("getfd", {"fdname": "c"}, descriptors=[theirs.fileno()])
        shown.control.execute("add-client", {"fdname": "c", "skip-auth": skip})
        client = rfb.Rfb(connection=ours)
        if skip:
            client.enter()
        else:
            client.enter_tls(trusting(certificates), "secret")
        client.update(incremental=False)
        assert set(client.colours()) == {GREEN}


def is_refused(shown, context):
    """A client that TLS keeps out; with TLS 1.3 it hears of it when it reads."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client = rfb.Rfb(shown.path)
        client.start_tls(context)
        client.read(4)


def test_certificates_of_both(screen, certificates):
    """A server whose authority the client does not know; with --tls-verify-clients no certificate and that of another authority are refused."""
    shown = screen()
    is_refused(shown, trusting(certificates, authority="other-ca"))
    serves(shown, trusting(certificates)).close()
    strict = screen("--tls-verify-clients")
    is_refused(strict, trusting(certificates, name="stranger"))
    until(lambda: "its certificate is not accepted" in strict.said(), "the log says why")
    serves(strict, trusting(certificates, name="friend"))
    is_refused(strict, trusting(certificates))
    is_refused(strict, trusting(certificates, name="server"))  # not for clients
    serves(strict, trusting(certificates, name="friend"))


def test_files_as_descriptors(screen, certificates):
    """As virtlodged passes them."""
    files = [os.open(f"{certificates.path('vnc')}/{name}-cert.pem", os.O_RDONLY) for name in ("ca", "server")]
    files.append(os.open(f"{certificates.path('vnc')}/server-key.pem", os.O_RDONLY))
    shown = screen(where=("--tls-cert-fds", ",".join(map(str, files))), passed=files)
    for fd in files:
        os.close(fd)
    serves(shown, trusting(certificates))
    done = subprocess.run(["ls", "-l", f"/proc/{shown.process.pid}/fd"], capture_output=True, text=True, check=False)  # some may go meanwhile
    assert "socket" in done.stdout and ".pem" not in done.stdout, done


def memory_has(process, patterns):
    """Which of these a process has in memory of its own."""
    found = set()
    with open(f"/proc/{process}/maps", encoding="ascii") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            place, access_to = line.split()[:2]
            begin, end = (int(each, 16) for each in place.split("-"))
            if access_to != "rw-p":
                continue
            memory.seek(begin)
            data = memory.read(end - begin)
            found |= {each for each in patterns if each in data}
    return found


def test_the_key_is_not_where_libvncserver_is(screen, certificates):
    """Of a client's two processes one has the key; in the other one neither its numbers nor its text are left."""
    shown = screen()
    serve = serves(shown, trusting(certificates))
    key = f"{certificates.path('vnc')}/server-key.pem"
    told = access.run("openssl", "rsa", "-in", key, "-text", "-noout")
    numbers = [bytes.fromhex(re.sub(r"[^0-9a-f]", "", part)).lstrip(b"\0") for part in re.findall(r"(?:privateExponent|prime\d):\n((?: +[0-9a-f:]+\n)+)", told)]
    assert len(numbers) == 3
    with open(key, "rb") as file:
        lines = file.read().rpartition(b"BEGIN")[2].splitlines()
    patterns = [number[8:40] for number in numbers] + [number[::-1][8:40] for number in numbers] + [lines[5]]
    with open(f"/proc/{shown.process.pid}/task/{shown.process.pid}/children", encoding="ascii") as children:
        have = sorted(len(memory_has(process, patterns)) for process in children.read().split())
    assert len(have) == 2 and have[0] == 0 < have[1], have
    serve.close()


def in_vencrypt(shown, words):
    """A client that chooses VeNCrypt and then says this."""
    client = rfb.Rfb(shown.path)
    assert client.choose_vencrypt() == [rfb.X509_NONE]
    try:
        client.socket.sendall(words)
    except ConnectionError:
        pass  # it was not heard to the end
    return client


def test_bad_clients_hurt_nobody_else(screen, certificates):
    """Rubbish at each step is dropped; who stops in the middle is dropped when others want in or after a time; another is served all the while."""
    shown = screen()
    good = serves(shown, trusting(certificates))

    def still_good():
        good.update(incremental=False)
        assert set(good.colours()) == {GREEN}

    noise = os.urandom(1 << 16)
    begun = b"\0\0\1\x04"
    for words in (noise, b"RFB 003.003\n", b"RFB 003.008\n\1", b"RFB 003.008\n\2" + noise, b"RFB 003.007\n\1", b"RFB 003.008\n\x13\0\1", CLIENT_HELLO + noise):
        bad = rfb.Rfb(shown.path)
        try:
            bad.socket.sendall(words)
        except ConnectionError:
            pass
        bad.wait_closed(places.COMMAND_SECONDS)
        still_good()
    for words in (begun + noise, begun + b"GET / HTTP/1.1\r\n\r\n", begun + CLIENT_HELLO + noise, b"\0\0\1\x05", b"\0\0\0\1", begun + b"\x15\3\3\0\2\1\0" * 64):
        bad = in_vencrypt(shown, words)
        bad.wait_closed(places.COMMAND_SECONDS)
        still_good()
    stopped = [in_vencrypt(shown, begun + CLIENT_HELLO) for _ in range(4)] + [rfb.Rfb(shown.path) for _ in range(4)]
    for each in stopped[4:6]:
        each.read(12)
    gone = rfb.Rfb(shown.path)
    gone.start_tls(trusting(certificates))
    gone.socket.close()
    still_good()
    until(lambda: len(shown.control.execute("query-clients")) == 1, "those who stopped are dropped", 3 * places.COMMAND_SECONDS)
    for each in stopped:
        each.wait_closed(places.COMMAND_SECONDS)
    still_good()
    assert shown.process.poll() is None


def all_sleep(process):
    """Whether none of a process's children was at work in a hundred looks."""
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as children:
        found = children.read().split()
    for each in found * 100:
        with open(f"/proc/{each}/stat", encoding="ascii") as stat:
            if stat.read().rpartition(")")[2].split()[0] != "S":
                return False
    return len(found) == 4


def test_a_client_that_does_not_read_keeps_nobody_busy(screen, certificates):
    """It asks and asks; nothing piles up, and it is dropped when libvncserver has waited for long enough."""
    shown = screen()
    good = serves(shown, trusting(certificates))
    deaf = rfb.Rfb(shown.path)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.enter_tls(trusting(certificates))
    deaf.socket.settimeout(0.2)
    try:
        while True:
            deaf.request(False)
    except (TimeoutError, ssl.SSLError, ConnectionError):
        pass
    until(lambda: all_sleep(shown.process.pid), "both clients' processes wait, and do not spin")
    until(lambda: len(shown.control.execute("query-clients")) == 1, "it is dropped", 3 * places.COMMAND_SECONDS)
    good.update(incremental=False)
    assert set(good.colours()) == {GREEN}


def test_gtk_vnc(screen, certificates, tmp_path):
    """gvnccapture, with the library of virt-manager and virt-viewer, takes a picture; with another authority it does not."""
    shown = screen("--listen", "127.0.0.1:5961")
    home = f"{tmp_path}/home"
    os.makedirs(f"{home}/.pki/CA")
    picture = f"{tmp_path}/picture.png"
    assert shutil.which("gvnccapture"), "gvnccapture is missing (packages/test.txt)"

    def capture(authority):
        shutil.copy(certificates.path(f"{authority}.pem"), f"{home}/.pki/CA/cacert.pem")
        words = f"mount --bind {home} /root && exec gvnccapture localhost:61 {picture}"  # it asks the user database for the home
        return subprocess.run(["unshare", "--mount", "sh", "-c", words], capture_output=True, text=True, timeout=places.COMMAND_SECONDS,
                              check=False)

    assert capture("other-ca").returncode != 0 and not os.path.exists(picture)
    done = capture("ca")
    assert done.returncode == 0, done
    with open(picture, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def display():
    """An X server without a screen."""
    assert shutil.which("Xvfb"), "Xvfb is missing (packages/test.txt)"
    reading, writing = os.pipe()
    with subprocess.Popen(["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"], pass_fds=[writing],
                          stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        with open(reading, encoding="ascii") as numbers:
            number = numbers.readline().strip()
        yield f":{number}"
        server.terminate()


def test_tigervnc(screen, certificates, tmp_path, display):
    """vncviewer with X509Vnc and a password comes in, and with the wrong one it does not."""
    shown = screen("--listen", "127.0.0.1:5962", "--password-required")
    shown.control.execute("set-password", {"password": "secret"})
    program = shutil.which("xtigervncviewer")
    assert program, "xtigervncviewer is missing (packages/test.txt)"
    home = f"{tmp_path}/home"
    os.mkdir(home)

    def view(password):
        path = f"{tmp_path}/{password}"
        with open(path, "wb") as file:
            key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in bytes((23, 82, 107, 6, 35, 78, 88, 7)))
            words = ["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"]
            file.write(subprocess.run(words, input=password.encode().ljust(8, b"\0"), capture_output=True, check=True).stdout)
        return subprocess.Popen([program, "-SecurityTypes", "X509Vnc", "-X509CA", certificates.path("ca.pem"), "-passwd", path, "localhost::5962"],
                                env={**os.environ, "HOME": home, "DISPLAY": display}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with view("wrong") as wrong:
        until(lambda: "its password is wrong" in shown.said(), "the wrong password is refused")
        assert not any(each["state"] == "active" for each in shown.control.execute("query-clients"))
        wrong.kill()  # it shows a dialogue
    with view("secret") as right:
        until(lambda: any(each["state"] == "active" for each in shown.control.execute("query-clients")), "it comes in")
        right.kill()
    until(lambda: not shown.control.execute("query-clients"), "it is gone")


@pytest.fixture(scope="module")
def host(certificates, shared_folder):
    """virtlodged with vnc_tls, and monitors of an account that could not read the key."""
    os.chmod(f"{certificates.path('vnc')}/server-key.pem", 0o600)
    with_daemon = Daemon(shared_folder, settings=f'vnc_tls = 1\nvnc_tls_x509_cert_dir = "{certificates.path("vnc")}"\n'
                         'vnc_tls_x509_verify = 1\nmonitor_user = "nobody"\nmonitor_group = "nogroup"\n')
    yield with_daemon
    with_daemon.close()
    print(with_daemon.tail())


@pytest.fixture
def domain(host, tmp_path):
    """domain(GRAPHICS) defines one that waits in its BIOS."""
    boot = disks.boot_sector(f"{tmp_path}/boot.img", "UP")

    def define(graphics):
        path = f"{host.folder}/tls.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""<domain type='kvm'><name>tls</name><memory unit='MiB'>64</memory><os><type>hvm</type></os><devices>
              <disk type='file' device='disk'><source file='{boot}'/><target dev='hda' bus='ide'/></disk>{graphics}</devices></domain>""")
        host.virsh(f"define --validate {path}")

    yield define
    host.try_virsh("destroy tls")
    host.try_virsh("undefine tls")


def test_vnc_tls_of_virtlodged(host, domain, certificates):
    """A domain's port speaks TLS only and wants a certificate and the password; so does one whose server was started again;
    openGraphicsFD with SKIPAUTH needs none of it, without it all."""
    domain("<graphics type='vnc' port='5963' passwd='secret'/>")
    host.virsh("start tls")
    assert host.virsh("domdisplay tls").strip() == "vnc://127.0.0.1:63"

    def served():
        client = rfb.Rfb(("127.0.0.1", 5963)).enter_tls(trusting(certificates, name="friend"), "secret")
        client.update(incremental=False)
        return client.width

    assert served()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client = rfb.Rfb(("127.0.0.1", 5963))
        client.start_tls(trusting(certificates))
        client.read(16)
    connection = libvirt.open(URI)
    guest = connection.lookupByName("tls")
    rfb.Rfb(connection=socket.socket(fileno=guest.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))).enter()
    asked = rfb.Rfb(connection=socket.socket(fileno=guest.openGraphicsFD(0, 0)))
    asked.enter_tls(trusting(certificates, name="friend"), "secret")
    asked.close()
    connection.close()
    host.kill()
    (server,) = servers()
    os.kill(server, signal.SIGKILL)
    host.start()
    until(lambda: server not in servers() and servers(), "another server")

    def served_again():
        try:
            return served()
        except (ssl.SSLError, ConnectionError):
            return False  # who comes before the server has its password is dropped

    until(served_again, "it serves")


def test_a_start_without_certificates_fails(host, domain, certificates):
    """With an error that names file, cause and remedy; the next one, when they are there, does not."""
    domain("<graphics type='vnc'/>")
    key = f"{certificates.path('vnc')}/server-key.pem"
    os.rename(key, f"{key}.away")
    said = host.fails("start tls")
    assert f"{key}: No such file" in said and "virtlodged(8)" in said, said
    shutil.copy(certificates.path("friend.key"), key)
    said = host.fails("start tls")
    assert key in said and "are not a certificate and its key" in said, said
    os.rename(f"{key}.away", key)
    host.virsh("start tls")


def test_mistakes_are_named(certificates, tmp_path):
    """Of the files and the options: one line each."""
    here = ["--monitor", f"{tmp_path}/none", "--listen", f"unix:{tmp_path}/s"]
    broken = f"{tmp_path}/broken"
    shutil.copytree(certificates.path("vnc"), broken)
    shutil.copy(certificates.path("friend.key"), f"{broken}/server-key.pem")
    rubbish = f"{tmp_path}/rubbish"
    shutil.copytree(certificates.path("vnc"), rubbish)
    with open(f"{rubbish}/ca-cert.pem", "wb") as file:
        file.write(os.urandom(1000))
    for words, status, what in (
        (["--tls-cert-dir", f"{tmp_path}/none"], 1, "ca-cert.pem: "),
        (["--tls-cert-dir", broken], 1, "server-key.pem are no certificate and its key"),
        (["--tls-cert-dir", rubbish], 1, "ca-cert.pem holds no certificate"),
        (["--tls-cert-fds", "77,78,79"], 1, "Bad file descriptor"),
        (["--tls-cert-fds", "1,2"], 2, "three descriptors"),
        (["--tls-verify-clients"], 2, "needs --tls-cert-dir"),
    ):
        done = subprocess.run([PROGRAM, *here, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == status, done
        assert what in done.stderr and done.stderr.count("\n") == 1, done.stderr
