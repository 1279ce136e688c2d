"""What becomes of a partner's record: the match rules, and the bounds that no partner may lean on (DESIGN §4).

Pure: the caller looks candidates up and stores what is answered. The hub's registration and ``maillon index link`` both
come through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hub.index.evidence import Doubt, IndexRecord, Rule
from hub.index.rules import CROWD, Agreement, Candidate, Link, New, Review, match

WITHIN_ONE_PARTNER = frozenset({Rule.NIR, Rule.CIVIL_STATUS})
"""The rules that link two records of one partner: it keeps its own persons apart by a letter, or a date, on purpose."""


@dataclass(frozen=True, slots=True)
class Flood:
    """More persons of one name and date than anyone has namesakes: linked to nobody, and no human is asked."""


Answer = Link | New | Review | Flood


def settle(
    record: IndexRecord, candidates: Sequence[Candidate], own: Callable[[str], Iterable[IndexRecord]]
) -> Link | New | Review:
    """Return what :func:`hub.index.rules.match` says, unless the partner must not get that link from its registration.

    ``own`` gives the records a person already has from this partner. Two records of one partner that are one person
    only by what others hold would, by the same ref, tell it that somebody is known elsewhere, and let it try numbers
    against a name: so they must agree by themselves, and by an exact rule.
    """
    answer = match(record, candidates)
    if not isinstance(answer, Link):
        return answer
    held = tuple(own(answer.person))
    if not held:
        return answer
    if len(held) >= CROWD:
        doubt = Doubt.CROWDED
    else:
        alone = match(record, [Candidate(answer.person, held)])
        if isinstance(alone, Link) and alone.rule in WITHIN_ONE_PARTNER:
            return answer
        doubt = Doubt.OWN_EVIDENCE
    return Review((answer.person,), (Agreement(answer.person, doubt, (), record.flags, held[0].flags),))
