"""Reads the text on a PC's screen in a text mode: pictures of characters, compared with the VGA BIOS's own font."""
import functools

VGA_BIOS = "/usr/share/seabios/vgabios-stdvga.bin"
HEIGHT = 16  # of a character
LETTER_A = bytes.fromhex("00001038 6cc6c6fe c6c6c6c6 00000000")
COLUMNS = 80


@functools.cache
def font():
    """Rows of a character (bytes, the highest bit left) -> the character, for what a keyboard has."""
    with open(VGA_BIOS, "rb") as file:
        image = file.read()
    begin = image.index(LETTER_A) - ord("A") * HEIGHT
    glyphs = {image[begin + code * HEIGHT : begin + (code + 1) * HEIGHT]: chr(code) for code in range(33, 127)}
    glyphs[bytes(HEIGHT)] = " "
    return glyphs


@functools.lru_cache(maxsize=256)  # little of a screen changes at a time
def line(width, cell, pixels):
    """The text of one line of characters."""
    known = {}  # eight pixels and the background -> their bits
    text = []
    for left in range(0, width * 4, cell * 4):
        background = pixels[left : left + 4]
        rows = bytearray()
        for row in range(left, len(pixels), width * 4):
            piece = pixels[row : row + 32]
            bits = known.get((piece, background))
            if bits is None:
                bits = sum(0x80 >> i for i in range(8) if piece[i * 4 : i * 4 + 4] != background)
                known[piece, background] = bits
            rows.append(bits)
        text.append(font().get(bytes(rows), "?"))
    return "".join(text).rstrip()


def read(width, height, pixels):
    """The lines of a picture (four bytes for each pixel, as Rfb has it) whose characters are 8 pixels wide, or 9 in a VGA's text
    mode; what is no character of the font is a question mark. Empty if characters do not fill this size."""
    cell = 9 if width == 9 * COLUMNS else 8
    if width % cell or height % HEIGHT:
        return []
    strip = width * 4 * HEIGHT
    return [line(width, cell, bytes(pixels[at : at + strip])) for at in range(0, len(pixels), strip)]
