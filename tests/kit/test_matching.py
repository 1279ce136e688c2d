"""Column matching: what is proposed, what a person must decide, and that a file laid out otherwise is refused."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from connectors.kit import matching
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.table import TableReader
from connectors.kit.runtime.errors import ErrorKind, MaillonError

FORMAT = "domiciliations"


@pytest.fixture(scope="module")
def ccas() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "ccas")


def propose(ccas: PartnerFolder, data: bytes | str, format: str = FORMAT, **more: Any) -> matching.Draft:
    data = data.encode() if isinstance(data, str) else data
    return matching.propose(ccas.formats[format], io.BytesIO(data), **more)


def columns(draft: matching.Draft) -> dict[str, str]:
    return dict(draft.layout.columns)


def why(draft: matching.Draft) -> dict[str, str]:
    return {each.column: each.why for each in draft.proposals}


def book(*cells: str) -> bytes:
    made, out = openpyxl.Workbook(), io.BytesIO()
    made.active.append(cells)
    made.save(out)
    return out.getvalue()


def read(partner: PartnerFolder, data: bytes | str, format: str = FORMAT) -> list[RawRecord | Quarantined]:
    data = data.encode() if isinstance(data, str) else data
    return list(partner.formats[format].reader.read(io.BytesIO(data)))


OWN = (
    "Liste des domiciliés au 1er février;;;;;;;\n"
    "N° dossier;NOM;Prénom(s);Né(e) le;Date d’élection de domicile;Échéance;Tél.;Observations\n"
    "DOM-1;Aubépin;Maëlle;12/03/1984;01/02/2026;;06 39 98 12 47;à rappeler\n"
)


def test_a_clerks_own_headings_are_recognised_under_a_title(ccas: PartnerFolder) -> None:
    draft = propose(ccas, OWN)
    assert draft.layout.line == 2
    assert columns(draft) == {
        "numero": "N° dossier",
        "nom_naissance": "NOM",
        "prenoms": "Prénom(s)",
        "date_naissance": "Né(e) le",
        "date_debut": "Date d’élection de domicile",
        "date_fin": "Échéance",
        "telephone": "Tél.",
    }
    assert draft.unused == ("Observations",)
    assert draft.missing() == ()


def test_the_headings_published_for_rsa_follow_up(ccas: PartnerFolder) -> None:
    published = (
        "N° Allocataire,Rôle,NIR,ID pôle Emploi,Nom de naissance,Nom d'usage,Prénom,Date de naissance,Courriel\n"
    )
    draft = propose(ccas, published, "suivi_rsa")
    assert draft.layout.delimiter == ","
    assert columns(draft)["numero_allocataire"] == "N° Allocataire"
    assert columns(draft)["identifiant_france_travail"] == "ID pôle Emploi"
    assert columns(draft)["nom_naissance"] == "Nom de naissance"
    assert columns(draft)["email"] == "Courriel"
    assert draft.missing() == ()


def test_the_shape_of_values_is_told_and_values_are_not(ccas: PartnerFolder) -> None:
    # The two dates are under one another's heading: the schema accepts both; the names are under the number's.
    draft = propose(ccas, "numero;nom;prenom;naissance;debut\nAubépin;D1;Maëlle;12/03/1984;01/02/2026\n")
    fits = {each.column: each.fits for each in draft.proposals}
    assert (fits["numero"], fits["nom_naissance"], fits["date_naissance"]) == (0.0, 0.0, 1.0)
    assert fits["date_fin"] is None
    assert "Maëlle" not in repr(draft)


def test_two_headings_that_would_do_are_left_to_a_person(ccas: PartnerFolder) -> None:
    data = "numero;nom;nom de famille;prenoms;date_naissance;date_debut\n1;A;A;B;12/03/1984;01/02/2026\n"
    draft = propose(ccas, data)
    assert why(draft)["nom_naissance"] == "several"
    assert draft.missing() == ("nom_naissance",)
    settled = propose(ccas, data, given={"nom_naissance": "nom de famille"})
    assert (columns(settled)["nom_naissance"], settled.missing()) == ("nom de famille", ())
    assert why(settled)["nom_naissance"] == "given"


def test_what_cannot_be_matched_says_why(ccas: PartnerFolder) -> None:
    line = "N° usager;Nom;Nom;Prénom(s);Né(e) le;Date début\nD1;A;B;C;01/02/1990;01/02/2026\n"
    assert why(propose(ccas, line))["nom_naissance"] == "twice"
    for given, place in (({"numero": "Numéro"}, "numero: no heading"), ({"nom": "Nom"}, "nom: not a column")):
        with pytest.raises(MaillonError, match=place):
            propose(ccas, line, given=given)
    with pytest.raises(MaillonError, match="encoding"):
        propose(ccas, line.encode("utf-16"))
    with pytest.raises(MaillonError, match=r"missing_column: sheet\); another sheet is named with --sheet"):
        propose(ccas, book("N° usager"), sheet="Registre")


def test_what_is_saved_stands_in_the_order_of_the_format(ccas: PartnerFolder) -> None:
    draft = propose(ccas, "Né(e) le;Prénom(s);N° usager;Nom de naissance;Date début\n")
    reader = ccas.formats[FORMAT].reader
    assert isinstance(reader, TableReader)
    assert list(draft.layout.columns) == list(reader.columns.required)


def test_headings_that_stand_twice_or_nowhere(ccas: PartnerFolder) -> None:
    assert propose(ccas, "numero;nom;nom;prenoms;naissance;debut\n").missing() == ("nom_naissance",)
    for given in ({"nom_naissance": "nowhere"}, {"not_a_column": "nom"}):
        with pytest.raises(MaillonError) as caught:
            propose(ccas, OWN, given=given)
        assert caught.value.kind is ErrorKind.CONFIGURATION


@pytest.mark.parametrize("data", [b"", b"Aubepin;Maelle;12/03/1984\n", b"\xff\xfe\x00", b"PK\x03\x04"])
def test_a_file_without_headings_is_refused_without_quoting_it(ccas: PartnerFolder, data: bytes) -> None:
    with pytest.raises(MaillonError) as caught:
        propose(ccas, data)
    assert caught.value.kind is ErrorKind.MALFORMED
    assert "Maelle" not in str(caught.value)


def test_only_tables_are_matched() -> None:
    caf = PartnerFolder.load(bundled_directory() / "caf")
    with pytest.raises(MaillonError, match="rsa_mensuel is no table"):
        matching.propose(caf.formats["rsa_mensuel"], io.BytesIO(b""))


def test_what_is_saved_reads_files_of_that_layout_and_no_other(ccas: PartnerFolder) -> None:
    draft = propose(ccas, OWN)
    saved = matching.to_toml(ccas, draft).encode()
    partner = matching.matched(ccas, saved)
    assert partner.version != ccas.version
    assert read(partner, OWN) == [
        RawRecord(
            "line 3",
            {
                "numero": "DOM-1",
                "nom_naissance": "Aubépin",
                "prenoms": "Maëlle",
                "date_naissance": "12/03/1984",
                "date_debut": "01/02/2026",
                "date_fin": None,
                "telephone": "06 39 98 12 47",
            },
        )
    ]
    moved = OWN.replace("NOM;Prénom(s)", "Prénom(s);NOM")
    renamed = OWN.replace("Échéance", "Fin")
    longer = OWN.replace("Observations\n", "Observations;Divers\n")
    shorter = OWN.replace(";Observations\n", "\n")
    assert [(i.position, i.reason, i.detail) for i in read(partner, moved) if isinstance(i, Quarantined)] == [
        ("line 2", Reason.COLUMN_SHIFT, "column 2"),
        ("line 2", Reason.COLUMN_SHIFT, "column 3"),
    ]
    for other, place in ((renamed, 6), (longer, 9), (shorter, 8)):
        assert read(partner, other) == [Quarantined("line 2", "", Reason.COLUMN_SHIFT, f"column {place}")]


def test_a_workbook_and_its_csv_share_one_matching(ccas: PartnerFolder) -> None:
    book = openpyxl.Workbook()
    for line in OWN.splitlines():
        book.active.append([cell or None for cell in line.split(";")])
    out = io.BytesIO()
    book.save(out)
    draft = propose(ccas, out.getvalue())
    assert columns(draft) == columns(propose(ccas, OWN))
    partner = matching.matched(ccas, matching.to_toml(ccas, draft).encode())
    assert read(partner, out.getvalue()) == read(partner, OWN)


def test_a_saved_matching_that_is_wrong_is_named(ccas: PartnerFolder) -> None:
    good = matching.to_toml(ccas, propose(ccas, OWN))
    for old, new, where in (
        ("partner =", "partener =", "partner"),
        ('"ccas"', '"caf"', "partner, format"),
        ("line = 2", 'line = "2"', "line"),
        ('delimiter = ""', 'delimiter = "x"', "delimiter"),
        ('numero = "N° dossier"', "", "columns.numero"),
        ('numero = "N° dossier"', 'numero = "Autre"', "columns.numero"),
        ('telephone = "Tél."', 'telephone = "NOM"', "columns."),
        ('telephone = "Tél."', 'fax = "Tél."', "columns"),
        ("[columns]", "more = 1\n[columns]", "more"),
    ):
        assert old in good
        with pytest.raises(MaillonError) as caught:
            matching.matched(ccas, good.replace(old, new).encode())
        assert caught.value.detail.startswith(f"matching: {where}"), old
    with pytest.raises(MaillonError, match="not TOML"):
        matching.matched(ccas, b"=")


def test_every_synonym_names_one_column_of_a_format() -> None:
    text = (Path(matching.__file__).parent / "synonyms.toml").read_text("utf-8")
    synonyms = tomllib.loads(text)["columns"]
    folders = [PartnerFolder.load(bundled_directory() / slug) for slug in ("ccas", "departement")]
    readers = [each.reader for folder in folders for each in folder.formats.values()]
    tables = [reader for reader in readers if isinstance(reader, TableReader)]
    known = set().union(*(reader.columns.known for reader in tables))
    assert set(synonyms) - known <= {"code_postal"}
    for reader in tables:  # within one format a heading means one thing
        columns = [{matching.normalised(n) for n in {c, *synonyms.get(c, ())}} for c in reader.columns.known]
        said = [name for names in columns for name in names]
        assert sorted(name for name in set(said) if said.count(name) > 1) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("N° Allocataire", "numéro allocataire"),
        ("n°allocataire", "Numero_Allocataire"),
        ("Né(e) le", "né le"),
        ("ID pôle Emploi", "identifiant Pole emploi"),
        ("  DATE DE NAISSANCE ", "date_naissance"),
        ("№ dossier", "num. dossier"),
        ("Pre\u0301nom(s)", "Prénom"),  # an accent in two characters, as a Mac writes it
        ("No dossier", "N° dossier"),
    ],
)
def test_headings_that_are_the_same(one: str, other: str) -> None:
    assert matching.normalised(one) == matching.normalised(other)


@pytest.mark.parametrize("word", ["nom", "note", "nombre", "Nord"])
def test_a_word_that_begins_like_a_number_is_none(word: str) -> None:
    assert matching.normalised(word) == word.lower()
