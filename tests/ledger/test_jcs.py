"""RFC 8785 against its published vectors: the bytes that are signed and committed to."""

from __future__ import annotations

import json
from pathlib import Path

import rfc8785

from consent.canonical import jcs


def test_published_vectors(shared_data: Path) -> None:
    folder = shared_data / "jcs_vectors" / "testdata"
    names = sorted(path.stem for path in (folder / "input").glob("*.json"))
    assert len(names) >= 6
    for name in names:
        value = json.loads((folder / "input" / f"{name}.json").read_bytes())
        expected = bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text())
        assert jcs(value) == rfc8785.dumps(value) == expected, name
        assert expected == (folder / "output" / f"{name}.json").read_bytes(), name
        assert jcs(json.loads(expected)) == expected, name
