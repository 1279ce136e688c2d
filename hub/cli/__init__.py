"""The ``maillon`` command: one module a family of commands, nothing but reading arguments and printing answers."""
