"""What every command owes its user: help with an example, exit codes that mean something, JSON, no personal value."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest

from connectors.kit.partner import bundled_directory
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.trust import Directory
from hub.cli.main import cli
from hub.cli.root import RootFolder

DEMO_XML = bundled_directory() / "caf" / "samples" / "demo.rsa_mensuel.xml"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, **environment},
    )


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, (*path, name))


ALL = dict(leaves(cli))


def test_the_commands_asked_for_are_there() -> None:
    names = {" ".join(path) for path in ALL}
    assert {"init-root", "init", "serve", "edge run", "ingest", "pull", "access-log", "explain", "demo"} <= names
    assert {f"partner {verb}" for verb in ("add", "list", "suspend")} <= names
    assert {f"connector {verb}" for verb in ("list", "check", "map")} <= names
    assert {f"consent {verb}" for verb in ("grant", "deny", "narrow", "withdraw", "inform", "object", "show")} <= names


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_an_example_that_names_the_command(path: tuple[str, ...]) -> None:
    text = ALL[path].help or ""
    assert f"Example:  maillon {' '.join(path)}" in text
    options = [option for option in ALL[path].params if isinstance(option, click.Option)]
    assert all(option.help or option.name for option in options)


RUNS_UNTIL_STOPPED = {("serve",), ("edge", "run"), ("simulate",)}
PRINTS_NDJSON = {("connector", "map")}


@pytest.mark.parametrize("path", [p for p in ALL if p not in RUNS_UNTIL_STOPPED | PRINTS_NDJSON], ids=" ".join)
def test_every_command_that_answers_can_answer_a_machine(path: tuple[str, ...]) -> None:
    assert any("--json" in option.opts for option in ALL[path].params)


def test_map_prints_one_person_a_line_and_needs_no_hub(tmp_path: Path) -> None:
    done = run("connector", "map", "caf", "--source", "rsa_mensuel", str(DEMO_XML), "--quarantine", str(tmp_path / "q"))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(lines) > 1
    assert all(line["fragment"]["statements"] for line in lines)
    assert (tmp_path / "q").read_bytes() == b""


def test_map_sets_bad_records_aside_says_so_and_goes_on(tmp_path: Path) -> None:
    good = DEMO_XML.read_bytes()
    bad = tmp_path / "bad.xml"
    bad.write_bytes(good.replace(b"<ETATDOSRSA>2</ETATDOSRSA>", b"<ETATDOSRSA>ZZ</ETATDOSRSA>", 1))
    aside = tmp_path / "aside.ndjson"
    done = run("connector", "map", "caf", "--source", "rsa_mensuel", str(bad), "--quarantine", str(aside))
    entries = [json.loads(line) for line in aside.read_text().splitlines()]
    assert done.returncode == 4
    assert entries
    assert all(entry["reason"] and entry["position"] for entry in entries)
    assert done.stdout, "the rest proceeds"


def test_a_wrong_name_is_refused_in_one_line() -> None:
    done = run("connector", "check", "nobody")
    assert done.returncode == 1
    assert done.stderr.startswith("maillon: unknown-partner:")
    assert "Traceback" not in done.stderr


def test_a_path_without_a_manifest_says_so(tmp_path: Path) -> None:
    done = run("connector", "check", str(tmp_path))
    assert (done.returncode, "manifest.toml" in done.stderr) == (1, True)


def test_errors_are_json_when_json_was_asked_for() -> None:
    done = run("connector", "check", "nobody", "--json")
    assert json.loads(done.stderr)["error"] == "unknown-partner"


def test_wrong_usage_is_2() -> None:
    assert run("pull", "--purpose", "x").returncode == 2


def test_nobody_there_is_3(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    arguments = ("--url", "http://127.0.0.1:9", "--port", "9", "--operator", "Test")
    assert run("init", str(home), *arguments).returncode == 0
    assert run("access-log", "--home", str(home), "--view", "dpo").returncode == 3


def hub_home(tmp_path: Path, port: int = 9) -> Path:
    arguments = ("--url", f"http://127.0.0.1:{port}", "--port", str(port), "--operator", "Test")
    assert run("init", str(tmp_path / "hub"), *arguments).returncode == 0
    return tmp_path / "hub"


def test_a_second_process_takes_neither_the_home_nor_the_port(tmp_path: Path) -> None:
    """granian shares its port: a second hub would take every other request, with a memory of its own."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))  # ours from the beginning: nobody else's in the meantime
        port = other.getsockname()[1]
        home = hub_home(tmp_path, port)
        with (home / ".running").open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            done = run("serve", "--home", str(home))
            assert (done.returncode, "runs from this home" in done.stderr) == (1, True)
        other.listen()
        done = run("serve", "--home", str(home))
        assert (done.returncode, f"port {port}" in done.stderr) == (1, True)


@pytest.mark.parametrize("file", ["hub.db", "secrets.db", "keyring.json", "identity.jwk"])
def test_a_hub_that_lost_a_file_says_which_and_makes_no_empty_one(tmp_path: Path, file: str) -> None:
    home = hub_home(tmp_path)
    (home / file).unlink()
    done = run("serve", "--home", str(home))
    assert (done.returncode, file in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert not (home / file).exists()


def test_a_key_file_that_holds_no_key_is_named(tmp_path: Path) -> None:
    home = hub_home(tmp_path)
    (home / "identity.jwk").write_text("not a key")
    done = run("serve", "--home", str(home))
    assert (done.returncode, "identity.jwk" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_directory_without_the_hub_is_not_installed(tmp_path: Path) -> None:
    home = hub_home(tmp_path)
    assert run("init-root", str(tmp_path / "root")).returncode == 0
    edge = ("--partner", "caf", "--hub-url", "http://127.0.0.1:9")
    made = json.loads(run("edge", "init", str(tmp_path / "caf"), *edge, "--json").stdout)
    admit = ("--root", str(tmp_path / "root"), "--fingerprint", made["fingerprint"])
    assert run("partner", "add", str(tmp_path / "caf" / "caf.identity.json"), *admit).returncode == 0
    install = ("--home", str(home), "--root-key", str(tmp_path / "root" / "root.pub.jwk"))
    done = run("partner", "install", str(tmp_path / "root" / "directory.jws"), *install)
    assert (done.returncode, "hub.identity.json" in done.stderr) == (1, True)
    assert not (home / "directory.jws").exists()


def test_making_a_hub_or_a_root_again_never_overwrites_a_key(tmp_path: Path) -> None:
    assert run("init-root", str(tmp_path / "root")).returncode == 0
    key = (tmp_path / "root" / "root.json").read_bytes()
    again = run("init-root", str(tmp_path / "root"))
    assert again.returncode == 1
    assert again.stderr.startswith("maillon: conflict:")
    assert (tmp_path / "root" / "root.json").read_bytes() == key
    assert (tmp_path / "root" / "root.json").stat().st_mode & 0o077 == 0


def test_a_hub_off_loopback_needs_tls(tmp_path: Path) -> None:
    done = run("init", str(tmp_path / "hub"), "--url", "https://h.example", "--host", "0.0.0.0", "--operator", "T")  # noqa: S104
    if done.returncode == 0:
        done = run("serve", "--home", str(tmp_path / "hub"))
    assert done.returncode == 1
    assert "tls-required" in done.stderr


def test_an_unforeseen_error_shows_where_and_not_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hub.cli import main as module

    def boom() -> None:
        raise KeyError("2 87 03 29 232 001 66")

    monkeypatch.setattr(module, "cli", boom)
    monkeypatch.delenv("MAILLON_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as left:
        module.main()
    shown = capsys.readouterr().err
    assert left.value.code == 1
    assert "KeyError in boom" in shown
    assert "2 87" not in shown


def test_a_partner_whose_fingerprint_was_read_otherwise_is_not_admitted(tmp_path: Path) -> None:
    root, edge = tmp_path / "root", tmp_path / "caf"
    run("init-root", str(root))
    made = run("edge", "init", str(edge), "--partner", "caf", "--hub-url", "http://127.0.0.1:9", "--json")
    identity = json.loads(made.stdout)
    wrong = identity["fingerprint"][:-1] + ("0" if identity["fingerprint"][-1] != "0" else "1")
    done = run("partner", "add", identity["identity"], "--root", str(root), "--fingerprint", wrong)
    assert done.returncode == 1
    assert "untrusted-key" in done.stderr
    assert not (root / "directory.jws").exists()


def test_a_directory_that_ran_out_can_still_be_renewed_and_changed(tmp_path: Path) -> None:
    root, edge = tmp_path / "root", tmp_path / "caf"
    run("init-root", str(root))
    made = json.loads(
        run("edge", "init", str(edge), "--partner", "caf", "--hub-url", "http://127.0.0.1:9", "--json").stdout
    )
    run("partner", "add", made["identity"], "--root", str(root), "--fingerprint", made["fingerprint"])
    folder = RootFolder.load(root)
    current = folder.directory()
    assert current is not None
    long_ago = SystemClock().now() - timedelta(days=365)
    (root / "directory.jws").write_text(folder.root.sign_directory(current.partners(), 7, long_ago))
    assert json.loads(run("partner", "renew", "--root", str(root), "--json").stdout)["version"] == 8
    (root / "directory.jws").write_text(folder.root.sign_directory(current.partners(), 9, long_ago))
    assert run("partner", "suspend", "caf", "--root", str(root)).returncode == 0
    renewed = Directory.verify(
        (root / "directory.jws").read_text().strip(), folder.root.public_jwk, SystemClock().now(), 10
    )
    assert not renewed.partner("caf").is_active


def test_the_root_makes_a_new_klink_for_every_partner_and_retires_the_old(tmp_path: Path) -> None:
    root = tmp_path / "root"
    run("init-root", str(root))
    words = ("edge", "init", str(tmp_path / "caf"), "--partner", "caf", "--hub-url", "http://127.0.0.1:8400", "--json")
    made = json.loads(run(*words, "--url", "http://127.0.0.1:8411").stdout)
    run("partner", "add", made["identity"], "--root", str(root), "--fingerprint", made["fingerprint"])
    before = (root / "caf.klink.jwe").read_text()
    for _ in range(2):  # begun again, it goes on
        done = json.loads(run("rotate-link", str(root), "--json").stdout)
        assert (done["live"], done["retired"]) == ([1, 2], [])
    assert (root / "caf.klink.jwe").read_text() != before
    done = json.loads(run("rotate-link", str(root), "--retire", "1", "--json").stdout)
    assert (done["live"], done["retired"]) == ([2], [1])
    assert run("rotate-link", str(root), "--retire", "2").returncode == 1
    assert (root / "root.json").stat().st_mode & 0o777 == 0o600
