"""The cases a simulator plays, one exchange ``{params, status, payload, headers}`` each, and which answers a request.

The files are those the ``exchange`` reader takes, but the payload is replayed as it was written, byte for byte, broken
or not. **The rule**: parameter names are compared without case and ``[]``, values without case, accents, punctuation
and leading zeros, a list by its first texts. Of the cases none of whose parameters contradicts the request and at
least half of whose parameters agree with it, the one that agrees most answers; at equality the one whose texts are
the same to the end, then the one that knows least beside, then the first by file name. A case without parameters
answers when no other does.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from connectors.kit.readers.exchange import TextLoader
from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import MaillonError

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json", ".ndjson", ".jsonl"})
MAX_FILE: Final = 64 * 1024 * 1024

Parameters = Mapping[str, tuple[str, ...]]
"""Canonical parameter names to their canonical texts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange to replay. ``name`` is the file and, where it holds several, the place in it."""

    name: str
    params: Parameters
    status: int
    payload: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Unplayable:
    """A file, or a place in one, that holds no exchange."""

    name: str
    reason: str


def load(path: Path) -> Iterator[Case | Unplayable]:
    """Yield the cases of one file, or of every file of those notations directly in a folder, in order of names."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.suffix in SUFFIXES and file.is_file():
                yield from load(file)
        return
    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError
        documents = list(_documents(path.read_text("utf-8-sig"), path.suffix))
    except (OSError, ValueError, yaml.YAMLError, RecursionError, MaillonError) as error:
        yield Unplayable(path.name, _why(error))
        return
    for place, document in enumerate(documents, 1):
        name = path.name if len(documents) == 1 else f"{path.name}#{place}"
        yield replace(document, name=name) if isinstance(document, Unplayable) else _case(name, document)


def canonical(params: Mapping[str, Any]) -> Parameters:
    """Return parameters in the form they are compared in; those that say nothing are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in params.items():
        texts = value if isinstance(value, list | tuple) else [value]
        words = tuple(word for text in texts if text is not None for word in _plain(str(text)).split())
        if words:
            found[name.removesuffix("[]").lower()] = words
    return found


def choose(cases: Iterable[Case], asked: Parameters) -> Case | None:
    """Return the case that answers a request (see the module), ``None`` when none does."""
    best: Case | None = None
    most = (-1, 0, 0)
    for case in cases:
        shared = [name for name in case.params if name in asked]
        agreed = sum(_agree(case.params[name], asked[name]) for name in shared)
        equal = sum(case.params[name] == asked[name] for name in shared)
        rank = (agreed, equal, agreed - len(case.params))
        if agreed == len(shared) and agreed * 2 >= len(case.params) and rank > most:
            best, most = case, rank
    return best


def _documents(text: str, suffix: str) -> Iterator[Any]:
    if suffix in (".yaml", ".yml"):
        yield yaml.load(text, Loader=TextLoader)  # noqa: S506 (a SafeLoader with less)
    elif suffix == ".json":
        found = strict_json.loads(text, max_bytes=MAX_FILE)
        yield from found if isinstance(found, list) else [found]
    else:
        yield from (_line(line) for line in text.splitlines() if line.strip())


def _line(text: str) -> Any:
    """Return the value of one line of NDJSON, or why there is none: the other lines are played all the same."""
    try:
        return strict_json.loads(text)
    except MaillonError as error:
        return Unplayable("", _why(error))


def _why(error: Exception) -> str:
    """Say why a file is no case, without a word of it: a parser's own message quotes the text."""
    if isinstance(error, MaillonError):
        return error.detail
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, OSError):
        return str(error.strerror)
    return "not YAML" if isinstance(error, yaml.YAMLError) else "too large, or nested too deep"


def _case(name: str, document: Any) -> Case | Unplayable:
    if not isinstance(document, dict):
        return Unplayable(name, "not an exchange")
    params, headers = document.get("params") or {}, document.get("headers") or {}
    status, payload = str(document.get("status")), document.get("payload")
    if not isinstance(params, dict) or not isinstance(headers, dict):
        return Unplayable(name, "params, headers")
    if not (status.isascii() and status.isdigit() and 200 <= int(status) <= 599):
        return Unplayable(name, "status")
    body = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    pairs = tuple((str(key), str(value)) for key, value in headers.items())
    if any("\r" in part or "\n" in part for pair in pairs for part in pair):
        return Unplayable(name, "headers")
    return Case(name, canonical(params), int(status), body.encode("utf-8", "replace"), pairs)


def _plain(text: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).upper()
    words = "".join(c if c.isalnum() else " " for c in bare).split()
    return " ".join(word.lstrip("0") or "0" if word.isdigit() else word for word in words)


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
