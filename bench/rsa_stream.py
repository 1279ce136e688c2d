"""Writes monthly RSA streams of any size in the shape of ``vrsb0801.xsd``, about persons who do not exist."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

_HEAD = """<?xml version="1.0" encoding="windows-1252"?>
<Racine><IdentificationFlux><APPLIEME>CRI</APPLIEME><NUMVERSIONAPPLIEME>6200</NUMVERSIONAPPLIEME>
<TYPEFLUX>M</TYPEFLUX><NATFLUX>D</NATFLUX><DTCREAFLUX>2026-01-05</DTCREAFLUX><DTREF>2025-12-31</DTREF></IdentificationFlux>
"""
_TAIL = """<TransmissionFlux><NBTOTDOSRSATRANSM>{:08d}</NBTOTDOSRSATRANSM></TransmissionFlux></Racine>
"""
_SYLLABLES = (
    "BA",
    "BRI",
    "CHE",
    "DO",
    "FER",
    "GUÉ",
    "JAN",
    "KER",
    "LAN",
    "MOR",
    "NEL",
    "PÉ",
    "QUI",
    "ROU",
    "SAU",
    "ZÉ",
)
_GIVEN = {
    "1": ("ALAIN", "BASTIEN", "CÉDRIC", "DRISS", "ÉTIENNE", "FARID", "GAËL", "HUGO", "IBRAHIM", "JEAN-MARC", "KÉVIN"),
    "2": ("ANNE", "BÉRÉNICE", "CLÉA", "DJAMILA", "ÉLOÏSE", "FANNY", "GWEN", "HÉLÈNE", "INÈS", "JEANNE", "KARIMA"),
}


def write(path: Path, persons: int, seed: int = 1) -> int:
    """Write a stream of at least ``persons`` persons to ``path``, always the same for a ``seed``; return how many."""
    chance = random.Random(seed)  # noqa: S311 (nothing secret: the same file every time is the point)
    written = households = 0
    with path.open("w", encoding="windows-1252", errors="strict") as stream:
        stream.write(_HEAD)
        while written < persons:
            members = _members(chance)
            stream.write(_household(chance, households, members))
            written += len(members)
            households += 1
        stream.write(_TAIL.format(households))
    return written


def _members(chance: random.Random) -> list[str]:
    couple = ["DEM", "CJT"] if chance.random() < 0.3 else ["DEM"]
    return couple + ["ENF"] * chance.choice((0, 0, 0, 1, 1, 2, 3))


def _household(chance: random.Random, number: int, roles: list[str]) -> str:
    name = _surname(chance)
    persons = "".join(_person(chance, role, name) for role in roles)
    postcode = f"{chance.randint(1, 95):02d}{chance.randint(0, 99):02d}0"
    return f"""<InfosFoyerRSA><IdentificationRSA>
<Organisme><FONORG>CAF</FONORG><NUMORG>291</NUMORG><MATRICULE>{number:07d}00000000</MATRICULE></Organisme>
<Partenaire><TYPEPARTE>CG</TYPEPARTE><IDEPARTE>029</IDEPARTE></Partenaire>
<DemandeRSA><DTDEMRSA>2024-04-18</DTDEMRSA><NUMDEMRSA>{number:011d}</NUMDEMRSA></DemandeRSA></IdentificationRSA>
{persons}<DonneesAdministratives>
<SituationFamille><SITFAM>{"MAR" if "CJT" in roles else "CEL"}</SITFAM><DDSITFAM>2010-06-18</DDSITFAM>
</SituationFamille>
<Adresse><TroncCommunAdresse><RGADR>01</RGADR><PAYS>FRA</PAYS><TYPEADR>D</TYPEADR><ETATADR>CO</ETATADR></TroncCommunAdresse>
<AdresseDetailleeFrance><COMPLIDEADR>BATIMENT C</COMPLIDEADR><COMPLADR /><NUMVOIE>{chance.randint(1, 200)}</NUMVOIE>
<LIBTYPEVOIE>RUE</LIBTYPEVOIE><NOMVOIE>DES ÉGLANTINES</NOMVOIE><LIEUDIST /><NUMCOM>{postcode[:2]}118</NUMCOM>
<CODEPOS>{postcode}</CODEPOS><NOMCOM>{_surname(chance)}</NOMCOM></AdresseDetailleeFrance></Adresse></DonneesAdministratives>
<PrestationRSA><SituationDossierRSA><EtatDossierRSA><ETATDOSRSA>2</ETATDOSRSA></EtatDossierRSA></SituationDossierRSA>
<DetailDroitRSA><TroncCommunDroitRSA><TOPSANSDOMFIXE>0</TOPSANSDOMFIXE><ORIDEMRSA>DEM</ORIDEMRSA></TroncCommunDroitRSA>
<DetailCalculDroitRSA><NATPF>RSD</NATPF><SOUSNATPF>RSDN1</SOUSNATPF><DDNATDRO>2022-02-01</DDNATDRO></DetailCalculDroitRSA>
</DetailDroitRSA></PrestationRSA></InfosFoyerRSA>
"""


def _person(chance: random.Random, role: str, name: str) -> str:
    sex = chance.choice("12")
    year = chance.randint(2008, 2025) if role == "ENF" else chance.randint(1960, 2000)
    month, day = chance.randint(1, 12), chance.randint(1, 28)
    birth_name = _surname(chance) if sex == "2" and role != "ENF" else name
    place = f"{chance.randint(1, 95):02d}{chance.randint(1, 989):03d}{chance.randint(1, 999):03d}"
    nir = f"{sex}{year % 100:02d}{month:02d}{place}"
    first, second = chance.sample(_GIVEN[sex], 2)
    return f"""<Personne><Identification><QUAL>{"MR" if sex == "1" else "MME"}</QUAL><NOM>{name}</NOM>
<NOMNAI>{birth_name}</NOMNAI><PRENOM>{first}</PRENOM><PRENOM2>{second}</PRENOM2><NOMCOMNAI>CAEN</NOMCOMNAI>
<DTNAI>{year}-{month:02d}-{day:02d}</DTNAI><TYPEDTNAI>N</TYPEDTNAI>{"" if role == "ENF" else f"<NIR>{nir}</NIR>"}
<TOPVALIEC>1</TOPVALIEC><SEXE>{sex}</SEXE></Identification>
<DossierCAF><TOPRESPDOS>{int(role == "DEM")}</TOPRESPDOS><DDRATDOS>2019-03-01</DDRATDOS></DossierCAF>
<Prestations><NATPREST>PFA</NATPREST><ROLEPERS>{role}</ROLEPERS><TOPCHAPERS>1</TOPCHAPERS></Prestations>
<Prestations><NATPREST>RSA</NATPREST><ROLEPERS>{role}</ROLEPERS><TOPCHAPERS>1</TOPCHAPERS></Prestations>
{"" if role == "ENF" else "".join(_resources(chance))}</Personne>
"""


def _resources(chance: random.Random) -> Iterator[str]:
    yield (
        "<Ressources><GeneraliteRessourcesTrimestre><TOPRESSNUL>0</TOPRESSNUL><DDRESS>2025-09-01</DDRESS>"
        "<DFRESS>2025-11-30</DFRESS></GeneraliteRessourcesTrimestre>\n"
    )
    for month in ("09", "10", "11"):
        yield (
            "<RessourcesMensuelles><GeneraliteRessourcesMensuelles>"
            f"<MOISRESS>2025-{month}-01</MOISRESS><NBHEUMENTRA>000</NBHEUMENTRA></GeneraliteRessourcesMensuelles>\n"
        )
        for nature in chance.sample(("001", "010", "044", "403"), 2):
            amount = chance.randint(0, 150_000) / 100
            yield (
                f"<DetailRessourcesMensuelles><NATRESS>{nature}</NATRESS>"
                f"<MTNATRESSMEN>{amount:010.2f}</MTNATRESSMEN></DetailRessourcesMensuelles>\n"
            )
        yield "</RessourcesMensuelles>\n"
    yield (
        "</Ressources>\n<MontantCalculDroitRSAPersonne><TOPPERSDRODEVORSA>1</TOPPERSDRODEVORSA>"
        "</MontantCalculDroitRSAPersonne>"
    )


def _surname(chance: random.Random) -> str:
    return "".join(chance.choices(_SYLLABLES, k=chance.choice((2, 3, 3, 4))))
