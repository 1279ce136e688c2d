"""Which epoch of its refs each partner has: the newest there is, and the one its edge is known to use."""

from __future__ import annotations

from collections.abc import Mapping


class RefEpochs:
    """Per partner. Changed by the writer's thread alone; any thread may read."""

    def __init__(self, newest: Mapping[str, int]) -> None:
        """``newest`` are those of the keyring; a partner that never rotated has epoch 1."""
        self._newest = dict(newest)
        self._used: dict[str, int] = {}

    def newest(self, partner: str) -> int:
        """Return the epoch new persons' refs are of."""
        return self._newest.get(partner, 1)

    def used(self, partner: str) -> int:
        """Return the epoch whose refs the partner's edge has: the newest, or the one before until it says so."""
        return self._used.get(partner, 1)

    def is_offered(self, partner: str) -> bool:
        """Whether newer refs wait to be taken by the partner."""
        return self.used(partner) < self.newest(partner)

    def rotated(self) -> list[str]:
        """Return the partners whose refs were ever rotated."""
        return sorted(partner for partner, epoch in self._newest.items() if epoch > 1)

    def begin(self, partner: str, epoch: int) -> None:
        """Go on to ``epoch``."""
        self._newest[partner] = epoch

    def take(self, partner: str, epoch: int) -> None:
        """Write down that the partner's edge has the refs of ``epoch``."""
        self._used[partner] = epoch
