"""Every ``maillon`` command line the documents show exists, with those options and no other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hub.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def command_lines() -> list[tuple[str, str]]:
    """Return (page, command line) of every line of a ``sh`` block that calls ``maillon``, continuations joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                commands = re.findall(r"(?:^|&& )(maillon [^#&]+)", line.strip())
                found.extend((page.name, command.strip()) for command in commands)
    return found


def test_there_are_command_lines_to_check() -> None:
    assert len(command_lines()) >= 10


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_command_line_exists(page: str, line: str) -> None:
    words = shlex.split(re.sub(r"\s[<>|].*", "", line))[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"{page}: {line}"
        command, words = found, words[1:]
    assert words[:1] in (["--help"], ["--version"]) or not isinstance(command, click.Group), f"{page}: {line}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given <= known | {"--help"}, f"{page}: {line}: {sorted(given - known)}"
    required = {p.opts[-1] for p in command.params if isinstance(p, click.Option) and p.required}
    assert "--help" in given or not required - given or words[:1] == ["--version"], f"{page}: {line}"


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_the_project_has_the_files_a_line_names(page: str, line: str) -> None:
    own = {path.name for path in ROOT.iterdir() if path.is_dir()}
    named = [word for word in shlex.split(line) if "/" in word and word.split("/")[0] in own]
    assert [word for word in named if not (ROOT / word).exists()] == [], f"{page}: {line}"


@pytest.mark.parametrize("line", [line for page, line in command_lines() if page == "README.md"])
def test_what_the_readme_says_to_try_works(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line.replace("/tmp/", f"{tmp_path}/"))[1:]  # noqa: S108 (a reader's own)
    found = CliRunner().invoke(cli, words)
    assert found.exit_code == 0, f"{line}: {found.output}"
    assert len(found.output) > 100
