"""GetCardImageEx: a QR code of a short-lived token in place of a photograph, for stations that show pictures.

The page knows JPEG, BMP and GIF, and FarCards hands a file to the station, so the code travels as a BMP of one bit
a pixel, which everything reads.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import segno

CONTENT_TYPE = "image/bmp"
PIXELS_PER_MODULE = 6
QUIET_MODULES = 4
PIXELS_PER_METRE = 2_835

_HEADERS = struct.Struct("<2sIHHI IiiHHIIiiII II")
_WHITE, _BLACK = 0x00FFFFFF, 0


def qr_code(text: str) -> bytes | None:
    """The picture; None for a text that no QR code can hold."""
    try:
        code = segno.make(text, error="m", micro=False)
    except ValueError:
        return None
    return bitmap([bytes(row) for row in code.matrix_iter(scale=PIXELS_PER_MODULE, border=QUIET_MODULES)])


def bitmap(rows: Sequence[bytes]) -> bytes:
    """A BMP of rows whose bytes are 0 for white and 1 for black; rows go from the bottom up, in whole 32 bits."""
    width, height = len(rows[0]), len(rows)
    stride = (width + 31) // 32 * 4
    bits = [int(row.translate(_DIGITS), 2) << (stride * 8 - width) for row in reversed(rows)]
    pixels = b"".join(row.to_bytes(stride, "big") for row in bits)
    begin = _HEADERS.size
    file = (b"BM", begin + len(pixels), 0, 0, begin)
    picture = (40, width, height, 1, 1, 0, len(pixels), PIXELS_PER_METRE, PIXELS_PER_METRE, 2, 0)
    return _HEADERS.pack(*file, *picture, _WHITE, _BLACK) + pixels


_DIGITS = bytes.maketrans(b"\x00\x01", b"01")
