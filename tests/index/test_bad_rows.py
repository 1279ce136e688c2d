"""Bad input of two files: every row is linked rightly, or set aside with a reason code; none merges anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.population import COLUMNS
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.index import index
from tests.index.test_linkage_data import link, rows, write

GOOD = {
    "nir": "",
    "birth_name": "Quemener",
    "usage_name": "",
    "given_names": "Solenn",
    "birth_date": "1983-05-09",
    "sex": "F",
    "birth_place": "29019",
}


def both(folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    for name, written in (("a", first), ("b", second)):
        numbered = ({"rec_id": f"{name.upper()}{n}"} | GOOD | row for n, row in enumerate(written))
        write(folder / f"{name}.csv", COLUMNS, numbered)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (dict.fromkeys(GOOD, ""), "nom_naissance:absent"),
        ({"birth_name": "X", "given_names": "X"}, "nom_naissance:valeur_de_remplissage"),
        ({"birth_name": "INCONNU", "given_names": "INCONNU"}, "prenoms:valeur_de_remplissage"),
        ({"birth_name": "Q", "given_names": "S"}, "prenoms:une_lettre"),
        ({"birth_date": "0000-00-00"}, "date_naissance:hors_bornes"),
        ({"birth_date": "2090-01-01"}, "date_naissance:futur"),
        ({"birth_date": "31/06/1983"}, "date_naissance:impossible"),
        ({"nir": "283052901900"}, "nir:longueur"),
        ({"nir": "283052901900199"}, "nir:cle"),
        ({"nir": "28305290190AB"}, "nir:lettres"),
        ({"given_names": " ".join(["Ana"] * 40)}, "prenoms:trop_nombreux"),
        ({"birth_name": "كيمينير"}, "nom_naissance:lettre_non_latine"),
        ({"birth_name": "Quemener 3"}, "nom_naissance:chiffre"),
        ({"birth_place": "29X19"}, "code_cog_insee_commune_naissance:format"),
    ],
)
def test_an_unusable_trait_has_a_reason_and_merges_nobody(row: dict[str, str], code: str, tmp_path: Path) -> None:
    """The same bad row in both files: the trait set aside is no evidence that two persons are one."""
    strangers = [{"birth_place": "", "sex": ""} | row] * 2
    both(tmp_path, [strangers[0], GOOD | {"birth_place": "75056"}], [strangers[1]])
    pairs, summary = link(tmp_path)
    assert [pair for pair in pairs if pair["decision"] == "auto"] == []
    aside = summary["traits_set_aside"]
    assert isinstance(aside, dict)
    assert aside[code] >= 2


@pytest.mark.parametrize("name", ["Quemener 🙂", "QUEME\u200fNER", "Que\u0301me\u0301ner", "quéméner"])
def test_what_only_looks_odd_still_links(name: str, tmp_path: Path) -> None:
    both(tmp_path, [GOOD], [GOOD | {"birth_name": name}])
    pairs, _ = link(tmp_path)
    assert [(pair["decision"], pair["rule"]) for pair in pairs] == [("auto", "R2")]


def test_sql_in_a_name_is_a_name(tmp_path: Path) -> None:
    odd = GOOD | {"birth_name": "Robert'); DROP TABLE token;--"}
    both(tmp_path, [GOOD, odd], [odd])
    pairs, summary = link(tmp_path, "--on-disk")
    assert [(pair["id_a"], pair["id_b"], pair["decision"]) for pair in pairs] == [("A1", "B0", "auto")]
    assert summary["records"] == {"a": 2, "b": 1}


def test_every_refused_row_has_a_line_and_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "rec_id,birth_name,given_names,birth_date\n"
        "1,Quemener,Solenn,1983-05-09\n"
        "1,Quemener,Solenn,1983-05-09\n"  # the same id twice
        ",Quemener,Solenn,1983-05-09\n"
        "2,Quemener,Solenn\n"
        f"3,{'Q' * 300},Solenn,1983-05-09\n"
        "4,,,1983-05-09\n",
        "utf-8",
    )
    (tmp_path / "b.csv").write_text("rec_id,birth_name,given_names,birth_date\n1,Quemener,Solenn,1983-05-09\n", "utf-8")
    pairs, summary = link(tmp_path, "--refused", str(tmp_path / "refused.csv"))
    assert [(r["line"], r["reason"]) for r in rows(tmp_path / "refused.csv")] == [
        ("3", "identifiant_en_double"),
        ("4", "identifiant_absent"),
        ("5", "colonnes"),
        ("6", "trop_long"),
        ("7", "sans_empreinte"),
    ]
    assert [(pair["id_a"], pair["id_b"], pair["decision"]) for pair in pairs] == [("1", "1", "review")]
    refused = summary["refused"]
    assert isinstance(refused, dict)
    assert sum(refused.values()) == 5


@pytest.mark.parametrize("store", ["memory", "disk"])
def test_a_flood_is_refused_row_by_row(store: str, tmp_path: Path) -> None:
    crowd = GOOD | {"birth_place": ""}
    both(tmp_path, [crowd] * 60, [crowd] * 20 + [GOOD | {"birth_name": "Kervella"}])
    pairs, summary = link(tmp_path, *(["--on-disk"] if store == "disk" else []))
    assert [pair for pair in pairs if pair["decision"] == "auto"] == []
    assert len(pairs) <= 33 * 20
    refused = summary["refused"]
    assert isinstance(refused, dict)
    assert refused["foule"] == 60 - 33 + 20


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", ErrorKind.CONFIGURATION),
        (b"id,birth_name\n1,Q\n", ErrorKind.CONFIGURATION),
        (b"rec_id,rec_id\n1,1\n", ErrorKind.CONFIGURATION),
        (b"rec_id,birth_name\n1,\xff\xfe\n", ErrorKind.MALFORMED),
        (b'rec_id,birth_name\n1,"Q" x\n', ErrorKind.MALFORMED),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(content: bytes, kind: ErrorKind, tmp_path: Path) -> None:
    both(tmp_path, [GOOD], [GOOD])
    (tmp_path / "b.csv").write_bytes(content)
    files = ["--a", str(tmp_path / "a.csv"), "--b", str(tmp_path / "b.csv"), "--out", str(tmp_path / "pairs.csv")]
    with pytest.raises(MaillonError) as caught:
        CliRunner().invoke(index, ["link", *files], catch_exceptions=False)
    assert caught.value.kind is kind
    assert "b.csv" in str(caught.value)
    assert not (tmp_path / "pairs.csv").exists()


def test_the_output_is_never_one_of_the_inputs(tmp_path: Path) -> None:
    both(tmp_path, [GOOD], [GOOD])
    a, b = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    with pytest.raises(MaillonError):
        CliRunner().invoke(index, ["link", "--a", a, "--b", b, "--out", b], catch_exceptions=False)
    assert len(rows(tmp_path / "b.csv")) == 1


def test_the_help_has_an_example() -> None:
    told = CliRunner().invoke(index, ["link", "--help"]).output
    assert "Example:  maillon index link --a caf.csv --b cpam.csv" in told
