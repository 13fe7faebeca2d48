"""A TCP server that sends each client all that it sent, at its end of input or a given length; runs in a network namespace."""
import subprocess

PORT = 7000
SERVER = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    client, _ = server.accept()
    data = bytearray()
    while len(data) < int(sys.argv[2]) and (chunk := client.recv(1 << 20)):
        data += chunk
    client.sendall(data)
    client.close()
"""


class Mirror:
    """The server's process."""

    def __init__(self, tap, limit=1 << 40):
        self.process = tap.start("python3", "-c", SERVER, str(PORT), str(limit), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def check_round_trip(guest, address, kibibytes, half_close=True):
    """The guest sends random data and gets the same back. half_close: its end of input is how the mirror knows that it has all."""
    transfer = f"nc {address} {PORT} </tmp/sent >/tmp/returned"
    if not half_close:
        transfer = f"mkfifo /tmp/input; nc {address} {PORT} </tmp/input >/tmp/returned & exec 3>/tmp/input; cat /tmp/sent >&3; wait $!"
    script = f"""
        head -c {kibibytes << 10} /dev/urandom >/tmp/sent
        {transfer}
        sha256sum </tmp/sent; sha256sum </tmp/returned; wc -c </tmp/returned
        rm -f /tmp/sent /tmp/returned /tmp/input"""
    sent, returned, size = guest.run(script, timeout=180).split("\n")[:3]
    assert int(size) == kibibytes << 10
    assert sent == returned
