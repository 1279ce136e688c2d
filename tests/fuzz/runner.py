"""One fuzzing process: tries inputs until the time is up, keeps what breaks, goes on.

With atheris, new inputs are kept when they reach new lines of the connectors; without it, samples are mutated blindly.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

FINDINGS: Final = Path(__file__).parent / "findings"
_TOKENS: Final = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"=1+1", b"@SUM(A1)", b";" * 300, b'"', b"\r\n", b"NULL"),
    *(b"<!DOCTYPE r []>", b"<![CDATA[", b"&amp;", b"&x;", b"&#0;", b"<!--", b"0000-00-00", b"2026-02-31", b"1e999"),
    *(b"-1", b"\xed\xa0\x80", b'{"a":' * 60, b"[" * 300, b"\\ud800", b"99999999999999999999", b"\xc3\xa9", b"\xe9"),
)


class Finder:
    """Calls ``check`` on each input; keeps the first input of each way of failing in ``folder``."""

    def __init__(self, name: str, check: Callable[[bytes], None], folder: Path = FINDINGS) -> None:
        """``name`` begins the names of the files kept: ``<slug>.<format>``."""
        self._name, self._check, self._folder = name, check, folder
        self.tried = 0
        self.kept: dict[str, Path] = {}

    def __call__(self, data: bytes) -> None:
        """Try one input. Only what is not an ``Exception`` gets out."""
        self.tried += 1
        try:
            self._check(data)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            way = f"{type(error).__name__} in {frames[-1].name}, {Path(frames[-1].filename).name}:{frames[-1].lineno}"
            if way in self.kept:
                return
            path = self._folder / f"{self._name}.{hashlib.sha256(data).hexdigest()[:12]}"
            self._folder.mkdir(exist_ok=True)
            path.write_bytes(data)
            self.kept[way] = path
            sys.stderr.write(f"found: {way} → {path.name}\n")


def blindly(
    find: Finder,
    seeds: list[bytes],
    as_file: Callable[[bytes], bytes],
    seconds: float,
    seed: int,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Mutate ``seeds`` at random for ``seconds`` of ``now``."""
    chance, until = random.Random(seed), now() + seconds  # noqa: S311 (the same run again is the point)
    for data in seeds:
        find(as_file(data))
    while now() < until:
        find(as_file(_mutated(chance, seeds)))


def guided(atheris: Any, find: Finder, as_file: Callable[[bytes], bytes], arguments: list[str]) -> None:
    """Let libFuzzer choose inputs by the lines they reach. Never returns: libFuzzer ends the process."""
    atheris.Setup([sys.argv[0], *arguments], lambda data: find(as_file(data)))
    atheris.Fuzz()


def _mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place, kind = chance.randrange(len(data) + 1), chance.randrange(5)
        if kind == 0:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            data[place:place] = chance.choice(_TOKENS)
        elif kind == 2:
            del data[place : place + chance.choice((1, 4, 64, 1024))]
        elif kind == 3:
            length, to = chance.choice((8, 64, 512)), chance.randrange(len(data) + 1)
            data[to:to] = data[place : place + length]
        else:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data[place : place + 32] = other[start : start + 32]
    return bytes(data[:65_536])
