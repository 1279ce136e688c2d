"""The way to a partner's API where it is not the public one: a private authority, a proxy, and nothing by default."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.kit.edge import Edge
from connectors.kit.edge_home import EdgeHome, EdgeSettings
from connectors.kit.live.edge_client import open_live
from connectors.kit.live.poller import open_poller
from connectors.kit.live.spec import PAGE_LIMITS, FeedSpec
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import FarSideError, Transport
from tests.kit.consortium import Consortium, folder, settings
from tests.kit.tls import FAR, HERE, Authority, FarSide, https, proxy
from tests.kit.world import TOKENISER
from tests.live.caisse import HOUSEHOLD, QUOTIENT, partner
from tests.live.scenes import People

ANSWER = json.dumps(HOUSEHOLD["payload"]).encode()
ELSEWHERE = "api.example.fr"


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def way(home: Path, far: FarSide, **changes: str) -> EdgeSettings:
    given = {"api_url": far.url, "api_habilitation": "22290001400016", **changes}
    return settings("caisse", mode="client", **given)


def asked_live(home: Path, chosen: EdgeSettings) -> str:
    """Ask for the quotient as an edge in mode client does; return ``valeur``, or the typed absence."""
    clock = SystemClock()
    live = open_live(EdgeHome(home), chosen, partner(home / "partners"), People(), TOKENISER, clock)
    with closing(live):
        held = live.fragment_of("L1", (QUOTIENT,), clock.now() + timedelta(seconds=10))
    assert held is not None
    return str(held["statements"][QUOTIENT].get("absence", "valeur"))


def test_an_authority_of_its_own_is_believed(ours: Authority, tmp_path: Path) -> None:
    with https(ours.vouch(HERE), ANSWER) as far:
        assert asked_live(tmp_path, way(tmp_path, far, api_ca="ours.pem")) == "valeur"
        assert len(far.asked) == 1


def test_whoever_it_does_not_vouch_for_is_never_asked(ours: Authority, tmp_path: Path) -> None:
    """The question is about a person: it must not even be sent."""
    Authority(tmp_path, "theirs")
    for context, ca in (
        (ours.vouch(HERE), ""),
        (ours.vouch(HERE), "theirs.pem"),
        (ours.vouch(ELSEWHERE), "ours.pem"),
        (ours.vouch(HERE, lasts=timedelta(days=-1)), "ours.pem"),
    ):
        with https(context, ANSWER) as far:
            assert asked_live(tmp_path, way(tmp_path, far, api_ca=ca)) == "indisponible"
            assert far.asked == []


@pytest.mark.parametrize(("ca", "stopped"), [("ours.pem", ""), ("theirs.pem", "unavailable: SSLError")])
def test_a_feed_is_fetched_the_same_way(
    consortium: Consortium, ours: Authority, tmp_path: Path, ca: str, stopped: str
) -> None:
    Authority(tmp_path, "theirs")
    sample = (folder("departement").path / "samples" / "demo.accompagnement.csv").read_bytes()
    feed = FeedSpec("accompagnement", "https://x.fr", "/f", "de", "X-Next", limits=replace(PAGE_LIMITS, tries=1))
    home = consortium.homes["departement"]
    with https(ours.vouch(HERE), sample, "text/csv") as far, proxy() as through:
        kept = [row for row in home.settings_file.read_text("utf-8").splitlines() if not row.startswith("api_")]
        named = [f'api_url = "{far.url}"', f'api_ca = "../{ca}"', f'api_proxy = "{through.url}"']
        home.settings_file.write_text("\n".join([*kept, *named]), "utf-8")
        edge = Edge.open(home.path, SystemClock(), replace(folder("departement"), feed=feed))
        with closing(edge):
            report = open_poller(edge).poll(register=False)
        assert report.stopped == stopped
        assert bool(report.ingested.records) is not bool(stopped)
        assert [asked for asked, _ in through.asked] == [f"CONNECT {HERE}:{far.url.rsplit(':', 1)[1]}"]


# The file ------------------------------------------------------------------------------------------------------


def spoilt(ours: Authority, how: str) -> bytes | None:
    good = ours.pem.read_bytes()
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "missing": None,
        "empty": b"",
        "a page": b"<html>",
        "der": ssl.PEM_cert_to_DER_cert(good.decode()),
        "a key": key,
        "cut": good + good[: len(good) // 2],
        "damaged": good + good.replace(b"\nMII", b"\nM!!", 1),
    }[how]


@pytest.mark.parametrize("how", ["missing", "empty", "a page", "der", "a key", "cut", "damaged"])
@pytest.mark.parametrize("setting", ["api_ca", "hub_ca"])
def test_a_file_that_holds_no_authority_stops_the_edge(
    consortium: Consortium, ours: Authority, tmp_path: Path, how: str, setting: str
) -> None:
    content = spoilt(ours, how)
    if content is not None:
        (tmp_path / "given.pem").write_bytes(content)
    home = consortium.homes["caf"]
    text = home.settings_file.read_text("utf-8").replace(f'{setting} = ""', f'{setting} = "../given.pem"')
    home.settings_file.write_text(text, "utf-8")
    with pytest.raises(MaillonError) as caught:
        home.settings()
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert caught.value.detail.startswith(f"{setting}: ")
    assert "given" not in caught.value.detail
    (tmp_path / "given.pem").write_bytes(b"# ours\n" + ours.pem.read_bytes() * 2)
    assert getattr(home.settings(), setting) == "../given.pem"


def test_a_folder_is_no_authority(consortium: Consortium, tmp_path: Path) -> None:
    with pytest.raises(MaillonError, match="api_ca: Is a directory"):
        EdgeHome(tmp_path / "new").create(folder("caf"), settings("caf", api_ca=str(tmp_path)))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", ["false", "0"])
def test_verification_cannot_be_turned_off(consortium: Consortium, value: str) -> None:
    home = consortium.homes["caf"]
    text = home.settings_file.read_text("utf-8").replace('api_ca = ""', f"api_ca = {value}")
    home.settings_file.write_text(text, "utf-8")
    with pytest.raises(MaillonError, match="api_ca: str"):
        home.settings()


# The environment, and the proxy ------------------------------------------------------------------------------


def test_the_environment_adds_no_authority(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(ours.pem))
    with https(ours.vouch(HERE), b"{}") as far, pytest.raises(FarSideError, match="SSLError"):
        Transport().ask(far.url)
    assert far.asked == []


def test_the_environment_adds_no_proxy_and_no_credential(
    ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login a password b\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with https(ours.vouch(HERE), b"{}") as far:
        assert Transport(ca_file=ours.pem).ask(far.url).status == 200
        assert [name for _, headers in far.asked for name in headers if "authorization" in name.lower()] == []


def test_a_proxy_learns_the_address_alone(ours: Authority, tmp_path: Path) -> None:
    with https(ours.vouch(HERE), ANSWER) as far, proxy() as through:
        chosen = way(tmp_path, far, api_ca="ours.pem", api_proxy=through.url)
        assert asked_live(tmp_path, chosen) == "valeur"
        assert len(far.asked) == 1
        ((target, headers),) = through.asked
        assert target == f"CONNECT {HERE}:{far.url.rsplit(':', 1)[1]}"
        assert set(headers) <= {"Host", "User-Agent"}


def test_a_proxy_vouches_for_nobody(ours: Authority, tmp_path: Path) -> None:
    with https(ours.vouch(ELSEWHERE), ANSWER) as far, proxy() as through:
        chosen = way(tmp_path, far, api_ca="ours.pem", api_proxy=through.url)
        assert asked_live(tmp_path, chosen) == "indisponible"
        assert (len(through.asked) > 0, far.asked) == (True, [])


def test_a_proxy_that_refuses_is_told(ours: Authority) -> None:
    with (
        https(ours.vouch(HERE), b"{}") as far,
        proxy("407 Proxy Authentication Required") as through,
        pytest.raises(FarSideError, match="ProxyError"),
    ):
        Transport(ca_file=ours.pem, proxy=through.url).ask(far.url)
    assert far.asked == []


def test_behind_a_proxy_too_an_answer_that_drips_is_given_up(ours: Authority) -> None:
    with https(ours.vouch(HERE), b"{}" + b" " * 10 * int(FAR), drip=0.1) as far, proxy() as through:
        before = time.monotonic()
        with pytest.raises(FarSideError) as caught:
            Transport(ca_file=ours.pem, proxy=through.url, connect=FAR, answer=0.5).ask(far.url)
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert time.monotonic() - before < FAR / 2, "a minute of drops, were each waited for"


@pytest.mark.parametrize(
    "address",
    [
        *("proxy.cd29.fr:3128", "https://proxy.cd29.fr:3128", "socks5://proxy.cd29.fr:3128", "http://proxy.cd29.fr"),
        *("http://a:b@proxy.cd29.fr:3128", "http://proxy.cd29.fr:3128/x", "http://:3128", "http://proxy:x", "proxy"),
    ],
)
def test_what_is_no_proxy_is_refused(consortium: Consortium, address: str) -> None:
    home = consortium.homes["caf"]
    text = home.settings_file.read_text("utf-8")
    home.settings_file.write_text(text.replace('api_proxy = ""', f'api_proxy = "{address}"'), "utf-8")
    with pytest.raises(MaillonError) as caught:
        home.settings()
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert caught.value.detail == "api_proxy: http://host:port, and nothing else"


def test_the_public_authorities_do_not_stand_beside_ours(
    ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file replaces them: an edge that goes through the département's proxy believes that one alone."""
    public = Authority(tmp_path, "public")
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(public.pem))
    with https(public.vouch(HERE), b"{}") as far:
        assert Transport().ask(far.url).status == 200
        with pytest.raises(FarSideError, match="SSLError"):
            Transport(ca_file=ours.pem).ask(far.url)
