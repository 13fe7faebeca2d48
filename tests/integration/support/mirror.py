"""A TCP server that sends each client, at its end of input, all that it sent; runs in a network namespace."""
import subprocess

PORT = 7000
SERVER = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    client, _ = server.accept()
    data = bytearray()
    while chunk := client.recv(1 << 20):
        data += chunk
    client.sendall(data)
    client.close()
"""


class Mirror:
    """The server's process."""

    def __init__(self, tap):
        self.process = tap.start("python3", "-c", SERVER, str(PORT), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def check_round_trip(guest, address, mebibytes):
    """The guest sends random data and gets the same back."""
    script = f"""
        head -c {mebibytes << 20} /dev/urandom >/tmp/sent
        nc {address} {PORT} </tmp/sent >/tmp/returned
        sha256sum </tmp/sent; sha256sum </tmp/returned; wc -c </tmp/returned
        rm /tmp/sent /tmp/returned"""
    sent, returned, size = guest.run(script, timeout=180).split("\n")[:3]
    assert int(size) == mebibytes << 20
    assert sent == returned
