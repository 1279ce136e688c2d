"""Two files about the same invented French persons, written by two careless hands, and the truth about them.

Everything is drawn from one seed: names (surnames built of syllables, their shares falling as real ones do), families
with twins and homonyms far denser than in reality, and the errors of each file. ``errors`` scales every error rate.
The columns are those of ``maillon index link``.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from bench.population_names import ABROAD, ALIKE, BY_EAR, PARTICLES, WOMEN, Names

COLUMNS = ("rec_id", "nir", "birth_name", "usage_name", "given_names", "birth_date", "sex", "birth_place")


@dataclass(frozen=True)
class Person:
    """One invented person. ``given``: the first given name, then others. ``place``: a COG code."""

    surname: str
    given: tuple[str, ...]
    sex: str
    born: date
    place: str
    nir: str = ""
    married: str = ""


@dataclass(frozen=True)
class Files:
    """Two files of rows by ``COLUMNS``, who each row is about, and the shares of the names."""

    a: list[dict[str, str]] = field(default_factory=list)
    b: list[dict[str, str]] = field(default_factory=list)
    person_of: dict[str, int] = field(default_factory=dict)
    shares: list[tuple[str, str, float]] = field(default_factory=list)
    traps: dict[int, str] = field(default_factory=dict)

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """The pairs of rows, one of each file, about one person."""
        of_b = {self.person_of[row["rec_id"]]: row["rec_id"] for row in self.b}
        of_a = ((row["rec_id"], self.person_of[row["rec_id"]]) for row in self.a)
        return {(rec_id, of_b[person]) for rec_id, person in of_a if person in of_b}


def draw(seed: int, persons: int = 16_000, *, nir: bool = True, errors: float = 1.0) -> Files:
    """Return two files of some ``persons`` records each; three quarters of the persons are in both.

    Raises nothing; the same arguments give the same files.
    """
    rng = random.Random(seed)  # noqa: S311 - invented persons, drawn again from their seed
    names = Names(rng)
    people, traps = _people(rng, names, persons * 2)
    hand_a, hand_b = _Hand(rng, names, errors, nir, "a"), _Hand(rng, names, errors, nir, "b")
    files = Files(traps=traps)
    for number, person in enumerate(people):
        where = rng.random()
        relatives = [people[n] for n in (number - 1, number + 1) if 0 <= n < len(people) and n in traps]
        for hand, rows, held in ((hand_a, files.a, where < 0.503), (hand_b, files.b, where > 0.125 and where < 0.62)):
            if held:
                row = hand.write(person, relatives if number in traps else [])
                rows.append(row)
                files.person_of[row["rec_id"]] = number
    rng.shuffle(files.a)
    rng.shuffle(files.b)
    files.shares.extend(("S", name, share) for name, share in names.surname_shares.items())
    files.shares.extend(("G", name, share) for name, share in names.given_shares.items())
    abroad = [(s, w, m) for s, w, m in ABROAD.values()]
    for surnames, women, men in abroad:
        files.shares.extend(("S", name, 0.0012) for name in surnames)
        files.shares.extend(("G", name, 0.0015) for name in (*women, *men))
    return files


def _people(rng: random.Random, names: Names, wanted: int) -> tuple[list[Person], dict[int, str]]:
    people: list[Person] = []
    traps: dict[int, str] = {}
    ranks: dict[str, int] = {}

    def add(*several: Person, trap: str = "") -> None:
        for each in several:
            if trap:
                traps[len(people)] = trap
            people.append(replace(each, nir=_nir(each, ranks)))

    while len(people) < wanted:
        one = _person(rng, names)
        chance = rng.random()
        if chance < 0.012:
            first, second = rng.choice(ALIKE) if rng.random() < 0.4 else (one.given[0], names.given(one.sex))
            if first != second:
                sex = one.sex if rng.random() < 0.6 else "F" if one.sex == "M" else "M"
                later = one.given[1:] if rng.random() < 0.5 else ()
                add(replace(one, given=(first, *later)), replace(one, given=(second, *later), sex=sex), trap="twin")
        elif chance < 0.04:
            born = _day(rng, max(1936, one.born.year - 8), min(2018, one.born.year + 8))
            add(one, replace(one, given=(names.given(one.sex), *one.given[1:]), born=born), trap="sibling")
        elif chance < 0.044:
            born = (
                _day(rng, one.born.year + 20, one.born.year + 35)
                if one.born.year < 1985
                else one.born - timedelta(9999)
            )
            add(one, replace(one, born=born), trap="junior")
        elif chance < 0.058:
            one = replace(one, surname=names.common_surname(), place=_commune(rng))
            other = replace(
                one, place=_commune(rng), given=(one.given[0], *(names.given(one.sex) for _ in one.given[1:]))
            )
            kind = rng.random()
            if kind < 0.15:
                add(one, other, trap="homonym of the day")
            elif kind < 0.3:
                near = one.born + timedelta(rng.choice((1, 10, 31, -1, 365)))
                add(one, replace(other, born=near), trap="homonym of a close day")
            else:
                add(one, replace(other, born=_day(rng, one.born.year, one.born.year)), trap="homonym of the year")
        elif chance < 0.0592:
            place = rng.choice(list(ABROAD))
            surnames, women, men = ABROAD[place]
            given = (rng.choice(women if one.sex == "F" else men),)
            surname = rng.choice(surnames) if rng.random() < 0.7 else names.surname()
            jan = replace(one, surname=surname, given=given, born=date(one.born.year, 1, 1), place=place)
            add(jan, jan, trap="1 January abroad")
        else:
            add(one)
    return people, traps


def _person(rng: random.Random, names: Names) -> Person:
    sex = rng.choice("MF")
    given = (names.given(sex), *(names.given(sex) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))))
    born = _day(rng, 1936, 2018)
    person = Person(names.surname(), given, sex, born, _commune(rng))
    if rng.random() < 0.14:
        place = rng.choice(list(ABROAD))
        surnames, women, men = ABROAD[place]
        first = rng.choice(women if sex == "F" else men)
        born = born.replace(month=1, day=1) if rng.random() < 0.08 else born
        surname = rng.choice(surnames) if rng.random() < 0.5 else person.surname
        person = replace(person, surname=surname, given=(first, *given[1:2]), place=place, born=born)
    if rng.random() < 0.03:
        person = replace(person, surname=f"{person.surname}-{names.surname()}")
    if sex == "F" and rng.random() < 0.25:
        person = replace(
            person, married=names.surname() if rng.random() < 0.7 else f"{person.surname}-{names.surname()}"
        )
    return person


def _day(rng: random.Random, first: int, last: int) -> date:
    return date(first, 1, 1) + timedelta(rng.randrange((date(last + 1, 1, 1) - date(first, 1, 1)).days))


def _commune(rng: random.Random) -> str:
    department = rng.choice([*(f"{n:02}" for n in range(1, 96) if n != 20), "2A", "2B", "971", "974"])
    size = 5 - len(department)
    return f"{department}{int(rng.random() ** 2 * (40 if size == 3 else 20)) * 7 + 4:0{size}}"


def _nir(person: Person, ranks: dict[str, int]) -> str:
    head = f"{1 if person.sex == 'M' else 2}{person.born.year % 100:02}{person.born.month:02}{person.place}"
    ranks[head] = ranks.get(head, 0) + 1
    return f"{head}{ranks[head]:03}"


def _key(nir: str) -> str:
    return f"{97 - int(nir.replace('2A', '19').replace('2B', '18')) % 97:02}"


class _Hand:
    """Who typed a file: in style ``a`` (mixed case, ISO dates) or ``b`` (capitals, French dates), and its errors."""

    def __init__(self, rng: random.Random, names: Names, errors: float, nir: bool, style: str) -> None:
        self._rng, self._names, self._errors, self._nir, self._style = rng, names, errors, nir, style
        self._written = 0

    def write(self, person: Person, relatives: Sequence[Person]) -> dict[str, str]:
        self._written += 1
        surname, usage, given = person.surname, person.married, list(person.given)
        if self._slips(0.012) and usage:
            surname, usage = usage, ""
        if self._slips(0.35):
            usage = ""
        if self._slips(0.008):
            surname = self._names.surname()
        first = self._given(given)
        if self._slips(0.022):
            first = self._typo(first)
        surname = self._surname(surname)
        if self._slips(0.004):
            surname, first = first, surname
        return {
            "rec_id": f"{self._style.upper()}{self._written:06}{self._rng.randrange(10**6):06}",
            "nir": self._number(person, relatives),
            "birth_name": self._cased(surname),
            "usage_name": self._cased(usage),
            "given_names": self._cased(first),
            "birth_date": self._date(person.born),
            "sex": self._sex(person.sex),
            "birth_place": self._place(person.place),
        }

    def _slips(self, rate: float) -> bool:
        return self._rng.random() < rate * self._errors

    def _given(self, given: list[str]) -> str:
        rng = self._rng
        if len(given) > 1 and self._slips(0.012):
            given = given[1:]  # the name in use
        elif self._slips(0.01):
            given = [self._names.given("F" if given[0] in WOMEN else "M"), *given]
        if "-" in given[0]:
            first = given[0]
            if self._slips(0.03):
                first = first.split("-")[0]
            given = [rng.choice((first, first.replace("-", " "), first.replace("-", ""))), *given[1:]]
        if rng.random() < 0.35:
            given = given[:1]
        between = ", " if self._style == "a" and rng.random() < 0.5 and len(given) > 1 else " "
        return between.join(given)

    def _surname(self, surname: str) -> str:
        rng = self._rng
        if "-" in surname and self._slips(0.08):
            surname = rng.choice(surname.split("-"))
        particle, _, rest = surname.partition(" ")
        if rest and particle in PARTICLES:
            forms: tuple[Callable[[], str], ...] = (
                lambda: surname, lambda: surname, lambda: particle + rest, lambda: f"{rest} ({particle})",
                lambda: rest if self._slips(0.3) else surname,
            )  # fmt: skip
            surname = rng.choice(forms)()
        return self._typo(surname) if self._slips(0.022) else surname

    def _typo(self, name: str) -> str:
        rng = self._rng
        if rng.random() < 0.2:
            for one, other in rng.sample(BY_EAR, len(BY_EAR)):
                if one in name:
                    return name.replace(one, other, 1)
        at = rng.randrange(len(name))
        letter = rng.choice("abcdefghilmnoprstuv")
        return rng.choice(
            (
                name[:at] + name[at + 1 :],
                name[:at] + letter + name[at:],
                name[:at] + letter + name[at + 1 :],
                name[:at] + name[at + 1 : at + 2] + name[at : at + 1] + name[at + 2 :],
            )
        )

    def _cased(self, name: str) -> str:
        if self._style == "a" and self._rng.random() < 0.85:
            return name
        bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
        return bare.upper()

    def _date(self, born: date) -> str:
        rng = self._rng
        if self._slips(0.0035):
            born = born.replace(month=1, day=1)
        elif self._slips(0.0025) and born.day <= 12:
            born = born.replace(month=born.day, day=born.month)
        elif self._slips(0.0035):
            born = born.replace(day=rng.randint(1, 28))
        elif self._slips(0.0035):
            born = born.replace(month=rng.randint(1, 12), day=min(born.day, 28))
        elif self._slips(0.0035):
            born = born.replace(year=born.year + rng.choice((-10, -1, 1, 10)), day=min(born.day, 28))
        return born.isoformat() if self._style == "a" else f"{born:%d/%m/%Y}"

    def _sex(self, sex: str) -> str:
        if self._slips(0.01):
            return ""
        if self._slips(0.002):
            sex = "F" if sex == "M" else "M"
        return sex if self._style == "a" else {"M": "1", "F": "2"}[sex]

    def _place(self, place: str) -> str:
        if self._rng.random() < 0.085:
            return ""
        return _commune(self._rng) if self._slips(0.01) else place

    def _number(self, person: Person, relatives: Sequence[Person]) -> str:
        rng = self._rng
        if not self._nir or rng.random() < 0.045:
            return ""
        nir = person.nir
        if relatives and self._slips(0.006):
            nir = rng.choice(relatives).nir  # a parent's, a twin's
        elif self._slips(0.005):
            nir = _nir(_person(rng, self._names), {})
        key = _key(nir)
        if self._slips(0.01):
            at = rng.randrange(8, 12)
            nir = nir[:at] + nir[at + 1] + nir[at] + nir[at + 2 :]
        if self._style == "a" and rng.random() < 0.08:
            return nir
        spaced = f"{nir[0]} {nir[1:3]} {nir[3:5]} {nir[5:7]} {nir[7:10]} {nir[10:]} {key}"
        return spaced if rng.random() < 0.3 else nir + key
