"""Request bodies as clients compress them: lz4, zstd, gzip or deflate, in one frame or many.

A client may compress each block as a frame of its own, so every frame is decoded: the first
one alone would lose rows without an error. What comes out is bounded, since a few bytes can
unfold to more than memory holds.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

_PIECE: Final = 1 << 22
_ANY_ZLIB: Final = {"gzip": 31, "deflate": 15}


class BadFrames(Exception):
    """A compressed body that cannot be read; the text is what ClickHouse would say."""


def decompress(data: bytes, encoding: str, limit: int = 512 << 20) -> bytes:
    """Return the plain bytes of a body.

    Raises:
        BadFrames: it ends early, is no such frame, unfolds to more than ``limit`` bytes, or
            its encoding is not known.
    """
    make = _maker(encoding)
    parts: list[bytes] = []
    size = 0
    while data:
        frame = make()
        size, data = _one(frame, data, parts, size, limit, encoding)
    return b"".join(parts)


def _one(
    frame: Any, data: bytes, parts: list[bytes], size: int, limit: int, encoding: str
) -> tuple[int, bytes]:
    """Decode one frame piece by piece; return the size so far and what follows the frame."""
    given = data
    while not frame.eof:
        try:
            part = frame.decompress(given, _PIECE)
        except Exception as error:  # each library has an error of its own
            raise BadFrames(
                f"Code: 271. DB::Exception: the {encoding} body is no such frame: {error}."
                " (CANNOT_DECOMPRESS)"
            ) from error
        # What zlib did not read yet is asked for again; the others keep it themselves.
        given = getattr(frame, "unconsumed_tail", b"")
        size += len(part)
        parts.append(part)
        if size > limit:
            raise BadFrames(
                f"Code: 241. DB::Exception: the {encoding} body unfolds to more than {limit}"
                " bytes. (MEMORY_LIMIT_EXCEEDED)"
            )
        if not part and not given and not frame.eof:
            raise BadFrames(
                f"Code: 3. DB::Exception: the {encoding} body ends early. (UNEXPECTED_END_OF_FILE)"
            )
    return size, frame.unused_data or b""


def _maker(encoding: str) -> Callable[[], Any]:
    if encoding in _ANY_ZLIB:
        return lambda: zlib.decompressobj(_ANY_ZLIB[encoding])
    if encoding == "lz4":
        import lz4.frame

        maker: Callable[[], Any] = lz4.frame.LZ4FrameDecompressor
        return maker
    if encoding == "zstd":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        return zstd.ZstdDecompressor
    raise BadFrames(
        f"Code: 34. DB::Exception: content encoding {encoding}. (UNKNOWN_COMPRESSION_METHOD)"
    )
