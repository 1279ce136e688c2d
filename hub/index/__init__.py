"""The pseudonymised index: match rules on keyed tokens. Pure, standard library only."""
