"""The lineage page says all that the mappings say, both ways, in French, each thing once, and is up to date."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from connectors.kit import lineage
from connectors.kit.lineage_cells import pieces
from connectors.kit.lineage_words import Words, transforms_said
from connectors.kit.mapping.rules import LineageRow
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.transforms import BUILT_IN
from schemas import registry

ROOT = Path(__file__).parents[2]
BACK = "# Des partenaires vers le dossier"
ONCE = "# Réponses sans données"


@pytest.fixture(scope="module")
def partners() -> dict[str, PartnerFolder]:
    return discover([bundled_directory()])


@pytest.fixture(scope="module")
def page(partners: Mapping[str, PartnerFolder]) -> str:
    return lineage.lineage_page(partners.values())


@pytest.fixture(scope="module")
def halves(page: str) -> tuple[str, str]:
    by_field, _, rest = page.partition(BACK)
    return by_field, rest.partition(ONCE)[0]


def under(text: str, heading: str) -> str:
    """Return what stands under ``heading``, up to the next one that is not below it."""
    depth = len(heading) - len(heading.lstrip("#"))
    _, found, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert found, heading
    return re.split(rf"^#{{1,{depth}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def person(text: str, name: str) -> str:
    """Return what a format's section says of one person."""
    _, found, rest = text.partition(f"**Personne : {name.replace('_', ' ')}**\n")
    assert found, name
    return rest.partition("**Personne : ")[0]


def section(half: str, slug: str, native: str) -> tuple[str, str, list[str]]:
    """Follow the partner's link to its format: what stands there, where that is, and the versions it is about."""
    (where,) = re.findall(rf"^- \[`{native}`\]\(#([^)]+)\) : ", under(half, f"## Partenaire `{slug}`"), re.MULTILINE)
    (heading,) = [
        line
        for line in half.splitlines()
        if line.startswith("### ") and re.sub(r"[^\w\- ]", "", line[4:].lower()).replace(" ", "-") == where
    ]
    return under(half, heading), where, re.findall(r"v\d+", heading.rpartition("`")[2])


def version_of(native: str, versions: list[str]) -> str:
    """Return which of ``versions`` the format is; nothing when it stands alone."""
    return native.rpartition("_")[2] if versions else ""


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of the tables of ``text``, by the names of their columns."""
    found, header = [], list[str]()
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if not line.startswith("| ") or line.startswith("| ---"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if lines[at + 1].startswith("| ---"):
            header = cells
        else:
            found.append(dict(zip(header, cells, strict=True)))
    return found


def said_by(cell: str, version: str) -> str:
    """Return what ``cell`` says of one version; nothing when it speaks of others only."""
    # Within an absence: « *v3* `…` », « *v2* `…` », each on its line after the words that both have.
    cell = re.sub(
        r"\*(v\d+(?:, v\d+)*)\* (`[^*]*?`)(?=<br>|$)",
        lambda beside: beside[2] if version in beside[1].split(", ") else "",
        cell,
    )
    first, *parts = re.split(r"(?:^|<br>)\*(v\d+(?:, v\d+)*)\* : ", cell)
    if not parts:
        return cell
    assert "`" not in first, "words may be said of all, an expression may not"
    own = [said for whose, said in zip(parts[::2], parts[1::2], strict=True) if version in whose.split(", ")]
    return "<br>".join([first, *own] if first else own)


def reads(cell: str, row: LineageRow, version: str) -> bool:
    """Say whether ``cell`` says, after words if any, from where ``row`` is read and under which condition."""
    condition = f" si {bare(row.condition)}" if row.condition else ""
    return f" {plain(said_by(cell, version))}".endswith(f" {bare(row.source)}{condition}")


def plain(row: str) -> str:
    """Return a table's row as it is read: its expressions one after the other, no mark-up."""
    row = row.replace("`<wbr>`", "")
    return row.replace("`<br>`", ", ").replace("<br>", " ").replace("\\|", "|").replace("`", "").replace("*", "")


def bare(text: str) -> str:
    return text.replace("`", "").replace("record.", "")


def outcomes(partner: PartnerFolder, row: LineageRow) -> bool:
    """Say whether ``row`` is the absence that an answer without data is given."""
    (subject,) = [each for each in partner.formats[row.format].mapping.subjects if each.name == row.subject]
    ruled = {rule.path for rule in subject.fields}
    return subject.outcome is not None and row.target in subject.outcome.paths and row.target not in ruled


def test_the_page_is_the_one_committed() -> None:
    assert lineage.main(["--check"], ROOT) == 0


def test_check_writes_nothing_and_names_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lineage.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "stale: docs/lineage.md (run: python -m connectors.kit.lineage)\n"
    assert not (tmp_path / "docs").exists()
    assert lineage.main([], tmp_path) == 0
    assert lineage.main(["--check"], tmp_path) == 0


def test_every_row_of_every_mapping_stands_in_both_halves(
    partners: Mapping[str, PartnerFolder], halves: tuple[str, str]
) -> None:
    met = 0
    for slug, partner in partners.items():
        for row in partner.lineage():
            if outcomes(partner, row):
                continue
            met += 1
            there, where, versions = section(halves[1], slug, row.format)
            version = version_of(row.format, versions)
            (back,) = [
                each
                for each in rows(person(there, row.subject))
                if each["Champ du dossier et classe"].startswith(f"[`{row.target}`](#")
            ]
            forth = [
                each
                for each in rows(under(halves[0], f"### `{row.target}`"))
                if each["Partenaire"] == f"[{slug}](#partenaire-{slug})"
                and row.subject.replace("_", " ") in each["Personne"].split(", ")
                and any(
                    f"](#{where})" in native and version in (re.findall(r"v\d+", native.rpartition(")")[2]) or [""])
                    for native in each["Format"].split("<br>")
                )
                and reads(each["Champ du partenaire"], row, version)
            ]
            assert reads(back["Champ du partenaire"], row, version), row
            assert len(forth) == 1, row
            for code in re.findall(r"(?:→ |^)(\w+)(?:; |$)", row.absence):
                assert f"**{code}**" in said_by(back["Si la source ne dit rien"], version), row
                assert f"**{code}**" in said_by(forth[0]["Si la source ne dit rien"], version), row
            conditions = [bare(each) for each in re.findall(r"(?:^|; )([^;]+?) → \w+", row.absence)]
            for each in (back, forth[0]):
                absences = said_by(each.get("Si la source ne dit rien", "–"), version)
                assert [plain(code) for code in re.findall(r"(`[^*]*?`)(?=<br>|$)", absences)] == conditions, row
            if row.since:
                assert plain(said_by(back["Vrai depuis"], version)) == bare(row.since), row
    assert met > 250


def test_nothing_is_said_of_a_version_that_does_not_do_it(
    partners: Mapping[str, PartnerFolder], halves: tuple[str, str]
) -> None:
    together = 0
    for slug, partner in partners.items():
        for native in partner.formats.values():
            there, _, versions = section(halves[1], slug, native.name)
            version = version_of(native.name, versions)
            together += bool(versions)
            for subject in native.mapping.subjects:
                mine = {
                    row.target for row in partner.lineage() if (row.format, row.subject) == (native.name, subject.name)
                }
                shown = {
                    re.findall(r"`(.+?)`", each["Champ du dossier et classe"])[0]
                    for each in rows(person(there, subject.name))
                    if "`" in said_by(each["Champ du partenaire"], version)
                }
                assert shown <= mine, (native.name, subject.name)
            named = {
                name
                for line in there.splitlines()
                if line.startswith("**Personne : ")
                for name in persons(line, version)
            }
            assert named == {subject.name.replace("_", " ") for subject in native.mapping.subjects}
    assert together > 20


def persons(line: str, version: str) -> list[str]:
    """Return the person that the line is about, if it is one of ``version``."""
    name, _, only = line.removeprefix("**Personne : ").partition("**")
    return [name] if not only or version in re.findall(r"v\d+", only) else []


def test_what_versions_do_alike_is_said_once(halves: tuple[str, str]) -> None:
    read = {
        re.findall(r"`(.+?)`", each["Champ du dossier et classe"])[0]: each
        for each in rows(person(section(halves[1], "cnous", "api_particulier_boursier_v2")[0], "personne"))
    }
    assert read["identite.nom_naissance"]["Champ du partenaire"] == (
        "*v4, v3* : `payload.data.identite.nom`<br>*v2* : `payload.nom`"
    )
    assert read["identite.nom_naissance"]["Transformation"] == "texte, sans espaces autour"
    assert (
        len([each for each in rows(under(halves[0], "### `scolarite.echelon`")) if "cnous" in each["Partenaire"]]) == 1
    )


def test_whoever_and_whatever_only_one_version_has_is_said_of_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundled_directory() / "cnous", tmp_path / "cnous"))
    file = folder / "mapping.toml"
    more = """
[formats.api_particulier_boursier_v4.subjects.sans_reponse]
outcome.fields = ["scolarite.est_boursier"]

[formats.api_particulier_boursier_v4.subjects.autre]
when = "record.status == `204`"
identity = "demande"
local_id = ["record.params.ine"]
outcome = { value = "issue", fields = ["scolarite.echelon"] }
"""
    file.write_text(file.read_text("utf-8") + more, "utf-8")
    there = lineage.lineage_page([PartnerFolder.load(folder)]).partition(BACK)[2]
    assert "**Personne : autre** · *v4*\n" in there
    assert "**Personne : personne**\n" in there
    said = [line for line in person(there, "sans_reponse").splitlines() if line.startswith("Réponse sans données")]
    assert [re.sub(r".* pour |\]\(.*?\)|\[", "", line) for line in said] == [
        "`scolarite.est_boursier` · C2.",
        "`scolarite.echelon` · C2 · *v3, v2*.",
    ]


def test_what_an_answer_without_data_means_is_said_once(
    partners: Mapping[str, PartnerFolder], halves: tuple[str, str], page: str
) -> None:
    met = 0
    for slug, partner in partners.items():
        for row in partner.lineage():
            if not outcomes(partner, row):
                continue
            met += 1
            there, where, versions = section(halves[1], slug, row.format)
            version = version_of(row.format, versions)
            (back,) = [
                line
                for line in person(there, row.subject).splitlines()
                if line.startswith("Réponse sans données")
                and f"[`{row.target}`](#" in line
                and (not (only := re.findall(r" · \*(.+)\*\.$", line)) or version in only[0].split(", "))
            ]
            (forth,) = [
                line
                for line in under(halves[0], f"### `{row.target}`").splitlines()
                if line.startswith("Réponse sans données")
                and any(version in told for told in re.findall(rf"#{where}\)((?: v\d+(?:, v\d+)*)?)", line))
            ]
            (way,) = set(re.findall(r"\[`([\w.]+)`\]\(#erreur-", back + forth))
            answer = under(page, f"## Erreur `{way}`")
            assert f"[{slug}](#partenaire-{slug})" in answer
            assert [bare(piece) for piece in pieces(row.source)] == [
                each.replace("`<wbr>`", "") for each in re.findall(r"^\d+\. `(.*)`$", answer, re.MULTILINE)
            ]
    assert met > 50
    for sentence in ("Dossier allocataire absent CNAV", "provider_unknown_error", "'pas été reconnu'"):
        assert page.count(sentence) == 1


def test_each_error_code_stands_under_the_absence_each_partner_makes_of_it(
    partners: Mapping[str, PartnerFolder], page: str
) -> None:
    rows = re.findall(
        r"^\| \*\*(\w+)\*\* \| .* \| (.*) \|$", under(page, "## Erreur `api_particulier.issue`"), re.MULTILINE
    )
    shown: dict[tuple[str, str], str] = {}
    for absence, cell in rows:
        for line in cell.split("<br>"):
            _, _, only = line.partition(" : ") if line.endswith(" seulement") else ("", "", "")
            shown |= {(code, absence): only.removesuffix(" seulement") for code in re.findall(r"`([^`]+)`", line)}
    met: set[tuple[str, str]] = set()
    for slug, partner in partners.items():
        for native in partner.formats.values():
            for subject in native.mapping.subjects:
                if subject.outcome is not None:
                    for pair in subject.outcome.code.table.items():
                        met.add((pair[0], str(pair[1])))
                        only = shown[pair[0], str(pair[1])]
                        assert not only or slug in only.split(", "), (slug, pair)
    assert met == set(shown)
    assert shown["introuvable", "sans_dossier"] == "caf, cpam, msa"


def test_every_field_of_the_dossier_is_there_with_its_class_and_note(
    partners: Mapping[str, PartnerFolder], halves: tuple[str, str]
) -> None:
    fed = {row.target for partner in partners.values() for row in partner.lineage()}
    for known in registry.fields():
        assert (f"### `{known.path}`\n\n{known.libelle} · **{known.classe}** · {known.note_legale}" in halves[0]) == (
            known.path in fed
        )
        assert f"`{known.path}`" in halves[0]
        assert set(re.findall(rf"\[`{re.escape(known.path)}`\]\(#\w+\) · (C\d)", halves[1])) == (
            {known.classe} if known.path in fed else set()
        )


def test_links_lead_to_one_heading_each_whoever_is_on_the_page(
    partners: Mapping[str, PartnerFolder], page: str
) -> None:
    for text in (page, *(lineage.lineage_page([partner]) for partner in partners.values())):
        headings = Counter(
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        )
        assert [heading for heading, times in headings.items() if times > 1] == []
        links = set(re.findall(r"\]\(#([^)]+)\)", text))
        assert links <= set(headings)
        assert len(links) > 10


def test_a_name_shared_is_the_parts_and_a_name_changed_the_partners(partners: Mapping[str, PartnerFolder]) -> None:
    words = {slug: Words(partners[slug]) for slug in ("caf", "msa", "cnous")}
    assert {own.named("values", "issue") for own in words.values()} == {"api_particulier.issue"}
    assert words["cnous"].named("tables", "issues") == "api_particulier.issues"
    assert words["caf"].named("tables", "issues") == "caf.issues"
    assert words["msa"].named("tables", "etat_rsa") == words["caf"].named("tables", "etat_rsa") == "flux_rsa.etat_rsa"


def test_a_condition_is_said_in_words_beside_its_expression(halves: tuple[str, str]) -> None:
    quotient = under(halves[0], "### `ressources.quotient_familial`")
    assert "le quotient, sa caisse, son année et son mois<br>*v3* : `payload." in quotient
    assert "**non_calculable** *si* le quotient est rendu vide : <br>*v3* `payload." in quotient
    children = under(halves[0], "### `foyer.nombre_enfants_a_charge`")
    assert "`length(payload.data.enfants)`<br>*si* `payload.data.enfants != null`" in children
    cells = [line for half in halves for line in half.splitlines() if line.startswith("| ")]
    assert not [line for line in cells if re.search(r"(?<![\w.'])it\.", line)]


def test_no_row_is_too_long_to_be_read(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    shown = [re.sub(r"\]\(#[^)]*\)", "]", row.replace("`<wbr>`", "")) for row in rows]
    assert max(map(len, shown)) < 1000


def test_code_tables_are_written_out(page: str) -> None:
    assert "`Évaluation` → evaluation" in under(page, "## Table `departement.phases`")
    assert "`beneficiaire_avec_participation_financiere` → oui" in under(page, "## Table `cpam.participation_c2s_v2`")


def test_every_transform_is_said_in_french(page: str) -> None:
    said = transforms_said()
    assert set(BUILT_IN) == set(said)
    assert all(said.values())
    assert "- **date (ISO ou française)** : l’heure est laissée" in under(page, "# Transformations")


@pytest.mark.parametrize(
    ("sources", "parted"),
    [
        ("a.b", ["a.b"]),
        ("a, b.c", ["a", "b.c"]),
        ("[a, b][?@], c", ["[a, b][?@]", "c"]),
        ("join(', ', a), '(', b", ["join(', ', a)", "'('", "b"]),
        ('params.[x, "y[]"], {v: w, z: t}', ['params.[x, "y[]"]', "{v: w, z: t}"]),
        (r"'it\'s, so', a", [r"'it\'s, so'", "a"]),
        ("`[1, 2]`, a", ["`[1, 2]`", "a"]),
    ],
)
def test_a_list_is_parted_between_its_expressions_only(sources: str, parted: list[str]) -> None:
    assert pieces(sources) == parted
