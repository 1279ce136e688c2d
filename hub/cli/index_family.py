"""Every command of ``maillon index``, put together: :mod:`hub.cli.main` finds the whole family here."""

from __future__ import annotations

from hub.cli.index import index
from hub.cli.index_review import notices, review, stats
from hub.cli.index_rotate import rotate
from hub.cli.index_split import records, split
from hub.cli.index_traits import traits

review.add_command(traits)
for command in (review, split, records, stats, notices, rotate):
    index.add_command(command)

__all__ = ["index"]
