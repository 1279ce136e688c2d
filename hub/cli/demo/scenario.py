"""The story `maillon demo` tells and checks. Persons are invented; each partner's file is in its native format."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.runtime.clock import SystemClock
from hub.cli.demo.deployment import HUB, Deployment, Outcome, run_command
from hub.cli.demo.report import Report
from hub.cli.demo.scan import Needles
from hub.cli.output import EXIT_PARTIAL, clip, table
from hub.cli.pull import show_value, statements
from schemas import registry

RECIPIENT: Final = "departement"
SOURCES: Final = ("caf", "cpam", "france_travail", RECIPIENT)
_WITNESS_SECONDS: Final = 20.0
"""How long the demo waits for its witnesses, who answer within seconds."""
AGENTS: Final = ("--agent", "a.martin", "--second-agent", "b.durand")


@dataclass(frozen=True)
class Cast:
    """The département's own numbers for the persons of its `demo` file."""

    maelle: str = "D29-000417"
    leo: str = "D29-000502"
    theo: str = "D29-000503"
    marie_1975: str = "D29-000611"
    marie_1982: str = "D29-000612"
    karim: str = "D29-000730"
    sofia: str = "D29-000731"
    aminata: str = "D29-000844"


SHIPPED: Final = Cast()


def build(base: Path, report: Report) -> Deployment:
    """Make the deployment under ``base``, start it and bring every partner's demo files in."""
    with report.step("Un département, un hub et quatre organismes", "root, hub and four edges, separate processes"):
        deployment = Deployment.create(base, {slug: slug for slug in SOURCES}, witnesses=SOURCES)
        try:
            deployment.start()
            rows = []
            for slug in SOURCES:
                files = [file.path for file in PartnerFolder.load(bundled_directory() / slug).samples("demo")]
                answer = deployment.ingest(slug, files)
                rows.append((slug, ", ".join(file.name for file in files), str(answer["registered"])))
            report.show(table(("organisme", "fichiers, dans leur format", "personnes"), rows))
            report.check(
                all(int(row[2]) > 0 for row in rows), "chaque organisme a annoncé ses personnes, par jetons seulement"
            )
        except BaseException:
            deployment.fleet.__exit__(None, None, None)
            raise
    return deployment


def play(deployment: Deployment, report: Report) -> set[str]:
    """Play the whole story on a deployment that :func:`build` made and that runs; return every value it showed."""
    return _Story(deployment, report).play()


def needles(seen: set[str]) -> Needles:
    """Return what must not be found at the hub: values ``seen`` in dossiers, and all that the demo's files hold."""
    return Needles((seen | _held_by_the_edges()) - _vocabulary())


@dataclass
class _Story:
    deployment: Deployment
    report: Report

    def play(self) -> set[str]:
        seen: set[str] = set()
        record = self._agreement(seen)
        self._other_readers(seen)
        self._one_partner_down()
        self._others(seen)
        self._withdrawal(record)
        self._who_saw_what()
        self._receipt()
        self._nothing_at_the_hub(seen)
        return seen

    def _agreement(self, seen: set[str]) -> str:
        report, maelle = self.report, SHIPPED.maelle
        with report.step("Sans accord : rien", "without agreement, nothing"):
            got = self._pull(maelle, "accompagnement_global", "referent_parcours")
            report.check(got.code == 0 and not _said(got), "la demande est reçue, aucun champ n'est communiqué")
            held_back = set(got.document["dossier"]["withheld"].values())
            report.check("non_communique" in held_back, "chaque champ retenu porte sa raison, la même pour tous")
        with report.step("Maëlle-Anne dit « J'accepte »", "she agrees, in front of two agents"):
            answer = self._consent(
                *("grant", "--person", maelle, "--notice", "accompagnement_global"),
                *_each("--source", SOURCES),
                *("--recipient", "departement:referent_parcours,accueil"),
            )
            report.check(answer.document.get("state") == "granted", "l'accord est enregistré")
            record = str(answer.document.get("record_id"))
        with report.step("Un seul dossier, de quatre organismes", "one dossier, each value with source and date"):
            got = self._pull(maelle, "accompagnement_global", "referent_parcours")
            self._show(got, seen)
            sources = {said["source"] for _, said in _said(got)}
            report.check(sources == set(SOURCES), f"les quatre organismes y sont : {', '.join(sorted(sources))}")
            report.check(all("date_collecte" in said for _, said in _said(got)), "chaque valeur a sa source et sa date")
            absent = [path for path, said in _said(got) if "absence" in said]
            report.check(
                bool(absent) or not got.document["dossier"]["gaps"], f"{len(absent)} absence(s) dites, jamais un zéro"
            )
            report.check(
                "contact.adresse" in got.document["dossier"]["withheld"], "l'adresse, accordée à part, reste tue"
            )
        self.full = {path for path, _ in _said(got)}
        return record

    def _other_readers(self, seen: set[str]) -> None:
        report, maelle = self.report, SHIPPED.maelle
        with report.step("La même demande, par l'accueil", "the same person, seen by the front desk"):
            got = self._pull(maelle, "accompagnement_global", "accueil")
            self._show(got, seen)
            few = {path for path, _ in _said(got)}
            report.check(few < self.full, f"{len(few)} champs au lieu de {len(self.full)}")
        with report.step("Une autre finalité, sans accord mais avec un texte : « On vous informe »", "another purpose"):
            before = self._pull(maelle, "acces_aux_droits", "instructeur")
            report.check(not _said(before), "tant qu'elle n'est pas informée : rien")
            self._consent(
                *("inform", "--person", maelle, "--notice", "acces_aux_droits", *_each("--source", SOURCES)),
                *("--recipient", "departement:instructeur"),
            )
            got = self._pull(maelle, "acces_aux_droits", "instructeur")
            self._show(got, seen)
            texts = {ground["texte"] for ground in got.document["legal"]}
            report.show([f"texte : {text}" for text in sorted(texts)])
            report.check(bool(_said(got)) and bool(texts), "les champs viennent avec le texte qui le permet")

    def _one_partner_down(self) -> None:
        with self.report.step("La CPAM ne répond plus", "a partner is down: partial, and said so"):
            self.deployment.fleet.stop("cpam")
            got = self._pull(SHIPPED.maelle, "accompagnement_global", "referent_parcours")
            gaps = got.document["dossier"]["gaps"]
            self.report.show([f"{gap['source']} : {gap['outcome']}" for gap in gaps])
            self.report.check(got.code == EXIT_PARTIAL, "le dossier est rendu en partie, le code de sortie le dit")
            self.report.check({"source": "cpam", "outcome": "indisponible"} in gaps, "l'organisme manquant est nommé")
            self.report.check({s["source"] for _, s in _said(got)} == set(SOURCES) - {"cpam"}, "le reste est là")
            self.deployment.start("cpam")

    def _others(self, seen: set[str]) -> None:
        report = self.report
        with report.step("Jumeaux, homonymes : personne n'est pris pour un autre", "twins and namesakes never merge"):
            for one, other in ((SHIPPED.leo, SHIPPED.theo), (SHIPPED.marie_1975, SHIPPED.marie_1982)):
                mine, theirs = self._agreed_dossier(one, seen), self._agreed_dossier(other, seen)
                shared = _numbers(mine) & _numbers(theirs)
                report.check(bool(_numbers(mine)) and not shared, f"{one} et {other} : deux personnes, deux dossiers")
        with report.step("Un couple, dont l'une est protégée", "a couple, one of whom is protected"):
            shown = self._agreed_dossier(SHIPPED.sofia, seen, "--field", "*")
            report.check(_has_contact(shown), "Sofia a accepté aussi pour ses coordonnées : elles sont communiquées")
            self._consent("narrow", "--person", SHIPPED.sofia, "--protect", "--remove", "contact.*")
            hidden = self._pull(SHIPPED.sofia, "accompagnement_global", "referent_parcours")
            report.check(
                bool(_said(hidden)) and not _has_contact(hidden), "protégée, elles ne le sont plus, sans le dire"
            )
            withheld = hidden.document["dossier"]["withheld"]
            report.check(
                withheld.get("contact.telephone") == "non_communique", "rien ne distingue ce silence d'un autre"
            )
            karim = self._agreed_dossier(SHIPPED.karim, seen)
            report.check(
                bool(_said(karim)) and not _texts(karim) & _own(hidden), "le dossier de Karim ne dit rien d'elle"
            )
        with report.step(
            "Une date de naissance incomplète : le doute va à un humain", "doubt goes to a person, no merge"
        ):
            got = self._agreed_dossier(SHIPPED.aminata, seen)
            report.check(
                {said["source"] for _, said in _said(got)} == {RECIPIENT}, "aucun autre organisme n'est rattaché"
            )
            waiting = self._reviews()
            report.check(waiting > 0, f"{waiting} rapprochement(s) attendent une décision humaine")

    def _withdrawal(self, record: str) -> None:
        report, maelle = self.report, SHIPPED.maelle
        with report.step("« Je retire mon accord »", "she withdraws"):
            answer = self._consent("withdraw", "--person", maelle, "--record", record)
            report.check(answer.document.get("state") == "revoked", "le retrait est enregistré")
            self.receipt_id = str(answer.document.get("receipt_id"))
            got = self._pull(maelle, "accompagnement_global", "referent_parcours")
            report.check(got.code == 0 and not _said(got), "plus rien n'est communiqué")

    def _who_saw_what(self) -> None:
        with self.report.step("Qui a vu quoi : ce que Maëlle-Anne peut lire", "the person's view of who saw what"):
            arguments = ("access-log", "--home", self._home(), "--view", "usager", "--person", SHIPPED.maelle)
            self.report.command(*arguments)
            rows = run_command(*arguments).document.get("rows", [])
            shown = [
                (
                    row["started_at"][11:19],
                    row["partner"],
                    row["role"] or "–",
                    row["purpose"] or "–",
                    row["outcome"],
                    str(len(row["fields"]["released"])),
                )
                for row in rows
                if row["kind"] in ("decided", "delivered")
            ]
            self.report.show(table(("heure", "service", "fonction", "finalité", "résultat", "champs"), shown), most=16)
            refused = [row for row in rows if row["kind"] == "decided" and not row["fields"]["released"]]
            self.report.check(len(refused) >= 2, f"{len(refused)} demandes sans suite y sont aussi")
            self.report.check(
                all(row["agent"] is None for row in rows), "le service et la fonction, jamais le nom de l'agent"
            )

    def _receipt(self) -> None:
        """Her receipt of the withdrawal, once the witnesses have seen it, checked with the public keys alone."""
        with self.report.step("Le reçu du retrait, vérifié sans le hub", "her receipt, checked offline"):
            receipt, keys = (self.deployment.base / name for name in ("recu.json", "cles.json"))
            run_command("log", "keys", "--home", self._home(), "--out", str(keys))
            self.report.command("verify", receipt.name, "--keys", keys.name)
            end = time.monotonic() + _WITNESS_SECONDS
            while True:
                got = run_command("consent", "receipt", self.receipt_id, "--home", self._home())
                receipt.write_text(json.dumps(got.document), "utf-8")
                checked = run_command("verify", str(receipt), "--keys", str(keys))
                if checked.code != EXIT_PARTIAL or time.monotonic() > end:
                    break
            count = len(checked.document.get("witnesses", []))
            self.report.check(
                checked.code == 0 and count > len(SOURCES) // 2,
                f"le reçu est vrai, et {count} organismes ont contresigné le journal qui le contient",
            )

    def _nothing_at_the_hub(self, seen: set[str]) -> None:
        with self.report.step(
            "Le hub ne sait rien de ce que disent les dossiers", "no value, no trait in the hub's files"
        ):
            wanted = needles(seen)
            at_hub = wanted.in_files(self.deployment.home(HUB))
            logs = wanted.in_files(self.deployment.base / "logs")
            self.report.check(
                len(wanted.values) > 50, f"{len(wanted.values)} valeurs et traits recherchés, sous toutes leurs formes"
            )
            self.report.check(not at_hub, "aucun dans la base du hub, son journal d'écriture, ses clés")
            self.report.check(not logs, "aucun dans les journaux des cinq programmes")

    # --- the commands -------------------------------------------------------------------------------------------

    def _home(self) -> str:
        return str(self.deployment.home(RECIPIENT))

    def _pull(self, person: str, purpose: str, role: str) -> Outcome:
        arguments = ("--person", person, "--purpose", purpose, "--role", role)
        self.report.command("pull", "--home", RECIPIENT, *arguments)
        got = run_command("pull", "--home", self._home(), *arguments, "--agent", "a.martin", "--case", "2026-17")
        if not got.document:
            self.report.check(False, f"la demande n'a pas abouti : {got.error}")
            return Outcome(got.code, {"dossier": {"sections": {}, "gaps": [], "withheld": {}}, "legal": []}, got.error)
        return got

    def _consent(self, verb: str, *arguments: str) -> Outcome:
        self.report.command("consent", verb, "--home", RECIPIENT, *arguments)
        got = run_command("consent", verb, "--home", self._home(), *arguments, *AGENTS)
        self.report.check(got.code == 0, "reçu par le hub" if got.code == 0 else f"refusé : {got.error}")
        return got

    def _agreed_dossier(self, person: str, seen: set[str], *more: str) -> Outcome:
        self._consent(
            *("grant", "--person", person, "--notice", "accompagnement_global"),
            *(*_each("--source", SOURCES), "--recipient", "departement:referent_parcours", *more),
        )
        got = self._pull(person, "accompagnement_global", "referent_parcours")
        seen |= _texts(got)
        return got

    def _show(self, got: Outcome, seen: set[str]) -> None:
        rows = [
            (
                path,
                clip(show_value(said), 60),
                said["source"],
                str(said.get("date_effet") or said["date_collecte"])[:10],
            )
            for path, said in _said(got)
        ]
        self.report.show(table(("champ", "valeur", "source", "au"), rows), most=40)
        seen |= _texts(got)

    def _reviews(self) -> int:
        with sqlite3.connect(f"file:{self.deployment.home(HUB) / 'hub.db'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM review").fetchone()[0])


def _held_by_the_edges() -> set[str]:
    """Return every local id, trait and value of the demo's files, as the mappings read them."""
    held: set[str] = set()
    for slug in SOURCES:
        partner = PartnerFolder.load(bundled_directory() / slug)
        for file in partner.samples("demo"):
            with file.path.open("rb") as stream:
                for found in map_stream(stream, partner.formats[file.format], SystemClock().now()):
                    if isinstance(found, SubjectFragment):
                        said = [statement.get("valeur") for statement in found.fragment["statements"].values()]
                        held |= {found.local_id, *_leaves(found.identity_traits), *_leaves(said)}
    return held


def _vocabulary() -> set[str]:
    """Return the words of the dossier's own nomenclatures: they stand in the product's files and name nobody."""

    def words(node: Any) -> set[str]:
        if isinstance(node, Mapping):
            return {str(each) for each in node.get("enum", [])}.union(*(words(child) for child in node.values()))
        return set().union(*(words(child) for child in node)) if isinstance(node, list) else set()

    return words(registry.schema("dossier")) | set(SOURCES)


def _each(option: str, values: Iterable[str]) -> list[str]:
    return [argument for value in values for argument in (option, value)]


def _said(got: Outcome) -> list[tuple[str, Mapping[str, Any]]]:
    return list(statements(got.document["dossier"]))


def _texts(got: Outcome) -> set[str]:
    return {text for _, said in _said(got) for text in _leaves(said.get("valeur"))}


def _leaves(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [leaf for child in value.values() for leaf in _leaves(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in _leaves(child)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _own(got: Outcome) -> set[str]:
    """What identifies the person of this dossier and nobody else."""
    return {
        text
        for path, said in _said(got)
        if path in ("identite.prenoms", "identite.nom_naissance", "identite.date_naissance")
        for text in _leaves(said.get("valeur"))
        if len(text) > 4
    }


def _numbers(got: Outcome) -> set[str]:
    """The numbers under which partners know the person of this dossier."""
    return {
        text for path, said in _said(got) if path.startswith("identifiants.") for text in _leaves(said.get("valeur"))
    }


def _has_contact(got: Outcome) -> bool:
    return any(path.startswith("contact.") and "valeur" in said for path, said in _said(got))
