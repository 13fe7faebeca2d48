"""lodge-vnc with a monitor of the test's own: sizes that change, what keys and pointers become, a monitor that lies."""
import os
import struct

import pytest
from support import places, rfb
from support.fake_monitor import FRAME, POINTER, FakeMonitor
from support.wait import until

RED, GREEN, BLUE = 0xFF0000, 0x00FF00, 0x0000FF
KEY_A, KEY_LEFTSHIFT, KEY_KPENTER = 30, 42, 96


@pytest.fixture
def monitor(tmp_path):
    """A screen of 640 x 400, which is black."""
    fake = FakeMonitor(str(tmp_path), 640, 400)
    until(fake.listens, "lodge-vnc listens")
    yield fake
    if fake.process.poll() is None:
        fake.close()


def sees(client, colour, size):
    """Waits until all of the picture has this colour."""
    while (client.width, client.height) != size or set(client.colours()) != {colour}:
        client.update()


def test_the_picture_changes_its_size(monitor):
    """To a larger one, one that is no multiple of anything, and back; a client that does not know of sizes keeps its part."""
    knows = rfb.Rfb(monitor.path).enter()
    ignorant = rfb.Rfb(monitor.path).enter(encodings=(rfb.RAW,))
    knows.update(incremental=False)
    ignorant.update(incremental=False)
    for width, height, colour in ((1024, 768, RED), (333, 77, GREEN), (2560, 2048, BLUE), (640, 400, RED)):
        monitor.paint(width, height, colour)
        sees(knows, colour, (width, height))
    sees(ignorant, RED, (640, 400))
    late = rfb.Rfb(monitor.path).enter()
    assert (late.width, late.height) == (640, 400)
    sees(late, RED, (640, 400))


def test_what_is_typed_arrives_and_is_let_up(monitor):
    """By character and by scan code; a client that goes holds nothing any more."""
    client = rfb.Rfb(monitor.path).enter(encodings=(rfb.RAW, rfb.EXTENDED_KEY))
    client.press(ord("a"), ord("A"))
    assert monitor.next(6) == [
        *(("key", KEY_A, down) for down in (1, 0)),
        ("key", KEY_LEFTSHIFT, 1),
        ("key", KEY_A, 1),
        ("key", KEY_LEFTSHIFT, 0),
        ("key", KEY_A, 0),
    ]
    client.scancode(0x9C, 0, True)
    client.pointer(0, 100, 100)
    client.pointer(1, 103, 95)
    assert monitor.next(3) == [("key", KEY_KPENTER, 1), ("move", 0, 0, 0, 0), ("move", 3, -5, 0, 1)]
    client.close()
    assert monitor.next(2) == [("key", KEY_KPENTER, 0), ("move", 0, 0, 0, 0)]


def test_a_mouse_is_told_steps(monitor):
    """By clients that know; when the guest's pointer turns into one of places they are told."""
    client = rfb.Rfb(monitor.path).enter(encodings=(rfb.RAW, rfb.POINTER_MOTION))
    client.update(incremental=False)
    assert client.steps
    client.pointer(16, 0x7FFF + 7, 0x7FFF - 2)
    assert monitor.next(1) == [("move", 7, -2, 1, 0)]
    monitor.say(struct.pack("<II", POINTER, 1))
    until(lambda: (client.receive(), not client.steps)[1], "the client is told")


@pytest.mark.parametrize(
    "packet",
    [
        b"rubbish",
        struct.pack("<7I", FRAME, 99, 640, 400, 0, 400, 0),  # that nobody asked for
        struct.pack("<7I", FRAME, 1, 5000, 5000, 0, 1, 1),
        struct.pack("<III", 1, 1, 0),  # hello again
        bytes(4000),
    ],
)
def test_a_monitor_that_lies_is_given_up(monitor, packet):
    """With an error, and nothing left behind."""
    monitor.say(packet)
    assert monitor.process.wait(places.EXIT_SECONDS) == 1
    assert not os.path.exists(monitor.path)


def test_the_monitors_end_is_the_end(monitor):
    """Status 0; clients are gone."""
    client = rfb.Rfb(monitor.path).enter()
    assert monitor.close() == 0
    client.wait_closed(places.COMMAND_SECONDS)
