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


def test_a_client_asks_for_a_size(monitor):
    """The monitor is told; the answer comes with the picture of that size, and others are told, too. What makes no sense is refused here."""
    client = rfb.Rfb(monitor.path).enter(encodings=(rfb.RAW, rfb.EXTENDED_DESKTOP_SIZE))
    other = rfb.Rfb(monitor.path).enter(encodings=(rfb.RAW, rfb.EXTENDED_DESKTOP_SIZE))
    other.update(incremental=False)
    client.update(incremental=False)
    assert client.sizes == [(0, rfb.SIZE_OK, 640, 400)]
    client.want_size(800, 600)
    assert monitor.next(1) == [("size", 800, 600)]
    monitor.paint(800, 600, GREEN)
    assert client.answer_to_size() == (rfb.SIZE_OK, 800, 600)
    sees(client, GREEN, (800, 600))
    sees(other, GREEN, (800, 600))
    client.want_size(800, 600)  # as it is
    assert client.answer_to_size() == (rfb.SIZE_OK, 800, 600)
    assert monitor.next(1) == [("size", 800, 600)]
    for size, screens, answer in (
        ((0, 600), None, rfb.SIZE_TOO_MUCH),
        ((65535, 65535), None, rfb.SIZE_TOO_MUCH),
        ((800, 600), [(0, 0, 400, 600), (400, 0, 400, 600)], rfb.SIZE_BAD_LAYOUT),
        ((800, 600), [(1, 0, 800, 600)], rfb.SIZE_BAD_LAYOUT),
        ((800, 600), [(0, 0, 800, 600)] * 255, rfb.SIZE_BAD_LAYOUT),
    ):
        client.want_size(*size, screens)
        assert client.answer_to_size() == (answer, 800, 600), (size, screens)
    client.press(ord("a"))
    assert monitor.next(1) == [("key", KEY_A, 1)], "nothing else was told"
    try:
        while True:
            client.want_size(1024, 768)
    except ConnectionError:
        pass  # a flood, as of keys
    sees(other, GREEN, (800, 600))


def test_a_screen_that_takes_no_sizes(tmp_path):
    """A VGA's: prohibited."""
    fake = FakeMonitor(str(tmp_path), 640, 400, features=0)
    until(fake.listens, "lodge-vnc listens")
    client = rfb.Rfb(fake.path).enter(encodings=(rfb.RAW, rfb.EXTENDED_DESKTOP_SIZE))
    client.update(incremental=False)
    client.want_size(800, 600)
    assert client.answer_to_size() == (rfb.SIZE_PROHIBITED, 640, 400)
    fake.close()


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
