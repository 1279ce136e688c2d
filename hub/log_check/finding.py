"""What is wrong, and where: a table, a row, and a code that has its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

WORDS: Final = {
    "file": "the file does not read as a hub's database",
    "schema": "the definition of this table, index or trigger is not the one the hub makes",
    "foreign_key": "a row names another that is not there",
    "form": "a value has not the form the hub writes",
    "missing": "a row the log says should be there is not there",
    "extra": "a row stands here that nothing in the log is about",
    "gap": "the leaves are not numbered one after the other",
    "not_logged": "an event is not in the log",
    "waiting": "an event waits for the log, which takes every event in at once",
    "leaf": "the event's row was altered: its leaf is not the one in the tree",
    "leaf_hash": "the entry was altered: its hash is not that of its event",
    "hashes": "the tile's hashes are not those of the leaves below it",
    "size": "the tree has not the size that was written down",
    "signature": "the checkpoint is not signed by the log's keys",
    "root": "the checkpoint is of another tree",
    "order": "the times do not follow the order of the events",
    "ciphertext": "the sealed content was altered",
    "emptied": "the content was removed, and no erasure or retention event says so",
    "not_emptied": "an event is said to be emptied, and is not",
    "key_gone": "the key of the content is gone, and no erasure or retention event says so",
    "content": "the sealed content does not open, or is not what the log was given",
    "row": "the row does not say what the event in the log says",
    "chain": "an event of this person is missing, or stands in another's place",
    "head": "the newest event of this person is not the one written down",
    "version": "the number of this person's consent events is not the one written down",
    "cosignature": "the cosignature is not one of that witness on that checkpoint",
    "truncated": "the log is shorter than the checkpoint held outside",
    "rewritten": "the log is not the one the checkpoint held outside was signed for",
    "against": "the checkpoint held outside is not one of this log's",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing wrong: ``place`` names the row by its key (``seq 12``, ``leaf 4``, ``level 0 index 3``)."""

    table: str
    place: str
    code: str

    @property
    def words(self) -> str:
        """The code in words."""
        return WORDS[self.code]


class Wrong(Exception):  # noqa: N818 (carries the answer out of the passes, and is no error)
    """Raised by a pass when it found something."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.table} {finding.place}: {finding.code}")
        self.finding = finding


def wrong(table: str, place: str, code: str) -> NoReturn:
    """Raise :class:`Wrong`."""
    raise Wrong(Finding(table, place, code))
