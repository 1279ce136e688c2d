"""What the hub does: verbs ``f(uow, …)`` that never commit, and the release protocol that calls them in turn."""
