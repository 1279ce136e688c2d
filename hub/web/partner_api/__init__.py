"""The HTTP operations of ``docs/protocol.md``."""
