"""An edge's records under every epoch of ``K_link`` it was given: each is made anew once, and told to the hub again.

Records stand in the order they came; how far the way through them is, is kept with each page in one transaction. An
edge that is killed goes on where it was, and no record is told twice under the same tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from connectors.kit.birthplace import with_birthplace
from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.identity import IdentityRefused, parse_identity
from connectors.kit.link_epochs import epoch_of
from connectors.kit.row_seal import RowSeal
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import Tokeniser, TokenSet, tokens_of

PAGE: Final = 200

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS link_epochs (id INTEGER PRIMARY KEY CHECK (id = 1), live TEXT NOT NULL,"
    " retired TEXT NOT NULL, applied INTEGER, told INTEGER NOT NULL)"
)
_EVERY: Final = "SELECT rowid, key, format, body FROM identity WHERE rowid > ? ORDER BY rowid LIMIT ?"


@dataclass(frozen=True, slots=True)
class Standing:
    """The epochs this edge makes tokens under, and how many of its records (as files told them) are under all."""

    live: tuple[int, ...]
    retired: tuple[int, ...]
    through: int
    of: int

    @property
    def is_applied(self) -> bool:
        """Whether every record is."""
        return self.through == self.of


@dataclass(slots=True)
class Links:
    """See the module. Each write is a transaction, or part of one."""

    db: EdgeDatabase
    rows: RowSeal
    _tokeniser: Tokeniser | None = field(default=None, init=False, repr=False)

    def prepare(self) -> None:
        """Make the table if it is not there yet."""
        self.db.execute(_TABLE)

    def hold(self, tokeniser: Tokeniser) -> None:
        """Take the epochs of ``tokeniser`` for this edge's; :meth:`apply` then brings the records held in line."""
        self._tokeniser = tokeniser
        live, retired = _said(tokeniser)
        held = self.db.all("SELECT live, retired FROM link_epochs")
        if held == [(live, retired)]:
            return
        # Before this table was there, every record was of epoch 1.
        applied = None if not held and (live, retired) == ("1", "") else 0
        with self.db.batch():
            row = (live, retired, applied, applied is None)
            self.db.execute("INSERT OR REPLACE INTO link_epochs VALUES (1, ?, ?, ?, ?)", *row)

    def check(self, tokeniser: Tokeniser) -> None:
        """Raise ``MaillonError(CONFIGURATION)`` when another process of this edge has opened a newer ``klink.jwe``:
        what this one keeps would not be found."""
        held = self.db.all("SELECT live, retired FROM link_epochs")
        if held and held != [_said(tokeniser)]:
            raise MaillonError(ErrorKind.CONFIGURATION, "klink.jwe was replaced: restart this edge")

    def retired(self) -> frozenset[int]:
        """Return the epochs the hub is told nothing under."""
        return frozenset(
            n for (told,) in self.db.all("SELECT retired FROM link_epochs") for n in map(int, told.split())
        )

    def standing(self) -> Standing:
        """Return how far it is."""
        (whole,) = self.db.all("SELECT count(*) FROM identity")[0]
        for live, retired, applied in self.db.all("SELECT live, retired, applied FROM link_epochs"):
            through = whole
            if applied is not None:
                (through,) = self.db.all("SELECT count(*) FROM identity WHERE rowid <= ?", applied)[0]
                through = min(through, whole - 1)
            return Standing(tuple(map(int, live.split())), tuple(map(int, retired.split())), max(through, 0), whole)
        return Standing((1,), (), whole, whole)

    def is_told(self) -> bool:
        """Whether the hub was told of every record under every epoch."""
        return all(told for (told,) in self.db.all("SELECT told FROM link_epochs"))

    def told(self) -> None:
        """Remember that it was."""
        self.db.execute("UPDATE link_epochs SET told = 1 WHERE applied IS NULL")

    def apply(self) -> int:
        """Make the tokens each record lacks; return how many had new ones: the hub is told of them again.

        Goes on where it stood when it was cut short, and does nothing when it was not.
        """
        changed, tokeniser = 0, self._tokeniser
        while tokeniser is not None and (cursor := self._applied()) is not None:
            with self.db.batch():
                self.check(tokeniser)
                page = self.db.all(_EVERY, cursor, PAGE)
                changed += sum(self._bring_in_line(tokeniser, *row) for row in page)
                self.db.execute("UPDATE link_epochs SET applied = ?", page[-1][0] if page else None)
        return changed

    def _applied(self) -> int | None:
        return next((row[0] for row in self.db.all("SELECT applied FROM link_epochs")), None)

    def _bring_in_line(self, tokeniser: Tokeniser, rowid: int, key: bytes, format: str, body: bytes) -> bool:
        said = self.rows.unseal(body, b"identity", key, format.encode())
        held = TokenSet.from_wire(said["tokens"])
        try:
            made = tokens_of(with_birthplace(parse_identity(said["identity"])), tokeniser)
        except IdentityRefused:  # what was good enough once stays as it was
            return False
        # What is there stays: a rule of normalisation that changed since is another file's matter.
        missing = made.without(held.epochs)
        kept = held.without(_retired(tokeniser)).tokens + tuple(
            each for each in held.tokens if epoch_of(each[0]) in _retired(tokeniser) and each in made.tokens
        )
        tokens = tuple(sorted((*kept, *missing.tokens), key=lambda each: epoch_of(each[0])))
        if set(tokens) == set(held.tokens):
            return False
        said = {**said, "tokens": TokenSet(tokens, held.flags).to_wire()}
        sealed = self.rows.seal(said, b"identity", key, format.encode(), packed=False)
        tag = self.rows.tag("identity", said)
        self.db.execute("UPDATE identity SET tag = ?, body = ? WHERE rowid = ?", tag, sealed, rowid)
        if not missing.without(_retired(tokeniser)).tokens:
            return False
        self.db.execute("UPDATE subject SET changes = changes + 1 WHERE key = ?", key)
        return True


def _retired(tokeniser: Tokeniser) -> frozenset[int]:
    return frozenset(each.epoch for each in tokeniser.former if each.proves_only)


def _said(tokeniser: Tokeniser) -> tuple[str, str]:
    every = {each.epoch: each.proves_only for each in (*tokeniser.former, tokeniser)}
    live = [epoch for epoch, is_retired in every.items() if not is_retired]
    retired = [epoch for epoch, is_retired in every.items() if is_retired]
    return " ".join(map(str, live)), " ".join(map(str, retired))
