"""The hub: who holds what, who may see it, who saw it; never what it says."""
