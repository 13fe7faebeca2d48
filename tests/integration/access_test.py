"""Who gets into virtlodged, and how: TLS, SASL, polkit, ssh, plain sockets, with stock virsh; no guest is needed."""
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
from support import access, places, rpc
from support.access import Certificates, Passwords, Polkit, Virtlodged, lists, refused
from support.wait import until


@pytest.fixture
def folder():
    """A folder that every user may look into."""
    made = access.open_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def certificates():
    """Made once; tests do not change them."""
    made = access.open_folder()
    yield Certificates(made)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def admin(certificates):
    """The folder of a client with a certificate."""
    return certificates.client("admin", dn="organization = Example")


def tls(port, client):
    """A client's URI for TLS."""
    return f"lodge://localhost:{port}/system?pkipath={client}"


def confirmation(port, client):
    """What the server says to a client that shows its certificate whether or not the server knows its authority."""
    context = ssl.create_default_context(cafile=f"{client}/cacert.pem")
    if os.path.exists(f"{client}/clientcert.pem"):
        context.load_cert_chain(f"{client}/clientcert.pem", f"{client}/clientkey.pem")
    with rpc.Client(port) as plain, contextlib.suppress(ssl.SSLError, ConnectionError):
        with context.wrap_socket(plain.socket, server_hostname="localhost") as secure:
            return secure.recv(100)
    return b""


# ---- TLS


def test_tls_lets_in_whom_the_authority_knows(certificates, admin):
    """A certificate of the authority is enough; none, another authority's and one for servers only are not, and the log says why."""
    port = access.free_port()
    stranger = certificates.client("stranger", authority="other-ca")
    server_only = certificates.client("server-only", extra="tls_www_server\nsigning_key\nencryption_key")
    expired = certificates.client("expired", extra='tls_www_client\nsigning_key\nencryption_key\nactivation_date = "2020-01-01 00:00:00"\n'
                                                   'expiration_date = "2020-01-02 00:00:00"')
    with Virtlodged(certificates.settings(port)) as daemon:
        assert lists(tls(port, admin))
        assert access.virsh(tls(port, admin), "hostname")[0] == 0
        assert confirmation(port, admin) == b"\1"
        for client, reason in ((stranger, "issuer"), (certificates.nobody(), "required"), (server_only, "purpose"),
                               (expired, "expired")):
            begin = len(daemon.said())
            refused(f"{tls(port, client)}&no_sanity=1")
            assert confirmation(port, client) == b""
            until(lambda b=begin, r=reason: r in daemon.said()[b:], f"the log says {reason}", places.CONTROL_SECONDS)
        assert lists(tls(port, admin))


def test_tls_knows_who_was_taken_back(certificates, admin):
    """A certificate on the revocation list is refused, others are not."""
    port = access.free_port()
    former = certificates.client("former")
    crl = certificates.revoke("former")
    with Virtlodged(certificates.settings(port) + f'crl_file = "{crl}"\n') as daemon:
        refused(tls(port, former))
        assert "revoked" in daemon.said()
        assert lists(tls(port, admin))


@pytest.mark.parametrize("patterns, fits", [('"O=Example,CN=admin"', True), ('"*CN=adm?n*"', True), ('"CN=other", "*"', True),
                                            ('"CN=other"', False), ("", False)])
def test_tls_asks_the_list_of_names(certificates, admin, patterns, fits):
    """tls_allowed_dn_list: names as GnuTLS writes them, with * and ?; an empty list lets in nobody."""
    port = access.free_port()
    with Virtlodged(certificates.settings(port) + f"tls_allowed_dn_list = [ {patterns} ]\n") as daemon:
        if fits:
            assert lists(tls(port, admin))
        else:
            refused(tls(port, admin))
            assert "'O=Example,CN=admin' is not in tls_allowed_dn_list" in daemon.said()


def test_tls_without_certificates_when_told_so(certificates):
    """tls_no_verify_certificate: a client without a certificate gets in, and the log warns."""
    port = access.free_port()
    with Virtlodged(certificates.settings(port) + "tls_no_verify_certificate = 1\n") as daemon:
        assert lists(tls(port, certificates.nobody()))
        assert "everyone may do everything over TLS" in daemon.said()


def test_tls_says_what_is_wrong_with_its_files(certificates, folder):
    """Missing, foreign, unsuitable or broken files and priorities end the start with file and cause; nothing is served."""
    certificates.sign("expired-server", "ca", 'cn = localhost\ntls_www_server\nsigning_key\nencryption_key\nactivation_date = "2020-01-01 00:00:00"\n'
                                              'expiration_date = "2020-01-02 00:00:00"')
    certificates.sign("client-only", "ca", "cn = localhost\ntls_www_client\nsigning_key\nencryption_key")
    with open(f"{folder}/broken.pem", "w", encoding="ascii") as file:
        file.write("no PEM\n")
    port = access.free_port()
    good = certificates.settings(port)
    for settings, words in ((certificates.settings(port, cert="absent"), ("absent.pem", "No such file", "virtlodged(8)")),
                            (certificates.settings(port, key="other-ca"), ("other-ca.key", "server.pem")),
                            (certificates.settings(port, ca="other-ca"), ("server.pem", "not signed by", "other-ca.pem")),
                            (certificates.settings(port, cert="expired-server"), ("expired-server.pem", "expired")),
                            (certificates.settings(port, cert="client-only"), ("client-only.pem", "not for TLS servers")),
                            (certificates.settings(port, cert="ca"), ("ca.pem", "authority's, not a server's")),
                            (certificates.settings(port, ca="server"), ("server.pem", "not an authority's")),
                            (good + f'crl_file = "{folder}/broken.pem"\n', ("broken.pem", "no revocation list")),
                            (good + f'crl_file = "{folder}/absent.pem"\n', ("absent.pem", "No such file")),
                            (good + 'tls_priority = "NORMAL:-BANANA"\n', ("tls_priority", "BANANA"))):
        with Virtlodged(settings, serves=False) as daemon:
            assert all(word in daemon.said() for word in words), daemon.said()
            with pytest.raises(ConnectionRefusedError):
                rpc.Client(port)
    with Virtlodged(certificates.settings(port, cert="client-only") + "tls_no_sanity_certificate = 1\n"):
        pass


def test_tls_port_serves_nothing_in_the_clear(certificates, admin):
    """Plain messages at the TLS port get no reply; a handshake that stands still keeps nobody out."""
    port = access.free_port()
    with Virtlodged(certificates.settings(port)) as daemon:
        with rpc.Client(port) as plain:
            plain.send(rpc.message(rpc.AUTH_LIST))
            answer = plain.read(64)
            assert not answer or answer[0] == 0x15, answer  # a TLS alert, no message
        still = [rpc.Client(port) for _ in range(50)]
        for client in still[::2]:
            client.send(b"\x16\x03\x01\x02\x00")  # the beginning of a hello
        for _ in range(3):
            assert lists(tls(port, admin))
            assert lists(daemon.uri())
        for client in still:
            client.socket.close()


def test_sockets_from_systemd_are_what_their_units_say(certificates, admin):
    """A socket named -tls speaks TLS, one named -ro is for looking only."""
    with socket.socket() as listening, socket.socket(socket.AF_UNIX) as looking:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        place = access.open_folder()
        looking.bind(f"{place}/look")
        looking.listen()
        script = (f"exec 3<&{listening.fileno()} 4<&{looking.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=2 "
                  "LISTEN_FDNAMES=virtlodged-tls:virtlodged-sock-ro; exec \"$@\"")
        os.set_inheritable(listening.fileno(), True)
        os.set_inheritable(looking.fileno(), True)
        with Virtlodged(certificates.settings(port), wrap=["bash", "-c", script, "bash"],
                        close_fds=False) as daemon:
            assert lists(tls(port, admin))
            refused(tls(port, certificates.nobody()))
            look = f"lodge+unix:///system?socket={place}/look"
            assert lists(look)
            assert "read only access prevents" in refused_call(look, "undefine")
            assert not os.path.exists(daemon.socket)
        shutil.rmtree(place)


def refused_call(uri, procedure):
    """The server's own words to a call that stock clients would not even send."""
    assert procedure == "undefine"
    with rpc.Client(uri.partition("socket=")[2]) as client:
        status, payload = client.open().call(231, rpc.text("x") + bytes(16) + bytes(8))
        assert status == rpc.ERROR
        return rpc.error_text(payload)


# ---- SASL


@pytest.fixture
def passwords(folder):
    """Users fred and joe, for mechanisms of every kind."""
    made = Passwords(folder, "SCRAM-SHA-256 DIGEST-MD5 PLAIN")
    made.add("fred", "secret")
    made.add("joe", "hidden")
    return made


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "DIGEST-MD5", "PLAIN"])
def test_sasl_over_local_sockets_and_tls(certificates, admin, passwords, mechanism):
    """Name and password are asked of everyone, of root too; wrong ones and other connections' calls are refused."""
    port = access.free_port()
    settings = 'auth_unix_rw = "sasl"\nauth_unix_ro = "sasl"\nauth_tls = "sasl"\n'
    with Virtlodged(certificates.settings(port) + settings, environment=passwords.environment) as daemon:
        right, wrong = passwords.file("fred", "secret"), passwords.file("fred", "wrong")
        for uri in (daemon.uri(), daemon.uri(read_only=True), tls(port, admin)):
            assert lists(f"{uri}&auth=sasl.{mechanism}&authfile={right}")
            assert "authentication failed" in refused(f"{uri}&auth=sasl.{mechanism}&authfile={wrong}")
        with rpc.Client(daemon.socket) as client:
            status, payload = client.call(rpc.OPEN, rpc.OPEN_ARGUMENTS)
            assert status == rpc.ERROR and rpc.error_text(payload) == "authentication required"


def test_sasl_asks_the_list_of_names(passwords):
    """sasl_allowed_username_list: fred fits the pattern, joe does not, although his password is right."""
    settings = 'auth_unix_rw = "sasl"\nsasl_allowed_username_list = [ "fr*" ]\n'
    with Virtlodged(settings, environment=passwords.environment) as daemon:
        assert lists(f"{daemon.uri()}&authfile={passwords.file('fred', 'secret')}")
        assert "authentication failed" in refused(f"{daemon.uri()}&authfile={passwords.file('joe', 'hidden')}")
        assert "is not in sasl_allowed_username_list" in daemon.said()


def test_sasl_over_tcp_must_encrypt(folder, passwords):
    """DIGEST-MD5 encrypts all that follows; mechanisms that do not are refused with the reason."""
    port = access.free_port()
    settings = f'listen_tcp = 1\ntcp_port = {port}\nauth_tcp = "sasl"\n'
    right = passwords.file("fred", "secret")
    with Virtlodged(settings, environment=passwords.environment), Wiretap(port) as tap:
        name = access.run("virsh", "-c", f"lodge+tcp://127.0.0.1:{tap.port}/system?authfile={right}", "uri").strip()
        assert name.startswith("lodge+tcp://127.0.0.1")
        assert b"DIGEST-MD5" in tap.heard and b"lodge:///system" not in tap.heard
        assert lists(f"lodge+tcp://127.0.0.1:{port}/system?authfile={right}")
        assert "authentication failed" in refused(f"lodge+tcp://127.0.0.1:{port}/system?authfile={passwords.file('fred', 'x')}")
    only_scram = f"{folder}/scram"
    os.mkdir(only_scram)
    weak = Passwords(only_scram, "SCRAM-SHA-256 PLAIN")
    weak.add("fred", "secret")
    with Virtlodged(settings, environment=weak.environment):
        said = refused(f"lodge+tcp://127.0.0.1:{port}/system?authfile={right}")
        assert "encrypts with 112 bits or more, which plain TCP needs (tcp_min_ssf)" in said
    with Virtlodged(settings + "tcp_min_ssf = 256\n", environment=passwords.environment):
        assert "encrypts with 256 bits" in refused(f"lodge+tcp://127.0.0.1:{port}/system?authfile={right}")


class Wiretap:
    """A TCP port in front of another that keeps what goes through."""

    def __init__(self, behind):
        self.port = access.free_port()
        self.file = f"/tmp/lodge-wiretap-{self.port}"
        script = (f"import socket, threading\nheard = open({self.file!r}, 'ab', 0)\nback = socket.create_server(('127.0.0.1', {self.port}))\n"
                  "def pump(a, b):\n  while data := a.recv(65536):\n    heard.write(data)\n    b.sendall(data)\n  b.shutdown(1)\n"
                  "while True:\n  near = back.accept()[0]\n"
                  f"  far = socket.create_connection(('127.0.0.1', {behind}))\n"
                  "  for pair in ((near, far), (far, near)):\n    threading.Thread(target=pump, args=pair, daemon=True).start()\n")
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", script])
        until(self._up, "the wiretap is up")

    def _up(self):
        try:
            rpc.Client(self.port).socket.close()
            return True
        except ConnectionRefusedError:
            return False

    @property
    def heard(self):
        """All that went through, both ways; characters of four bytes each (XDR's way with SASL's data) are made one."""
        with open(self.file, "rb") as file:
            data = file.read()
        return data + data.replace(b"\0\0\0", b"")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.unlink(self.file)


# ---- polkit


@pytest.fixture
def polkit(folder):
    """An authority and its bus."""
    made = Polkit(folder)
    yield made
    made.close()


POLKIT = 'auth_unix_rw = "polkit"\nauth_unix_ro = "polkit"\nunix_sock_rw_perms = "0777"\nunix_sock_ro_perms = "0777"\n'


def test_polkit_decides_about_other_users(polkit):
    """Its verdicts reach the client; manage and monitor are two actions; it is asked about the right process; never about root."""
    nobody = access.as_nobody()
    with Virtlodged(POLKIT, environment=polkit.environment) as daemon:
        said = refused(daemon.uri(), prefix=nobody)
        assert "polkit cannot be asked" in said and "polkitd" in said
        polkit.start()
        manage, monitor = (f"org.libvirt.unix.{what} {access.NOBODY}" for what in ("manage", "monitor"))
        polkit.answer({manage: "yes"})
        assert lists(daemon.uri(), prefix=nobody)
        question = polkit.questions()[-1]
        assert (question["kind"], question["action"], question["uid"]) == ("unix-process", "org.libvirt.unix.manage", access.NOBODY)
        assert question["start-time"] > 0 and question["flags"] == 1
        assert "access denied by policy" in refused(daemon.uri(read_only=True), prefix=nobody)
        polkit.answer({monitor: "yes"})
        assert lists(daemon.uri(read_only=True), prefix=nobody)
        assert "access denied by policy" in refused(daemon.uri(), prefix=nobody)
        polkit.answer({manage: "challenge"})
        assert "no polkit agent available" in refused(daemon.uri(), prefix=nobody)
        polkit.answer({manage: "dismissed"})
        assert "user cancelled" in refused(daemon.uri(), prefix=nobody)
        before = len(polkit.questions())
        assert lists(daemon.uri())  # root
        assert len(polkit.questions()) == before


def test_polkit_that_does_not_answer_keeps_nobody_else_out(polkit):
    """Clients that wait for polkit hang; root's calls are answered; a user may have two questions open; the daemon ends at once."""
    polkit.start()
    polkit.answer({f"org.libvirt.unix.manage {access.NOBODY}": "never"})
    with Virtlodged(POLKIT, environment=polkit.environment) as daemon:
        waiting = [subprocess.Popen([*access.as_nobody(), "virsh", "-c", daemon.uri(), "list"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(12)]
        until(lambda: sum(client.poll() is None for client in waiting) == 2, "two wait, the others were refused")
        for _ in range(3):
            assert lists(daemon.uri())
        until(lambda: len(polkit.questions()) >= 2, "polkit was asked")
    for client in waiting:
        client.wait(places.EXIT_SECONDS)


# ---- other ways in


def test_a_user_has_a_daemon_of_their_own(folder):
    """lodge:///session of a user who is not root: sockets and folders below theirs, and virsh finds it there."""
    os.chown(folder, access.NOBODY, access.NOBODY)
    environment = {"HOME": folder, "XDG_RUNTIME_DIR": f"{folder}/run", "XDG_CONFIG_HOME": f"{folder}/config",
                   "XDG_CACHE_HOME": f"{folder}/cache", "XDG_DATA_HOME": f"{folder}/data"}
    access.run(*access.as_nobody(), "mkdir", "-p", f"{folder}/run/libvirt")
    with open(f"{folder}/log", "wb") as log:
        process = subprocess.Popen([*access.as_nobody(), access.DAEMON, "--session"], stdout=log, stderr=log, env={**os.environ, **environment})
    socket_path = f"{folder}/run/libvirt/virtlodged-sock"
    try:
        until(lambda: os.path.exists(socket_path) or process.poll() is not None, "it serves", places.CONTROL_SECONDS)
        assert lists("lodge:///session", prefix=access.as_nobody(), environment=environment)
        assert access.virsh("lodge:///session", "uri", prefix=access.as_nobody(), environment=environment)[1].strip() == "lodge:///session"
        assert os.stat(socket_path).st_mode & 0o077 == 0
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(places.EXIT_SECONDS) == 0
        with open(f"{folder}/log", encoding="utf-8") as log:
            print(log.read())


def test_plain_tcp_when_told_so():
    """lodge+tcp:// without authentication."""
    port = access.free_port()
    with Virtlodged(f'listen_tcp = 1\ntcp_port = {port}\nauth_tcp = "none"\n'):
        assert lists(f"lodge+tcp://127.0.0.1:{port}/system")


def test_ssh_reaches_the_usual_socket(folder):
    """lodge+ssh://: stock ssh, stock sshd, stock virt-ssh-helper, with a key; an open console of messages both ways."""
    port = access.free_port()
    key, host_key = f"{folder}/key", f"{folder}/host_key"
    for path in (key, host_key):
        access.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    config = f"{folder}/sshd_config"
    with open(config, "w", encoding="ascii") as file:
        file.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\n"
                   f"PermitRootLogin prohibit-password\nUsePAM no\nPidFile none\n")
    os.makedirs("/run/sshd", exist_ok=True)
    os.makedirs("/run/libvirt", exist_ok=True)
    # The helper knows only the usual place, which may be another daemon's here: both live in a mount namespace of their own.
    own = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run/libvirt && exec "$@"', "sh"]
    with Virtlodged(wrap=own, sockets="/run/libvirt") as daemon:
        server = subprocess.Popen(["nsenter", "-m", "-t", str(daemon.process.pid), "/usr/sbin/sshd", "-D", "-e", "-f", config])
        try:
            until(lambda: subprocess.run(["ssh-keyscan", "-p", str(port), "127.0.0.1"], capture_output=True, check=False).stdout, "sshd")
            uri = f"lodge+ssh://root@127.0.0.1:{port}/system?keyfile={key}&no_verify=1&no_tty=1"
            assert lists(uri)
            with open(f"{folder}/x.xml", "w", encoding="ascii") as file:
                file.write("<domain type='kvm'><name>far</name><memory>65536</memory><os><type>hvm</type></os></domain>")
            assert access.virsh(uri, "define", f"{folder}/x.xml")[0] == 0
            assert "far" in access.virsh(uri, "list", "--all", "--name")[1]
            assert access.virsh(uri, "undefine", "far")[0] == 0
            assert os.path.exists(f"/proc/{daemon.process.pid}/root/run/libvirt/virtlodged-sock")
        finally:
            server.terminate()
            server.wait(places.EXIT_SECONDS)


def test_log_and_host_uuid_are_as_configured(folder):
    """log_outputs: places with levels of their own; host_uuid is what capabilities tell."""
    uuid = "8b6a1b5e-6f0e-4b0c-9d5e-1f2a3b4c5d6e"
    settings = f'log_outputs = "2:stderr 3:file:{folder}/warnings.log"\nhost_uuid = "{uuid}"\n'
    with Virtlodged(settings, verbose=False) as daemon:
        assert f"<uuid>{uuid}</uuid>" in access.virsh(daemon.uri(), "capabilities")[1]
        with rpc.Client(daemon.socket) as client:
            client.send(bytes(28))
            assert client.closed()
        with open(f"{folder}/warnings.log", encoding="utf-8") as file:
            warnings = file.read()
        assert "is disconnected" in warnings and " serves " not in warnings
        assert "is disconnected" in daemon.said() and " debug " not in daemon.said()
    with Virtlodged('log_outputs = "3:stderr 3:file:/nonexistent/x.log"\n', verbose=False, serves=False) as daemon:
        assert "/nonexistent/x.log" in daemon.said()
