"""All tokens of a record in one row, and one small row for each token that is looked up."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import groupby

import sqlalchemy as sa
from alembic import op

revision = "hub_0003"
down_revision = "hub_0002"
branch_labels = None
depends_on = None

_LOOKED_UP = frozenset(
    {
        "nir", "sgd", "sgd_x", "gdp", "sg_ym", "sg_dm", "sg_yd", "sg_md", "sgd_phon", "sgnd", "s1gd", "sg1d", "sg_y",
    }
)  # fmt: skip
"""As ``hub.index.rules.LOOKUP_KINDS`` was then."""
_BEFORE = (
    "SELECT person_id, record_id, epoch, kind, lookup, value FROM token_before ORDER BY person_id, record_id, epoch"
)
_SET = "INSERT INTO token_set VALUES (:number, :record, :person, :epoch, :kinds, :looked_up, :tokens)"
_TOKEN = "INSERT INTO token VALUES (:lookup, :number)"  # noqa: S105 - SQL


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "token_set",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("looked_up", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_token_set_person_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_token_set")),
    )
    op.create_index("ix_token_set_person_id", "token_set", ["person_id"], unique=False)
    op.rename_table("token", "token_before")
    op.create_table(
        "token",
        sa.Column("lookup", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lookup", "number", name=op.f("pk_token")),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    rows = connection.execute(sa.text(_BEFORE).execution_options(yield_per=10_000))
    for (person, record, epoch), held in groupby(rows, key=lambda row: tuple(row[:3])):
        number = secrets.randbits(64) - 2**63
        tokens = sorted(((kind, lookup, value) for *_, kind, lookup, value in held), key=_first_looked_up)
        found = [kind for kind, _, _ in tokens if kind in _LOOKED_UP]
        values = {"number": number, "record": record, "person": person, "epoch": epoch, "looked_up": len(found)}
        packed = b"".join(lookup.to_bytes(8, "big", signed=True) + value for _, lookup, value in tokens)
        values |= {"kinds": " ".join(_counts(kind for kind, _, _ in tokens)), "tokens": packed}
        connection.execute(sa.text(_SET), values)
        if found:
            of_record = [
                {"lookup": lookup, "number": number} for lookup in sorted({t[1] for t in tokens[: len(found)]})
            ]
            connection.execute(sa.text(_TOKEN), of_record)
    op.drop_table("token_before")


def _first_looked_up(token: tuple[str, int, bytes]) -> tuple[bool, str, int, bytes]:
    return token[0] not in _LOOKED_UP, *token


def _counts(kinds: Iterator[str]) -> Iterator[str]:
    for kind, each in groupby(kinds):
        yield f"{kind}:{sum(1 for _ in each)}"
