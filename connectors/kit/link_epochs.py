"""Tokens of two epochs of ``K_link`` side by side: which epoch a token is of stands behind its kind.

``sgd`` is of epoch 1, ``sgd.2`` of epoch 2 (docs/index.md). Tokens of two epochs never compare, and so nothing that
asks for an equal kind ever compares them.
"""

from __future__ import annotations

from typing import Final

_BEHIND: Final = "."


def kind_of(kind: str, epoch: int) -> str:
    """Return how a token of ``kind`` under ``epoch`` is named."""
    return kind if epoch == 1 else f"{kind}{_BEHIND}{epoch}"


def base(kind: str) -> str:
    """Return what a token is of, whatever its epoch."""
    return kind.partition(_BEHIND)[0]


def epoch_of(kind: str) -> int:
    """Return the epoch of ``K_link`` a token was made under."""
    return int(kind.partition(_BEHIND)[2] or 1)
