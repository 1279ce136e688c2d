"""What goes wrong on a bad day, as a short text: ``latency=2@0.3``, ``429=5#1-3``, ``drop``, ``remove=data``.

``NAME[=VALUE][@PROBABILITY][#FIRST[-LAST]]``: probability 1 unless told, every request unless numbers (from 1) are
told. Whether a fault hits the n-th request depends on the seed, the fault and n alone, so a run can be had again.
Pure: an answer goes in, an answer comes out; the server does what it says.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError

JSON: Final = "application/json"
_FORM: Final = re.compile(
    r"(?P<name>[a-z_]+|[45][0-9]{2})(?:=(?P<value>[^@#]*))?(?:@(?P<p>[0-9.]+))?(?:#(?P<n>[0-9]+(?:-[0-9]*)?))?"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server is to send, and how. ``keep`` bytes of the body go out under the whole body's length."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    wait: float = 0.0
    """Seconds before the first byte."""
    drip: float = 0.0
    """Seconds over which the body goes out, byte by byte."""
    keep: int | None = None
    drop: bool = False
    """Close the connection without a word."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a request came: its number from 1, seconds since the start, and dice of its own."""

    number: int
    elapsed: float
    dice: random.Random


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a spec, ready to strike."""

    text: str
    name: str
    probability: float
    first: int
    last: float
    strike: Callable[[Answer, Moment], Answer]


class Faults:
    """The faults of one simulator."""

    def __init__(self, faults: Iterable[Fault], seed: int) -> None:
        """``seed`` makes the run reproducible."""
        self._faults = tuple(faults)
        self._seed = seed

    @classmethod
    def parse(cls, specs: Iterable[str], seed: int = 0) -> Faults:
        """Read specs, each one fault or several separated by commas.

        Raises ``MaillonError(CONFIGURATION)`` naming the fault that is not one.
        """
        return cls([parse_fault(text.strip()) for spec in specs for text in spec.split(",") if text.strip()], seed)

    def apply(self, answer: Answer, number: int, elapsed: float) -> tuple[Answer, list[str]]:
        """Return what becomes of ``answer`` to the request of that ``number``, and the names of what struck."""
        struck = []
        for place, fault in enumerate(self._faults):
            dice = random.Random(f"{self._seed}/{place}/{number}")  # noqa: S311 (chance to be had again, no secret)
            if fault.first <= number <= fault.last and dice.random() < fault.probability:
                changed = fault.strike(answer, Moment(number, elapsed, dice))
                if changed is not answer:
                    answer = changed
                    struck.append(fault.name)
        return answer, struck


def parse_fault(text: str) -> Fault:
    """Read one fault; raises ``MaillonError(CONFIGURATION)`` naming it."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise _wrong(text)
    name, value = form["name"], form["value"] or ""
    first, dash, last = (form["n"] or "1-").partition("-")
    try:
        probability = float(form["p"] or 1)
        if not 0 <= probability <= 1:
            raise ValueError
        make = _STATUS if name.isdigit() else _KINDS[name]
        strike, end = make(name, value), float(last or math.inf) if dash else int(first)
        if not 1 <= int(first) <= end:  # it would never strike
            raise ValueError
        return Fault(text, name, probability, int(first), end, strike)
    except (ValueError, KeyError):
        raise _wrong(text) from None


def problem(status: int, title: str) -> bytes:
    """Return an error body in the shape of API Particulier v3."""
    error: dict[str, Any] = {"code": f"{status:05}", "title": title, "detail": title, "source": None, "meta": {}}
    return json.dumps({"errors": [error]}, ensure_ascii=False).encode()


Strike = Callable[[Answer, Moment], Answer]


def _latency(_: str, value: str) -> Strike:
    low, _, high = value.partition("-")
    least, most = _seconds(low), _seconds(high or low)
    if most < least:
        raise ValueError
    return lambda answer, moment: replace(answer, wait=answer.wait + moment.dice.uniform(least, most))


def _drip(_: str, value: str) -> Strike:
    seconds = _seconds(value)
    return lambda answer, _: replace(answer, drip=seconds)


def _drop(_: str, value: str) -> Strike:
    _none(value)
    return lambda answer, _: replace(answer, drop=True)


def _truncate(_: str, value: str) -> Strike:
    share = float(value or 0.5)
    if not 0 <= share < 1:
        raise ValueError
    return lambda answer, _: replace(answer, keep=int(len(answer.body) * share))


def _status(name: str, value: str) -> Strike:
    headers = (("Retry-After", str(math.ceil(_seconds(value)))),) if value else ()
    said = int(name)
    return lambda answer, _: replace(
        answer, status=said, body=problem(said, "Panne simulée"), content_type=JSON, headers=headers
    )


def _maintenance(_: str, value: str) -> Strike:
    start, _, end = value.partition("-")
    opens, closes = _seconds(start), _seconds(end)
    if closes <= opens:
        raise ValueError

    def strike(answer: Answer, moment: Moment) -> Answer:
        if not opens <= moment.elapsed < closes:
            return answer
        after = (("Retry-After", str(math.ceil(closes - moment.elapsed))),)
        return replace(answer, status=503, body=problem(503, "Maintenance"), content_type=JSON, headers=after)

    return strike


def _content_type(_: str, value: str) -> Strike:
    if not value.isprintable():  # a line of its own in the head of the answer
        raise ValueError
    return lambda answer, _: replace(answer, content_type=value or "text/html; charset=utf-8")


def _garbage(_: str, value: str) -> Strike:
    size = int(value or 512)
    if not 0 <= size <= 64 * 1024 * 1024:
        raise ValueError
    return lambda answer, moment: replace(answer, body=moment.dice.randbytes(size))


def _drift(name: str, value: str) -> Strike:
    """Rename or remove one member, the same each time for a seed and a request; the one named, else any."""

    def strike(answer: Answer, moment: Moment) -> Answer:
        try:
            document = json.loads(answer.body)
        except ValueError:
            return answer
        found = [(holder, key) for holder, key in _members(document) if value in ("", key)]
        if not found:
            return answer
        holder, key = moment.dice.choice(found)
        said = holder.pop(key)
        if name == "rename":
            holder[f"{key}_v9"] = said
        return replace(answer, body=json.dumps(document, ensure_ascii=False).encode())

    return strike


def _members(value: Any) -> list[tuple[dict[str, Any], str]]:
    if isinstance(value, dict):
        return [(value, key) for key in value] + [row for each in value.values() for row in _members(each)]
    return [row for each in value for row in _members(each)] if isinstance(value, list) else []


_STATUS: Final = _status
_KINDS: Final = {
    "latency": _latency,
    "drip": _drip,
    "drop": _drop,
    "truncate": _truncate,
    "maintenance": _maintenance,
    "content_type": _content_type,
    "garbage": _garbage,
    "rename": _drift,
    "remove": _drift,
}


def _seconds(text: str) -> float:
    number = float(text.removesuffix("s"))
    if not 0 <= number <= 86400:
        raise ValueError
    return number


def _none(value: str) -> None:
    if value:
        raise ValueError


def _wrong(text: str) -> MaillonError:
    known = ", ".join([*_KINDS, "4xx", "5xx"])
    return MaillonError(ErrorKind.CONFIGURATION, f"faults: {text}: not a fault; one of {known}, see docs/simulator.md")
