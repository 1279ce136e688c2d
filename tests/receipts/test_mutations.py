"""Every byte and every member of a receipt altered: what still passes says exactly the same.

A byte may be altered in vain: a name of a witness nobody knows is nobody's, and an unused bit of a deflated stream is
no message. So the claim is not "refused" but "never believed about anything else".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.kit.receipts.check import Checked, check_receipt
from consent.ledger.exact import LedgerError
from consent.ledger.jws import read_object
from consent.ledger.verify import TrustedKeys
from tests.receipts.world import World

STRANGE = (None, True, False, 0, -1, 1.5, 2**64, "", "A", "é", [], {}, [[]], {"v": 1}, "0" * 5000)


def _unchanged(altered: Checked, honest: Checked) -> bool:
    """Whether an accepted alteration tells what the honest receipt tells, by no more witnesses."""
    a, h = altered.verdict, honest.verdict
    same = (a.record, a.collector, a.origin, a.index, a.size, a.at_us, a.notice_sha256) == (
        (h.record, h.collector, h.origin, h.index, h.size, h.at_us, h.notice_sha256)
    )
    return same and altered.digest == honest.digest and set(a.witnesses) <= set(h.witnesses)


def _judge(data: bytes, keys: TrustedKeys, honest: Checked) -> str:
    try:
        value = read_object(data, "json")
    except LedgerError:
        return "unusable"
    checked = check_receipt(value, keys)
    if not checked.verdict.holds:
        return "refused"
    assert _unchanged(checked, honest)
    return "same"


@pytest.mark.parametrize("fields", [3, 214], ids=["short", "whole dossier"])
def test_every_byte_altered(world: World, fields: int) -> None:
    paths = tuple(world.policy.index.paths(world.policy.index.full))[:fields]
    data, keys = world.deep_receipt(world.consent(fields=paths)).encode(), world.trusted
    honest = check_receipt(read_object(data, "json"), keys)
    assert honest.verdict.holds
    counts = {"unusable": 0, "refused": 0, "same": 0}
    for at in range(len(data)):
        for bit in (1, 32):
            counts[_judge(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], keys, honest)] += 1
    assert counts["refused"] > len(data)
    # The three cosignature lines, of which one may be lost to a quorum of two.
    assert counts["same"] < len(data) // 4, counts


def test_every_truncation_and_every_byte_removed(world: World) -> None:
    data, keys = world.receipt_of(world.consent()).encode(), world.trusted
    honest = check_receipt(read_object(data, "json"), keys)
    accepted = 0
    for at in range(len(data)):
        for altered in (data[:at], data[:at] + data[at + 1 :]):
            accepted += _judge(altered, keys, honest) == "same"
    assert accepted < len(data) // 8


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in members:
        yield from _places(child, (*path, name))


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _put(copy[path[0]], path[1:], new)
    return copy


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy


def test_every_member_replaced_removed_added(world: World) -> None:
    """On the readable form, where every member of the signed record is a member of the receipt."""
    keys = world.trusted
    receipt = world.receipt_of(world.consent(fields=("droits.rsa.etat",)), cosigned=2)
    value = json.loads(receipt.encode())
    assert "payload" in value["record"], "the readable form is what this test is about"
    honest = check_receipt(value, keys)
    assert honest.verdict.holds
    tried = 0
    for path in _places(value):
        altered = [_put(value, path, strange) for strange in STRANGE]
        if path:
            altered.append(_without(value, path))
        target = value
        for name in path:
            target = target[name]
        if isinstance(target, dict):
            altered.append(_put(value, path, {**target, "added": 1}))
        for each in altered:
            if each == value and repr(each) == repr(value):
                continue
            tried += 1
            checked = check_receipt(each, keys)
            assert not checked.verdict.holds, path
    assert tried > 1000


def test_two_receipts_crossed(world: World) -> None:
    """Each member of one receipt put into the other: an event never borrows another's proof."""
    one, other = (json.loads(world.receipt_of(world.consent()).encode()) for _ in range(2))
    keys, crossed = world.trusted, 0
    for path in _places(one):
        try:
            theirs = other
            for name in path:
                theirs = theirs[name]
        except (KeyError, IndexError):
            continue
        altered = _put(one, path, theirs)
        if path and altered != one:
            crossed += 1
            assert not check_receipt(altered, keys).verdict.holds, path
    assert crossed >= 6
