"""A file that is replaced is the former one or the new one, whenever the power goes, and private if it was to be."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import PRIVATE, replace_file


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    done: list[tuple[str, object]] = []
    fsync, replace = os.fsync, os.replace

    def told(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size
        done.append(("kept", kind))
        fsync(descriptor)

    def named(source: Any, target: Any) -> None:
        done.append(("named", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", told)
    monkeypatch.setattr(os, "replace", named)
    replace_file(path, b"new")
    assert done == [("kept", 3), ("named", "a"), ("kept", "folder")]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"former")

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(MaillonError) as refused:
        replace_file(path, b"new")
    monkeypatch.undo()
    assert (refused.value.kind, refused.value.detail) == (ErrorKind.STORAGE, "a: No space left on device")
    assert path.read_bytes() == b"former"
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_private_file_is_private_whatever_a_cut_left_there(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    left = tmp_path / ".keys.new"
    left.write_bytes(b"half")
    left.chmod(0o644)
    replace_file(path, b"secret", PRIVATE)
    assert stat.S_IMODE(path.stat().st_mode) == PRIVATE
    assert not left.exists()
