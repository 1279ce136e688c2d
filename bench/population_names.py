"""Names of invented persons, and the share each has: those of ``bench.population``."""

from __future__ import annotations

import bisect
import itertools
import random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_BEGIN = _words(
    "Ba Be Ber Bi Bo Bour Bra Ca Char Che Cla Cou Da Del Do Dra Fa Fer Fou Ga Ger Gi Gra Gui Ha Jo La Lan Le "
    "Ma Mar Mer Mo Na Ni Pa Per Pi Plou Poi Pra Quen Ra Ri Ro Sa Sau Ser Ta The Tou Tri Va Ver Vi"
)
_MIDDLE = _words("ba bi bou can ce chi da de di fo ga gi la le li lo ma me mi mo na ni no pe qui ra ri ro sa ti vi")
_END = _words(
    "bert caud chon court deau din doux fert gnac gny guet land let lier lin min mont nard net quet raud reau rel ret "
    "rier rin sson tard teau tel thier tier tin ton ty val vet vin zac"
)
PARTICLES = _words("Le La Du De Des")
_COMMON = _words(
    "Martin Bernard Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre Leroy Roux David "
    "Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller Lefèvre Faure "
    "Garcia Lopez Martinez Perrin Robin Clément Morin Nicolas Henry Roussel Mathieu Gautier Masson Marchand"
)
ABROAD = {
    "99350": (
        _words("Alaoui Bennani Idrissi Cherkaoui Tazi Berrada"),
        _words("Khadija Fatima Naima"),
        _words("Hassan Driss Youssef"),
    ),
    "99352": (
        _words("Haddad Khelifi Saidi Bouzid Mansouri"),
        _words("Farida Yamina Leila"),
        _words("Karim Mohamed Ahmed"),
    ),
    "99341": (
        _words("Diallo Traore Ndiaye Fall Diop"),
        _words("Aminata Fatou Aissatou"),
        _words("Mamadou Ousmane Ibrahima"),
    ),
    "99139": (
        ("Da Silva", "Pereira", "Dos Santos", "Ferreira"),
        _words("Maria Teresa Rosa"),
        _words("Carlos Manuel Antonio"),
    ),
}
WOMEN = _words(
    "Marie Jeanne Catherine Françoise Monique Sylvie Nathalie Isabelle Sandrine Stéphanie Céline Julie Léa Manon "
    "Emma Chloé Louise Jacqueline Nicole Martine Valérie Sophie Aurélie Élodie Laura Pauline Claire Denise Simone "
    "Michèle Brigitte Christine Annie Dominique Véronique Corinne Patricia Odette Yvette Lucie Alice Juliette "
    "Noémie Mathilde Marion Anaïs Sarah Inès Jade Rose Agathe Élise Solène Gaëlle Maëlle Marie-Anne Marie-Claire "
    "Marie-Laure Anne-Marie Anne-Sophie Béatrice Delphine Virginie Estelle Fabienne Geneviève Huguette Josette Liliane"
)
MEN = _words(
    "Jean Pierre Michel André Philippe Alain Bernard Jacques Daniel Patrick Christian Gérard Claude Nicolas Christophe "
    "Thomas Julien Alexandre Maxime Lucas Hugo Louis Léo Noé Noël Denis Martin Paul Luc Antoine Guillaume Olivier "
    "Éric Laurent Stéphane Pascal Thierry Bruno Didier Marc Serge Roger Marcel René Robert Henri Georges Émile Gabriel "
    "Arthur Jules Adam Raphaël Mathis Clément Romain Benoît Adrien Sébastien Fabrice Yves Yann Gwenaël Jean-Paul "
    "Jean-Pierre Jean-François Jean-Luc Jean-Marie Pierre-Yves Édouard Frédéric Grégoire Honoré Joseph Léon Maurice"
)
ALIKE = (
    ("Louis", "Louise"), ("Léo", "Léa"), ("Martin", "Martine"), ("Michel", "Michèle"), ("Denis", "Denise"),
    ("Julien", "Julie"), ("Noé", "Noël"), ("Marie", "Maria"), ("Luc", "Lucas"), ("Jean-Paul", "Jean-Pierre"),
    ("Marie-Anne", "Marie-Laure"), ("Élise", "Éloïse"), ("Manon", "Marion"), ("Pascal", "Pascale"), ("Simon", "Simone"),
)  # fmt: skip
BY_EAR = (("ph", "f"), ("th", "t"), ("ll", "l"), ("ss", "s"), ("qu", "k"), ("ai", "e"), ("y", "i"), ("eau", "au"))


class Names:
    """Names and their shares: a few hundred common surnames, thousands that few bear, some in no table."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        built: dict[str, None] = {}
        while len(built) < 24_000:
            name = rng.choice(_BEGIN) + (rng.choice(_MIDDLE) if rng.random() < 0.5 else "") + rng.choice(_END)
            if rng.random() < 0.06:
                name = f"{rng.choice(PARTICLES)} {name}"
            built.setdefault(name)
        surnames = [*_COMMON, *built]
        self._surnames = surnames
        self._weights = list(itertools.accumulate(1 / (rank + 60) for rank in range(len(surnames))))
        total = self._weights[-1]
        # The last names are in no table: nobody counted them.
        self.surname_shares = {name: 1 / (rank + 60) / total for rank, name in enumerate(surnames[:18_000])}
        self.given_shares = {name: 1 / (n % 70 + 12) / 6 for n, name in enumerate((*WOMEN, *MEN))}
        # A table of given names has most of them, not all: Éloïse is in none.
        self.given_shares |= dict.fromkeys((name for pair in ALIKE for name in pair if name != "Éloïse"), 0.002)

    def surname(self) -> str:
        return self._surnames[bisect.bisect(self._weights, self._rng.random() * self._weights[-1])]

    def common_surname(self) -> str:
        return self._surnames[int(self._rng.random() ** 2 * 900)]

    def given(self, sex: str) -> str:
        names = WOMEN if sex == "F" else MEN
        return names[int(self._rng.random() ** 1.6 * len(names))]
