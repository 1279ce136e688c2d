"""Why a trait was set aside: stable codes, shown beside the trait's name, never with its value."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A trait that gives no token (or, for a NIR, a weaker one), and why. French, as the reader of them is."""

    ABSENT = "absent"
    PLACEHOLDER = "valeur_de_remplissage"
    """``X``, ``INCONNU``, ``NON RENSEIGNE``…: the source had to write something."""
    ONE_LETTER = "une_lettre"
    NOT_LATIN = "lettre_non_latine"
    DIGITS = "chiffre"
    TOO_MANY = "trop_nombreux"
    FORMAT = "format"
    """Not a form this trait is known to take."""
    IMPOSSIBLE = "impossible"
    """A date of no calendar, such as 31 June."""
    OUT_OF_RANGE = "hors_bornes"
    """A birth year before 1850."""
    FUTURE = "futur"
    LENGTH = "longueur"
    """A NIR of neither 13 nor 15 characters."""
    LETTERS = "lettres"
    """A NIR with letters elsewhere than ``2A`` or ``2B`` as its département."""
    KEY = "cle"
    """A NIR whose key is not ``97 - (n mod 97)``."""
    FICTITIOUS = "fictif"
    """A NIR no register gives: first digit 0, 5, 6 or 9, month of no known code, rank 000, one digit repeated."""
    PROVISIONAL = "provisoire"
    """A waiting number (first digit 3, 4, 7 or 8): kept, but never proof by itself."""
    SEX_MISMATCH = "sexe_different"
    YEAR_MISMATCH = "annee_differente"
    MONTH_MISMATCH = "mois_different"
    PLACE_MISMATCH = "lieu_different"
    CONTRADICTORY = "contradictoire"
    """A French birthplace and a foreign birth country."""
