"""virtlodged with sockets of its own, so that several run side by side; certificates, passwords and a polkit for it."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from . import places
from .daemon import DAEMON
from .wait import until

NOBODY = 65534
SUPPORT = os.path.dirname(os.path.abspath(__file__))


def as_nobody():
    """The beginning of a command that runs as another user than root."""
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def free_port():
    """A TCP port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_folder():
    """A folder that every user may look into."""
    folder = tempfile.mkdtemp(prefix="lodge-access-")
    os.chmod(folder, 0o755)
    return folder


def run(*command, **options):
    """Output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=places.COMMAND_SECONDS, **options).stdout


class Virtlodged:
    """A daemon with folders, sockets and settings of its own. `wrap` begins its command."""

    def __init__(self, settings="", environment=None, wrap=(), sockets=None, serves=True, close_fds=True, verbose=True):
        self.folder = open_folder()
        self.sockets = sockets or self.folder
        self.socket = f"{self.sockets}/virtlodged-sock"
        self.socket_ro = f"{self.sockets}/virtlodged-sock-ro"
        self.log = f"{self.folder}/virtlodged.log"
        config = f"{self.folder}/virtlodged.conf"
        with open(config, "w", encoding="utf-8") as file:
            for name in ("config", "run", "state", "log"):
                file.write(f'{name}_dir = "{self.folder}/{name}"\n')
            file.write(f'unix_sock_dir = "{self.sockets}"\nunix_sock_group = "root"\nlisten_addr = "127.0.0.1"\n{settings}')
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*wrap, DAEMON, "--config", config, *(["--verbose"] if verbose else [])], stdout=log, stderr=log,
                                            env={**os.environ, **(environment or {})},
                                            close_fds=close_fds)
        until(lambda: " serves " in self.said() or self.process.poll() is not None, "the daemon serves", places.CONTROL_SECONDS)
        assert (self.process.poll() is None) == serves, self.said()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def said(self):
        """Its log."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def uri(self, read_only=False):
        """Where stock clients reach its unix socket."""
        return f"lodge+unix:///system?socket={self.socket_ro if read_only else self.socket}"

    def memory_kib(self):
        """Its memory in RAM."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def close(self):
        """Ends it; it must still be there."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                assert self.process.wait(places.EXIT_SECONDS) == 0, self.said()
        finally:
            print("\n".join(self.said().splitlines()[-40:]))
            shutil.rmtree(self.folder)


def virsh(uri, *command, prefix=(), environment=None):
    """(status, output with errors) of stock virsh at that URI."""
    done = subprocess.run([*prefix, "virsh", "-c", uri, *(command or ("list", "--all"))], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=places.COMMAND_SECONDS,
                          env={**os.environ, **(environment or {})}, check=False)
    return done.returncode, done.stdout


def lists(uri, **options):
    """Whether virsh lists domains there; its complaint if not."""
    status, output = virsh(uri, **options)
    assert status == 0 and "Id" in output, output
    return True


def refused(uri, **options):
    """What virsh says where it must be refused."""
    status, output = virsh(uri, **options)
    assert status != 0, output
    return output


class Certificates:
    """Authorities and what they sign, by certtool. Each client's folder is one for ?pkipath=."""

    def __init__(self, folder):
        self.folder = folder
        self.authority("ca")
        self.authority("other-ca")
        self.sign("server", "ca", "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\nsigning_key\nencryption_key")

    def path(self, name):
        """A file here."""
        return f"{self.folder}/{name}"

    def _key(self, name):
        run("certtool", "--generate-privkey", "--key-type=rsa", "--bits=2048", "--outfile", self.path(f"{name}.key"))

    def _template(self, name, text):
        with open(self.path(f"{name}.template"), "w", encoding="ascii") as file:
            file.write(text)
        return self.path(f"{name}.template")

    def authority(self, name):
        """An authority of its own: NAME.pem, NAME.key"""
        self._key(name)
        template = self._template(name, f"cn = {name}\nca\ncert_signing_key\ncrl_signing_key\nencryption_key\nexpiration_days = 2\n")
        run("certtool", "--generate-self-signed", "--template", template, "--load-privkey", self.path(f"{name}.key"), "--outfile",
            self.path(f"{name}.pem"))

    def sign(self, name, authority, text):
        """A certificate: NAME.pem, NAME.key"""
        self._key(name)
        if "expiration" not in text:
            text += "\nexpiration_days = 2"
        template = self._template(name, f"{text}\n")
        run("certtool", "--generate-certificate", "--template", template, "--load-privkey", self.path(f"{name}.key"),
            "--load-ca-certificate", self.path(f"{authority}.pem"), "--load-ca-privkey", self.path(f"{authority}.key"),
            "--outfile", self.path(f"{name}.pem"))

    def client(self, name, authority="ca", extra="tls_www_client\nsigning_key\nencryption_key", dn=""):
        """A folder with a client's certificate."""
        self.sign(name, authority, f"cn = {name}\n{dn}\n{extra}")
        place = self.path(f"client-{name}")
        os.mkdir(place)
        shutil.copy(self.path("ca.pem"), f"{place}/cacert.pem")
        shutil.copy(self.path(f"{name}.pem"), f"{place}/clientcert.pem")
        shutil.copy(self.path(f"{name}.key"), f"{place}/clientkey.pem")
        return place

    def nobody(self):
        """A folder with no certificate but the authority's."""
        place = self.path("client-without")
        os.makedirs(place, exist_ok=True)
        shutil.copy(self.path("ca.pem"), f"{place}/cacert.pem")
        return place

    def revoke(self, name):
        """The authority takes a certificate back: crl.pem"""
        template = self._template("crl", "crl_next_update = 2\ncrl_number = 1\n")
        run("certtool", "--generate-crl", "--template", template, "--load-ca-certificate", self.path("ca.pem"), "--load-ca-privkey",
            self.path("ca.key"), "--load-certificate", self.path(f"{name}.pem"), "--outfile", self.path("crl.pem"))
        return self.path("crl.pem")

    def settings(self, port, cert="server", key=None, ca="ca"):
        """Lines of virtlodged.conf for TLS at that port."""
        return (f'listen_tls = 1\ntls_port = {port}\ncert_file = "{self.path(cert)}.pem"\nkey_file = "{self.path(key or cert)}.key"\n'
                f'ca_file = "{self.path(ca)}.pem"\n')


class Passwords:
    """A SASL of its own: a file of users and libvirt.conf."""

    def __init__(self, folder, mechanisms):
        self.folder = folder
        self.users = f"{folder}/users.db"
        with open(f"{folder}/libvirt.conf", "w", encoding="ascii") as file:
            file.write(f"mech_list: {mechanisms}\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {self.users}\n")
        self.environment = {"SASL_CONF_PATH": folder}

    def add(self, name, password):
        """A user, in this host's realm."""
        run("saslpasswd2", "-f", self.users, "-c", "-p", name, input=password)

    def file(self, name, password):
        """What ?authfile= names."""
        path = f"{self.folder}/auth-{name}-{password}.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"[credentials-all]\nauthname={name}\nusername={name}\npassword={password}\n"
                       "[auth-libvirt-default]\ncredentials=all\n")
        return path


class Polkit:
    """A system bus of its own, and an authority on it that answers as it is told."""

    def __init__(self, folder):
        self.folder = folder
        self.answers = f"{folder}/answers.json"
        self.asked = f"{folder}/asked.jsonl"
        config = f"{folder}/bus.conf"
        with open(config, "w", encoding="ascii") as file:
            file.write(f"<busconfig><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth><policy context='default'>"
                       "<allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy></busconfig>")
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}
        self.answer({})
        self.bus = subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"])
        until(lambda: os.path.exists(f"{folder}/bus"), "the bus is there")
        self.authority = None

    def start(self):
        """Lets the authority appear on the bus."""
        self.authority = subprocess.Popen(["/usr/bin/python3", f"{SUPPORT}/fake_polkit.py", self.answers, self.asked],
                                          env={**os.environ, **self.environment})
        until(lambda: os.path.exists(self.asked), "the authority is there")

    def answer(self, answers):
        """{"ACTION UID": "yes" | "no" | "challenge" | "dismissed" | "never"}; whatever else is asked: no."""
        with open(self.answers + ".new", "w", encoding="ascii") as file:
            json.dump(answers, file)
        os.rename(self.answers + ".new", self.answers)

    def questions(self):
        """What it was asked."""
        with open(self.asked, encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def close(self):
        """Ends both."""
        for process in filter(None, (self.authority, self.bus)):
            process.terminate()
            process.wait(places.EXIT_SECONDS)
