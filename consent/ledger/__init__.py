"""The log of every event, as mathematics: leaves, tree, tiles, signed checkpoints, witnesses, proofs. Pure.

RFC 6962 and 9162 for the tree; C2SP tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature, tlog-witness and
tlog-proof for what travels. Nothing here reads a clock, a file or a socket (DESIGN §8); :class:`LedgerError` is the
only exception that bad input raises.
"""
