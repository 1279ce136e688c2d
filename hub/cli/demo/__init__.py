"""``maillon demo``: a small département on this machine, with invented persons and real processes."""
