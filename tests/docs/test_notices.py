"""The notices a person reads: complete, in the promised words, and tied to a purpose of the same regime."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTICES = ROOT / "config" / "notices"
LANGUAGES = ("fr", "en", "falc")
IDS = ("acces_aux_droits", "accompagnement_global", "autonomie", "logement_fsl")

HELP_NOT_CONTROL = {
    "fr": ("Ces informations servent à vous aider, pas à vous contrôler ni à vous sanctionner.",),
    "en": ("These details serve to help you, not to control or sanction you.",),
    "falc": (
        "Ces informations servent à vous aider.",
        "Ces informations ne servent pas à vous contrôler.",
        "Ces informations ne servent pas à vous punir.",
    ),
}
"""DOMAIN §6, said in every notice."""
BRING_THE_PAPER = {
    "fr": "Vous devrez peut-être apporter vous-même le document",
    "en": "You may have to bring the paper yourself",
    "falc": "Vous devrez peut-être apporter vous-même le document.",
}
NO_RIGHT_LOST = {
    "accord": {
        "fr": "Dire non ne vous retire aucun droit.",
        "en": "Saying no takes no right away.",
        "falc": "Si vous dites non, vous gardez tous vos droits.",
    },
    "information": {
        "fr": "Vous opposer ne vous retire aucun droit.",
        "en": "Objecting takes no right away.",
        "falc": "Si vous vous opposez, vous gardez tous vos droits.",
    },
}
WAY_OUT = {"accord": "Je retire mon accord", "information": "Je m'oppose"}
CHOICE = {
    "accord": {"fr": ("« J'accepte »", "« Je refuse »"), "en": ("I accept", "I refuse")},
    "information": {"fr": ("« On vous informe »",), "en": ("For your information",)},
}
FORBIDDEN = re.compile(
    r"révo[cq]|revok|revoc|fragment|pseudonym|\bhub\b|connecteur|connector|token|\bTODO\b|à compléter|\{\{|lorem",
    re.IGNORECASE,
)
"""DESIGN §12: people read none of our words; and a text whose SHA-256 is accepted holds no placeholder."""


def notices() -> list[tuple[str, Path]]:
    """Return every (notice id, version folder) found in ``config/notices``."""
    return [(folder.parent.name, folder) for folder in sorted(NOTICES.glob("*/*")) if folder.is_dir()]


def manifest(folder: Path) -> dict[str, Any]:
    """Return the folder's ``notice.toml``."""
    return tomllib.loads((folder / "notice.toml").read_text("utf-8"))


def flat(folder: Path, language: str) -> str:
    """Return a text with its line wrapping undone, so that a sentence can be looked for."""
    return " ".join((folder / f"{language}.md").read_text("utf-8").split())


def sentences(text: str) -> list[str]:
    """Return the sentences, headings and list items of an easy-to-read text."""
    lines = (line.strip("#*- ") for line in text.splitlines())
    return [s for line in lines for s in re.split(r"(?<=[.!?])\s+(?=\w)", line) if s]


def test_the_four_notices_are_there() -> None:
    assert tuple(notice_id for notice_id, _ in notices()) == IDS


@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_manifest_names_its_folder_and_the_three_texts(notice_id: str, folder: Path) -> None:
    told = manifest(folder)
    assert (told["id"], str(told["version"])) == (notice_id, folder.name)
    assert tuple(told["languages"]) == LANGUAGES
    assert sorted(p.name for p in folder.iterdir()) == sorted(["notice.toml", *(f"{lang}.md" for lang in LANGUAGES)])


@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_purpose_exists_under_the_same_regime(notice_id: str, folder: Path) -> None:
    purposes = tomllib.loads((ROOT / "config" / "purposes.toml").read_text("utf-8"))
    told = manifest(folder)
    assert told["regime"] in regimes(purposes, told["purpose"]), notice_id


def regimes(purposes: dict[str, Any], code: str) -> set[str]:
    """Return the regimes of one purpose's rows."""
    return {row["regime"] for row in purposes["purposes"][code]["regles"]}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_says_what_every_person_must_be_told(notice_id: str, folder: Path, language: str) -> None:
    text, regime = flat(folder, language), manifest(folder)["regime"]
    for needed in (*HELP_NOT_CONTROL[language], BRING_THE_PAPER[language], NO_RIGHT_LOST[regime][language]):
        assert needed in text, (notice_id, language, needed)
    assert WAY_OUT[regime] in text
    for word in CHOICE[regime].get(language, ()):
        assert word in text
    for right in ("CNIL", {"en": "data protection officer"}.get(language, "délégué à la protection des données")):
        assert right in text
    assert "CAF" in text


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_covers_articles_13_and_14_of_the_gdpr(notice_id: str, folder: Path, language: str) -> None:
    """Controller, purpose, categories, sources, recipients, duration, legal basis, rights: one heading each."""
    headings = re.findall(r"^## (.+)$", (folder / f"{language}.md").read_text("utf-8"), re.MULTILINE)
    wanted = {
        "fr": ("Qui ", "Pourquoi", "Quelles informations", "D'où", "Qui les reçoit", "Combien", "La loi", "Vos droits"),
        "en": ("Who ", "Why", "Which details", "Where", "Who receives", "How long", "The law", "Your rights"),
    }[language]
    for start in wanted:
        assert any(h.startswith(start) for h in headings), (notice_id, start)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_uses_no_word_of_ours(notice_id: str, folder: Path, language: str) -> None:
    assert FORBIDDEN.findall(flat(folder, language)) == [], (notice_id, language)


@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_an_information_notice_never_asks_for_an_agreement(notice_id: str, folder: Path) -> None:
    wrong = {"accord": "On vous informe", "information": "J'accepte"}[manifest(folder)["regime"]]
    assert not any(wrong in flat(folder, language) for language in LANGUAGES), notice_id


@pytest.mark.parametrize(("notice_id", "folder"), notices())
def test_easy_to_read_french_keeps_its_rules(notice_id: str, folder: Path) -> None:
    """Short sentences of one idea, one a line, no piled-up negation, no brackets, no abbreviation left unexplained."""
    text = (folder / "falc.md").read_text("utf-8")
    for sentence in sentences(text):
        assert len(re.findall(r"[\w’'-]+", sentence)) <= 14, sentence
        assert len(re.findall(r"\bne\b|\bn['’]|\bsans\b|\bnon\b", sentence, re.IGNORECASE)) <= 1, sentence
        assert not re.search(r"[;()]", sentence), sentence
    for line in text.splitlines():
        assert len(sentences(line)) <= (2 if line.startswith("**") else 1), line
    for short in set(re.findall(r"\b[A-Z]{2,}\b", text)):
        assert re.search(rf"\b{short} (?:est|:) ", text), (notice_id, short)
