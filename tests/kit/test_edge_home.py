"""What an edge is made of and joins by: its home, its keys, its settings, a new key of the tokens."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.edge import Edge
from connectors.kit.edge_home import EdgeHome, EdgeSettings
from connectors.kit.klink import with_new
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PartnerSlug
from connectors.kit.trust import Root
from tests.kit.consortium import Consortium, folder, settings
from tests.kit.world import AT


def test_an_edge_is_made_once(consortium: Consortium) -> None:
    before = consortium.homes["caf"].identity.read_bytes()
    with pytest.raises(MaillonError) as caught:
        consortium.homes["caf"].create(folder("caf"), settings("caf"))
    assert caught.value.kind is ErrorKind.CONFLICT
    assert consortium.homes["caf"].identity.read_bytes() == before


def test_secrets_are_private(consortium: Consortium) -> None:
    home = consortium.homes["caf"]
    for secret in (home.identity, home.seal, home.store_key, home.store):
        assert secret.stat().st_mode & 0o077 == 0, secret.name


def join(c: Consortium, slug: str = "caf", **changes: Any) -> MaillonError:
    given: dict[str, Any] = {
        "root": c.root.public_jwk,
        "root_fingerprint": c.root.fingerprint,
        "directory": c.directory(2),
        "klink": c.root.seal_klink(slug, next(r for r in c.rows if r.slug == slug).seal_key),
        "at": AT,
    }
    with pytest.raises(MaillonError) as caught:
        c.homes[slug].join(**{**given, **changes})
    return caught.value


def test_joining_checks_everything(consortium: Consortium, tmp_path: Path) -> None:
    c = consortium
    evil = Root.create(tmp_path / "evil.json")
    assert join(c, root_fingerprint=evil.fingerprint).kind is ErrorKind.UNTRUSTED_KEY
    pinned = join(c, root=evil.public_jwk, root_fingerprint=evil.fingerprint)
    assert (pinned.kind, pinned.detail) == (ErrorKind.UNTRUSTED_KEY, "another root than the one pinned")
    assert join(c, directory=evil.sign_directory(c.rows, 2, AT)).kind is ErrorKind.UNTRUSTED_DIRECTORY
    other = next(row for row in c.rows if row.slug == "departement")
    assert join(c, klink=c.root.seal_klink("caf", other.seal_key)).kind is ErrorKind.BAD_SEAL
    assert join(c, directory=c.directory(2, *(r for r in c.rows if r.slug != "caf"))).kind is ErrorKind.UNKNOWN_PARTNER
    swapped = [replace(r, identity_key=other.identity_key) if r.slug == "caf" else r for r in c.rows]
    assert join(c, directory=c.directory(2, *swapped)).kind is ErrorKind.UNTRUSTED_KEY
    unwitnessed = [replace(r, witness_key="") if r.slug == "caf" else r for r in c.rows]
    assert (
        join(c, directory=c.directory(2, *unwitnessed)).detail == "the directory has another witness key for this edge"
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("colour = 1", "colour"),
        ("threads = 0", "threads"),
        ('threads = "8"', "threads"),
        ("co_hosted = 1", "co_hosted"),
        ('listen_host = "0.0.0.0"', "tls_cert"),
        ('hub_url = "http://hub.example.org"', "https"),
        ("not toml", "edge.toml"),
    ],
)
def test_a_setting_that_cannot_work_is_named(consortium: Consortium, line: str, named: str) -> None:
    home = consortium.homes["caf"]
    key = line.split(" ")[0]
    kept = [row for row in home.settings_file.read_text().splitlines() if not row.startswith(key + " ")]
    home.settings_file.write_text("\n".join([*kept, line]))
    with pytest.raises(MaillonError) as caught:
        home.settings()
    assert caught.value.kind in (ErrorKind.CONFIGURATION, ErrorKind.TLS_REQUIRED)
    assert named in caught.value.detail


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "edge.md").read_text("utf-8")
    table = page.split("## Settings")[1].split("## ")[0]
    rows = dict(re.findall(r"^\| (`.+?`) \| (.+?) \|", table, re.MULTILINE))
    listed = {name: cell for names, cell in rows.items() for name in re.findall(r"`(\w+)`", names)}
    assert list(listed) == [field.name for field in fields(EdgeSettings)]
    for field in fields(EdgeSettings):
        if field.default not in (MISSING, ""):
            assert f"`{str(field.default).lower()}`" in listed[field.name], field.name


def test_an_edge_that_has_not_joined_says_so(tmp_path: Path) -> None:
    home = EdgeHome(tmp_path / "caf")
    home.create(folder("caf"), settings("caf"))
    with pytest.raises(MaillonError) as caught:
        Edge.open(home.path, FakeClock(AT))
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert "joined" in caught.value.detail


def test_another_partners_folder_is_refused(consortium: Consortium, tmp_path: Path) -> None:
    with pytest.raises(MaillonError):
        Edge.open(consortium.homes["caf"].path, consortium.clock, folder("cpam"))
    with pytest.raises(MaillonError):
        EdgeHome(tmp_path / "x").create(folder("cpam"), settings("caf"))
    assert PartnerSlug("caf") == consortium.edges["caf"].slug


def test_a_new_klink_is_taken_beside_the_old_one_and_never_undone(consortium: Consortium) -> None:
    """The edge then makes tokens under both; a file that lacks a key it has would leave records nobody finds."""
    c = consortium
    home, seal_key = c.homes["caf"], next(r for r in c.rows if r.slug == "caf").seal_key
    before = c.root.seal_klink("caf", seal_key)
    two = c.root.with_klinks(with_new(c.root.epochs))
    home.join(c.root.public_jwk, c.root.fingerprint, c.directory(2), two.seal_klink("caf", seal_key), AT)
    edge = Edge.open(home.path, FakeClock(AT))
    try:
        assert [each.epoch for each in (*edge.tokeniser.former, edge.tokeniser)] == [1, 2]
        assert edge.store.links.standing().live == (1, 2)
    finally:
        edge.close()
    assert join(c, klink=before).kind is ErrorKind.CONFLICT
    other = c.root.with_klinks(with_new(c.root.epochs))
    assert join(c, klink=other.seal_klink("caf", seal_key)).kind is ErrorKind.CONFLICT
