"""The page a person takes home: one page, large type, plain words, and a square that carries the digest."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.kit.receipts import page, told
from connectors.kit.receipts.check import check_receipt, digest_of
from connectors.kit.receipts.names import names_of
from connectors.kit.receipts.told import HIDDEN, Names, moment, tell
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.model import EventKind
from hub.cli.main import cli
from tests.receipts.world import World

NAMES = names_of([{"slug": "departement", "name": "Département du Loiret"}, {"slug": "caf", "name": "CAF"}])
DIGEST = "0123456789abcdef" * 4


def record_of(world: World, **changes: Any) -> dict[str, Any]:
    return world.consent(**changes).payload


def test_it_says_what_with_whom_until_when(world: World) -> None:
    said = tell(record_of(world), NAMES)
    assert said.title == "Vous avez donné votre accord"
    assert said.by == "Département du Loiret"
    assert said.purpose == "Accompagnement social global"
    assert said.recipients == ("Département du Loiret (référent de parcours)",)
    assert said.sources == ("CAF", "cpam")
    assert said.sections == ("Droits", "Ressources", "Contact")
    assert said.until == "12 janvier 2027 à 10 h 00"
    assert "retirer mon accord" in said.withdraw


@pytest.mark.parametrize(
    ("instant", "words"),
    [
        ("2026-11-22T10:05:00Z", "22 novembre 2026 à 11 h 05"),
        ("2026-07-01T22:30:00Z", "2 juillet 2026 à 0 h 30"),
        ("2026-07-31T23:00:00Z", "1er août 2026 à 1 h 00"),
    ],
)
def test_hours_are_those_of_paris(instant: str, words: str) -> None:
    assert moment(instant) == words


def test_a_machine_that_knows_no_time_zones_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise told.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(told, "ZoneInfo", unknown)
    assert moment("2026-11-22T10:05:00Z") == "22 novembre 2026 à 10 h 05 (temps universel)"


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind not in HIDDEN])
def test_every_kind_has_its_words(world: World, kind: EventKind) -> None:
    said = tell({**record_of(world), "kind": kind.value}, NAMES)
    text = " ".join((said.title, said.what, said.withdraw))
    assert len(text) > 40
    assert not re.search(r"révoqu|fragment|consentement|hash|JWS", text)


@pytest.mark.parametrize("kind", sorted(HIDDEN))
def test_a_protection_is_never_told(world: World, kind: EventKind) -> None:
    with pytest.raises(ValueError, match="not shown"):
        tell({**record_of(world), "kind": kind.value}, NAMES)


def test_names_missing_are_shown_as_they_are(world: World) -> None:
    said = tell(record_of(world), Names({}, {}, {}, {}))
    assert said.by == "departement"
    assert said.sections == ("droits", "ressources", "contact")


def _drawn(svg: bytes) -> int:
    return len(re.findall(rb"[mh]-?[0-9]", svg))


def test_the_square_carries_the_digest() -> None:
    """The library's own matrix for the same text, drawn dark module by dark module."""
    segno: Any = importlib.import_module("segno")
    svg = page.qr_svg(page.qr_text(DIGEST))
    assert page.qr_text(DIGEST) == f"maillon-recu:v1:{DIGEST}"
    matrix = segno.make(f"maillon-recu:v1:{DIGEST}", error="m", micro=False).matrix
    runs = sum(len(re.findall(b"\x01+", bytes(row))) for row in matrix)
    path = re.search(rb' d="([^"]+)"', svg)
    assert path is not None
    assert path.group(1).count(b"h") == runs
    assert page.qr_svg(page.qr_text("f" * 64)) != svg


@pytest.mark.parametrize("form", ["pdf", "png"])
def test_it_is_one_page(world: World, form: str) -> None:
    every = tuple(world.policy.index.paths(world.policy.index.full))
    sources = ("caf", "cpam", "departement")
    payload = record_of(world, fields=every, sources=sources)
    for record in (payload, {**payload, "kind": "revoked", "pii_information": [], "sources": [], "recipients": []}):
        made = page.render(tell(record, NAMES), record["withdrawal_method"], DIGEST, form)
        assert made.startswith({"pdf": b"%PDF-", "png": b"\x89PNG"}[form])
        if form == "pdf":
            assert made.count(b"/Type /Page\n") + made.count(b"/Type/Page/") + made.count(b"/Type /Page/") <= 1
            assert b"/Lang" in made
            assert b"pdfuaid" in made


def test_what_fits_on_no_page_is_refused(world: World) -> None:
    said = tell(record_of(world), NAMES)
    with pytest.raises(MaillonError) as refused:
        page.render(said, "mot " * 3000, DIGEST)
    assert refused.value.kind is ErrorKind.TOO_LARGE


def test_without_the_extra_it_says_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(page.importlib, "import_module", missing)
    with pytest.raises(MaillonError, match=re.escape("pip install 'maillon[pdf]'")):
        page.render(tell(record_of(world), NAMES), None, DIGEST)


def test_the_command_makes_a_page_of_a_receipt_that_holds(world: World, tmp_path: Path) -> None:
    receipt, keys = world.write(tmp_path, world.receipt_of(world.consent()))
    out = tmp_path / "recu.pdf"
    arguments = ["receipt", "pdf", str(receipt), "--keys", str(keys), "--out", str(out)]
    made = CliRunner().invoke(cli, arguments)
    assert made.exit_code == 0, made.output
    assert out.read_bytes().startswith(b"%PDF-")
    assert out.stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(cli, arguments)
    assert isinstance(again.exception, MaillonError)
    assert again.exception.kind is ErrorKind.CONFLICT


def test_no_page_of_a_receipt_that_does_not_hold_nor_of_a_protection(world: World, tmp_path: Path) -> None:
    receipt, keys = world.write(tmp_path, world.receipt_of(world.consent()))
    value = json.loads(receipt.read_bytes())
    receipt.write_text(json.dumps(value | {"notice_sha256": "0" * 64}))
    arguments = ["receipt", "pdf", str(receipt), "--keys", str(keys), "--out", str(tmp_path / "a.pdf")]
    refused = CliRunner().invoke(cli, arguments).exception
    assert isinstance(refused, MaillonError)
    assert refused.kind is ErrorKind.BAD_SIGNATURE
    hidden = world.consent(kind=EventKind.PROTECTED, purpose=None, notice=None, cause="protection_renforcee")
    world.write(tmp_path, world.receipt_of(hidden))
    refused = CliRunner().invoke(cli, arguments).exception
    assert isinstance(refused, MaillonError)
    assert refused.kind is ErrorKind.FORBIDDEN
    assert not (tmp_path / "a.pdf").exists()


def test_the_digest_stays_when_witnesses_join(world: World) -> None:
    """What is printed today is what the receipt fetched again next month still says."""
    receipt = world.receipt_of(world.consent(), cosigned=0)
    index = world.log.size - 8
    later = json.loads(receipt.encode()) | {"proof": world.proof(index).encode().decode()}
    assert check_receipt(later, world.trusted).is_witnessed
    assert digest_of(later) == digest_of(json.loads(receipt.encode()))
