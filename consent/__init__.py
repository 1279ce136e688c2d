"""The law of release: who may see which field of whose dossier, why, and until when. Pure.

Nothing here reads a clock, a file or a socket: configuration comes in as bytes, events as parsed payloads, the moment
as ``at``. Shape: DESIGN §5 (consent) and §6 (decision); the tables it is fed are ``config/*.toml``.
"""
