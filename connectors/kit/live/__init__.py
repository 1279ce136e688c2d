"""Asking a partner's API: about one person when an order comes (``docs/edge.md``), or for its feed now and then."""
