"""What a verification says to a person, in French and in English. No cryptographer's word, no value of the record."""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["fr", "en"]
Sentence = tuple[str, str]
"""The French, then the English."""

_NO_RECEIPT: Final = (
    "Ce fichier n’est pas un reçu Maillon, ou il est abîmé.",
    "This file is no Maillon receipt, or it is damaged.",
)
_LOG: Final = (
    "Le journal n’est pas signé par la clé attendue : cette preuve ne vient pas de lui.",
    "The log is not signed by the expected key: this proof is not from it.",
)
_PATH: Final = (
    "L’événement n’est pas dans le journal à la place indiquée : le reçu ou le journal a été modifié.",
    "The event is not in the log at the place stated: the receipt or the log was altered.",
)
_PROOF_FORM: Final = (
    "La preuve jointe est abîmée : elle ne se lit pas comme prévu.",
    "The proof inside is damaged: it does not read as it should.",
)
_PLACE: Final = (
    "L’événement ne suit pas celui d’avant : l’un des deux a été remplacé, modifié, ou vient d’une autre personne.",
    "The event does not follow the one before: one of the two was replaced, altered, or is another person’s.",
)
_RECORD: Final = (
    "L’enregistrement n’est pas celui que l’organisme a signé : il a été modifié.",
    "The record is not the one the organisation signed: it was altered.",
)
REASONS: Final[dict[str, Sentence]] = {
    "receipt_form": (
        "Ce fichier n’est pas un reçu Maillon, ou il est abîmé.",
        "This file is no Maillon receipt, or it is damaged.",
    ),
    "link": (
        "Ce fichier n’est pas un reçu Maillon, ou il est abîmé.",
        "This file is no Maillon receipt, or it is damaged.",
    ),
    "record_form": _RECORD,
    "record_signature": _RECORD,
    "collector_unknown": (
        "L’organisme qui aurait recueilli l’accord n’est pas dans la liste des clés fournie.",
        "The organisation said to have collected this is not in the keys you gave.",
    ),
    "certificate": (
        "La clé qui a signé l’enregistrement n’est pas reconnue par l’organisme.",
        "The key that signed the record is not vouched for by the organisation.",
    ),
    "notice": (
        "L’empreinte du texte présenté n’est pas celle que l’enregistrement signé contient.",
        "The digest of the text shown is not the one in the signed record.",
    ),
    "record_time": (
        "L’heure inscrite au journal ne va pas avec celle de la signature de l’organisme.",
        "The time in the log does not go with that of the organisation’s signature.",
    ),
    "origin": ("Cette preuve vient d’un autre journal.", "This proof is from another log."),
    "unsigned": _LOG,
    "log_signature": _LOG,
    "signature": (
        "Une signature du journal ou d’un témoin est fausse.",
        "A signature of the log or of a witness is false.",
    ),
    "quorum": (
        "Trop peu de témoins ont vu cet état du journal.",
        "Too few witnesses have seen this state of the log.",
    ),
    "person_form": (
        "Ce fichier n’est pas la copie d’un historique Maillon, ou il est abîmé.",
        "This file is no copy of a Maillon history, or it is damaged.",
    ),
    "gap": (
        "Il manque un événement à cette place, et le journal ne dit pas l’avoir retiré.",
        "An event is missing at this place, and the log does not say that it removed it.",
    ),
    "order": _PLACE,
    "chain": _PLACE,
    "head": (
        "La fin manque : le dernier événement doit être la lecture du journal qui a produit cette copie.",
        "The end is missing: the last event has to be the reading of the log that made this copy.",
    ),
    "heads": (
        "Une autre suite d’événements de la même personne manque, ou n’est pas entière.",
        "Another chain of events of the same person is missing, or is not whole.",
    ),
    "removal": (
        "L’effacement annoncé n’est pas celui que le journal a inscrit.",
        "The removal claimed is not the one the log holds.",
    ),
    "root": _PATH,
    "index": _PATH,
    "proof_length": _PATH,
}
DAMAGED: Final = _PROOF_FORM
"""For every other code: something in the proof does not read."""

PROVES: Final[dict[str, Sentence]] = {
    "record": (
        "L’organisme « {collector} » a signé cet enregistrement, et personne ne l’a modifié depuis.",
        "The organisation “{collector}” signed this record, and nobody has altered it since.",
    ),
    "notice": (
        "Le texte présenté est celui dont l’empreinte SHA-256 est {notice}.",
        "The text shown is the one whose SHA-256 digest is {notice}.",
    ),
    "logged": (
        "Il est inscrit à la place {index} du journal « {origin} », à la date du {at}, parmi {size} événements.",
        "It stands at place {index} of the log “{origin}”, dated {at}, among {size} events.",
    ),
    "witnessed": (
        "{count} témoin(s) de votre liste ont vu cet état du journal, au plus tard le {until} : {names}.",
        "{count} witness(es) on your list saw this state of the log, {until} at the latest: {names}.",
    ),
}
DOES_NOT_PROVE: Final[dict[str, Sentence]] = {
    "still_valid": (
        "Que cet accord ou ce choix vaut encore : un événement plus récent a pu le changer.",
        "That this agreement or choice still holds: a later event may have changed it.",
    ),
    "who": (
        "De qui il s’agit : le reçu ne contient ni nom ni numéro.",
        "Who it is about: the receipt holds no name and no number.",
    ),
    "said": (
        "Que la personne l’a bien dit : c’est l’organisme qui l’atteste, avec la preuve notée dans l’enregistrement.",
        "That the person said so: the organisation attests it, on the evidence noted in the record.",
    ),
    "used": (
        "Qui a consulté quoi : c’est l’historique des accès qui le dit.",
        "Who has consulted what: the access history says that.",
    ),
    "one_log": (
        "Que tout le monde voit le même journal : aucun témoin ne l’a contresigné. Comparez-le à un autre exemplaire.",
        "That everyone sees the same log: no witness has countersigned it. Compare it with another copy.",
    ),
}

PERSON_PLACE: Final[Sentence] = ("Suite {chain}, événement {n} : ", "Chain {chain}, event {n}: ")
"""Where a person's copy is wrong, before the reason."""
PERSON_PROVES: Final[dict[str, Sentence]] = {
    "whole": (
        "Ses {count} événements se suivent depuis le premier, jusqu’à la lecture du {at} qui a produit cette copie : "
        "aucun n’a été ôté, ajouté ni changé de place.",
        "Its {count} events follow one another from the first to the reading of {at} that made this copy: "
        "none was taken out, added or moved.",
    ),
    "logged": (
        "Chacun est inscrit au journal « {origin} », parmi {size} événements.",
        "Each stands in the log “{origin}”, among {size} events.",
    ),
    "removed": (
        "Les événements {first} à {last} ont existé ; leur contenu a été effacé au terme prévu, le {at}, "
        "et le journal le dit.",
        "Events {first} to {last} existed; their content was removed when its time was over, on {at}, "
        "and the log says so.",
    ),
    "erased": (
        "Les événements {first} à {last} ont existé ; c’étaient ceux d’une autre personne, effacés avec elle le {at}, "
        "comme le journal le dit.",
        "Events {first} to {last} existed; they were another person’s, removed with hers on {at}, as the log says.",
    ),
    "closed": (
        "{count} événement(s) sont à leur place mais ne sont pas ouverts ici : demandez au délégué à la protection "
        "des données.",
        "{count} event(s) are in their place and are not opened here: ask the data protection officer.",
    ),
}
PERSON_DOES_NOT_PROVE: Final[dict[str, Sentence]] = {
    "later": (
        "Ce qui s’est passé depuis : une copie plus récente le dirait.",
        "What has happened since: a later copy would tell.",
    ),
    "who": (
        "De qui il s’agit : la copie ne contient ni nom ni numéro.",
        "Who it is about: the copy holds no name and no number.",
    ),
    "true": (
        "Que ce que les organismes ont inscrit est vrai : seulement que personne ne l’a changé depuis.",
        "That what organisations wrote down is true: only that nobody has changed it since.",
    ),
    "removed": (
        "Ce que disaient les événements effacés.",
        "What the removed events said.",
    ),
    "elsewhere": (
        "Que les {elsewhere} événement(s) pris dans la suite d’une autre personne, confondue avec celle-ci, "
        "y soient tous.",
        "That the {elsewhere} event(s) taken from the chain of another person, once mistaken for this one, are all.",
    ),
    "unchecked": (
        "Que {unchecked} choix ont été signés par leur organisme : sa clé n’est pas dans la liste fournie.",
        "That {unchecked} choice(s) were signed by their organisation: its key is not in the keys you gave.",
    ),
    "one_log": DOES_NOT_PROVE["one_log"],
}


def reason(code: str, language: Language) -> str:
    """Return in plain words why something is refused, for a ``LedgerError.code``."""
    return say(REASONS.get(code, DAMAGED), language)


def say(sentence: Sentence, language: Language, **values: object) -> str:
    """Return ``sentence`` in ``language``, its places filled with ``values``."""
    return sentence[0 if language == "fr" else 1].format(**values)
