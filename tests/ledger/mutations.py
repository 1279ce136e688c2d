# ruff: noqa: E501  (a table: one line a mutation)
"""The checks of the ledger broken by hand, one at a time: each must turn a test red.

``python -m tests.ledger.mutations`` runs them all and prints the page ``tests/ledger/MUTATIONS.md``.
"""

from __future__ import annotations

import sys

from tests.consent.mutations import Mutation, page

TITLE = "Checks of the ledger broken by hand"
MUTATIONS = (
    # exact
    Mutation("a leading zero is read", "ledger/exact", "0|[1-9][0-9]{0,18}", "[0-9]{1,19}", "checkpoint"),
    Mutation("a plus sign is read", "ledger/exact", 'r"0|', 'r"\\+?0|\\+?', "checkpoint"),
    Mutation("a size has no bound", "ledger/exact", " or int(text) > most", "", "tile"),
    Mutation("base64 has many spellings", "ledger/exact", "to_base64(data) != text or ", "", "checkpoint"),
    Mutation("a hash in base64 has any length", "ledger/exact", "or (length is not None and len(data) != length)", "", "witness"),
    Mutation("a hash has any length", "ledger/exact", " or len(value) != HASH_BYTES", "", "merkle"),
    # leaf
    Mutation("a longer leaf is read", "ledger/leaf", "len(data) != LEAF_BYTES", "len(data) < LEAF_BYTES", "leaf"),
    Mutation("a leaf has any tag", "ledger/leaf", "if tag != TAG:", "if False:", "leaf"),
    Mutation("a commitment has no domain", "ledger/leaf", "hashlib.sha256(TAG + r32 + payload)", "hashlib.sha256(r32 + payload)", "leaf"),
    Mutation("a salt has any length", "ledger/leaf", "if len(r32) != SALT_BYTES:", "if False:", "leaf"),
    Mutation("two classes change places", "ledger/leaf", "EventClass.ERASURE: 3", "EventClass.ERASURE: 8", "leaf"),
    # merkle
    Mutation("a leaf hashes like a node", "ledger/merkle", 'sha256(b"\\x00" + data)', 'sha256(b"\\x01" + data)', "leaf"),
    Mutation("a node hashes like a leaf", "ledger/merkle", 'sha256(b"\\x01" + left', 'sha256(b"\\x00" + left', "merkle"),
    Mutation("an index beyond the tree is read", "ledger/merkle", 'check_size(index, "index", size - 1)\n    _check', 'check_size(index, "index")\n    _check', "merkle"),
    Mutation("an inclusion proof may go on", "ledger/merkle", 'for sibling in proof:\n        if last == 0:\n            raise LedgerError("proof_length")', "for sibling in proof:", "merkle"),
    Mutation("an inclusion proof may stop", "ledger/merkle", "if last:\n        raise LedgerError(\"proof_length\")\n    if not hmac.compare_digest(top", "if not hmac.compare_digest(top", "merkle"),
    Mutation("the root is not compared", "ledger/merkle", "if not hmac.compare_digest(top, root):", "if False:", "merkle"),
    Mutation("the right edge is not seen", "ledger/merkle", "if node & 1 or node == last:\n            top", "if node & 1:\n            top", "merkle"),
    Mutation("the old root is not compared", "ledger/merkle", "if not hmac.compare_digest(before, old_root):", "if False:", "merkle"),
    Mutation("the new root is not compared", "ledger/merkle", "if not hmac.compare_digest(after, new_root):", "if False:", "merkle"),
    Mutation("a consistency proof may go on", "ledger/merkle", 'for each in path[1:]:\n        if last == 0:\n            raise LedgerError("proof_length")', "for each in path[1:]:", "merkle"),
    Mutation("a consistency proof may stop", "ledger/merkle", 'if last:\n        raise LedgerError("proof_length")\n    if not hmac.compare_digest(before', "if not hmac.compare_digest(before", "merkle"),
    Mutation("one size may have two roots", "ledger/merkle", "if old_root != new_root or", "if", "merkle"),
    Mutation("one size may have a proof", "ledger/merkle", 'if proof:\n            raise LedgerError("proof_length")\n        if old_root', "if old_root", "merkle"),
    Mutation("nothing proves anything", "ledger/merkle", 'if old == 0:\n        raise LedgerError("size")', "if old == 0:\n        return", "merkle"),
    Mutation("nothing grows with a proof", "ledger/merkle", 'if proof:\n        raise LedgerError("proof_length")\n    if old_root', "if old_root", "merkle"),
    Mutation("nothing has any root", "ledger/merkle", 'if old_root != EMPTY_ROOT:\n        raise LedgerError("old_root")', "pass", "merkle"),
    # tile
    Mutation("a tile has several addresses", "ledger/tile", "or tile.path != path", "", "tile"),
    Mutation("a bundle may be cut", "ledger/tile", "start > len(data) or end > len(data)", "False", "tile"),
    Mutation("a bundle may miss an entry", "ledger/tile", "if len(entries) != width:", "if False:", "tile"),
    Mutation("a tile may be short", "ledger/tile", "if len(data) != tile.width * HASH_BYTES:", "if False:", "tile"),
    Mutation("a partial tile is hashed upward", "ledger/tile", "return count == WIDTH,", "return count >= WIDTH - 1,", "tile"),
    Mutation("anything is appended", "ledger/tile", "if any(len(each) != HASH_BYTES for each in leaf_hashes):", "if False:", "tile"),
    # note
    Mutation("a false signature passes", "ledger/note", "except (InvalidSignature, ValueError):\n            raise", "except InvalidSignature:\n            pass\n        except ValueError:\n            raise", "note"),
    Mutation("an unsigned note is read", "ledger/note", "if not found:", "if False:", "note"),
    Mutation("only the first signature of a key is verified", "ledger/note", "if signer is not None:", "if signer is not None and signer not in found:", "note"),
    Mutation("a signature twice counts twice", "ledger/note", "return tuple(found.values())", "return tuple(found.values()) * 2", "note"),
    Mutation("a name alone makes the key", "ledger/note", "known.get((name, key_id))", "next((k for (n, _), k in known.items() if n == name), None)", "note"),
    Mutation("two keys of one id pass", "ledger/note", "if known.setdefault((key.name, key.key_id), key) != key:", "if False and known.setdefault((key.name, key.key_id), key):", "note"),
    Mutation("carriage returns pass", "ledger/note", "or not _is_clean(whole)", "", "note"),
    Mutation("a note ends anywhere", "ledger/note", 'lines.pop() != ""', "lines.pop() is None", "note"),
    Mutation("a note has any size", "ledger/note", "if len(note) > MAX_NOTE:", "if False:", "note"),
    Mutation("a note has any number of signatures", "ledger/note", "not 0 < len(lines) <= MAX_SIGNATURES", "not lines", "note"),
    Mutation("a key's text has many spellings", "ledger/note", "if key.vkey != vkey:", "if False:", "note"),
    Mutation("a name has spaces", "ledger/note", "each.isspace() or ", "", "note"),
    Mutation("the time is not signed", "ledger/note", 'f"cosignature/v1\\ntime {time}\\n"', '"cosignature/v1\\ntime 0\\n"', "note"),
    Mutation("a log's key cosigns", "ledger/note", "(time is None) is (self.type is KeyType.COSIGNATURE_V1) or ", "", "note"),
    # checkpoint, proof
    Mutation("an empty extension line passes", "ledger/checkpoint", "(self.origin, *self.extensions)", "(self.origin,)", "checkpoint"),
    Mutation("another name signs", "ledger/checkpoint", "signer.name != checkpoint.origin or ", "", "checkpoint"),
    Mutation("another log is believed", "ledger/proof", "if signed.checkpoint.origin != self.origin:", "if False:", "proof"),
    Mutation("witnesses are the log", "ledger/proof", "if not signed.signed_by(self.log_keys):", "if False:", "proof"),
    Mutation("no quorum is needed", "ledger/proof", "< self.quorum:", "< 0:", "proof"),
    Mutation("half is a quorum", "ledger/proof", "2 * quorum <= witnesses + faulty", "2 * quorum < witnesses + faulty", "proof"),
    Mutation("one key is two witnesses", "ledger/proof", "len(distinct) != len(self.witnesses) + len(self.log_keys) or ", "", "proof"),
    Mutation("the path is not followed", "ledger/proof", "        verify_inclusion(", "        (lambda *_: None)(", "proof"),
    # witness, fork
    Mutation("a witness forgets where it was", "ledger/witness", "if request.old_size != state.size:", "if False:", "witness"),
    Mutation("a witness does not follow the proof", "ledger/witness", "        verify_growth(", "        (lambda *_: None)(", "witness"),
    Mutation("a witness cosigns a stranger's log", "ledger/witness", 'if text.partition(b"\\n")[0] != state.origin.encode():', "if False:", "witness"),
    Mutation("two trees of one size are no fork", "ledger/witness", "if new.size == state.size and new.root != state.root:", "if False:", "witness"),
    Mutation("a shrinking request is a stale one", "ledger/witness", "if request.old_size > new.size:", "if False:", "witness"),
    Mutation("an honest log is a fork", "ledger/fork", "if left.leaf_hash == right.leaf_hash:", "if False:", "fork"),
    Mutation("a fork needs no proof", "ledger/fork", "        verify_inclusion(self.index, other.size", "        (lambda *_: None)(self.index, other.size", "fork"),
    Mutation("two logs are one", "ledger/fork", "if one.origin != other.origin:", "if False:", "fork"),
    Mutation("a witness can accuse", "ledger/fork", "if key.type is KeyType.ED25519]", "]", "fork"),
    # keys, replay
    Mutation("a key signs before it comes", "ledger/keychange", "self.introduced < size", "self.introduced <= size", "keychange"),
    Mutation("a key signs its own retirement", "ledger/keychange", "size <= self.retired", "size <= self.retired + 1", "keychange"),
    Mutation("the last key retires", "ledger/keychange", " or len(signing) < 2", "", "keychange"),
    Mutation("a key takes another name", "ledger/keychange", "key.name != self.origin or ", "", "keychange"),
    Mutation("one signer is enough in the overlap", "ledger/replay", "< len(keys):", "< 1:", "replay"),
    Mutation("the tree is not compared", "ledger/replay", "if signed.checkpoint.root != self.tree.root():", "if False:", "replay"),
    Mutation("a leaf may be back-dated", "ledger/replay", "elif at_us < self.latest - self.skew_us:", "elif False:", "replay"),
    Mutation("a leaf may stand twice", "ledger/replay", "if event_id in self.seen:", "if False:", "replay"),
    Mutation("a log may be cut", "ledger/replay", "if not self._take(min(_BATCH, size - self.tree.size)):\n                    raise _Found(Fault(\"truncated\", self.tree.size, size))", "if not self._take(min(_BATCH, size - self.tree.size)):\n                    break", "replay"),
    Mutation("leaves may go unsigned", "ledger/replay", "if self._take(1):", "if False:", "replay"),
    Mutation("checkpoints may go back", "ledger/replay", "if size < self.tree.size:", "if False:", "replay"),
    Mutation("a key change is not committed to", "ledger/replay", " or commitment(reveal.r32, reveal.payload) != bound", "", "replay"),
    Mutation("a cosignature may come first", "ledger/replay", "+ self.skew_us < self.latest:", "< -1:", "replay"),
    Mutation("a new key need not say who signed before", "ledger/keychange", "if change.before != self.at(index):", "if False:", "keychange"),
    # a person's copy
    Mutation("an event need not be in the log", "ledger/person_check", "verify_inclusion(event.index, self.size, hashed, event.path, self.root)", "pass", "person"),
    Mutation("an event may be missing", "ledger/person_check", "if link.n > n + 1:", "if False:", "person"),
    Mutation("an event may be there twice", "ledger/person_check", "link.n <= n:", "link.n < 1:", "person"),
    Mutation("another person's event follows", "ledger/person_check", "if link.prev != before:", "if False:", "person"),
    Mutation("the end may be cut off", "ledger/person_check", "!= (READ, VIEW):", "== 0:", "person"),
    Mutation("any event is the reading", "ledger/person_check", "last is None or last.leaf.event_class is not EventClass.ACCESS:", "last is None:", "person"),
    Mutation("a former person's chain may be missing", "ledger/person_check", "if heads != [", "if False and heads != [", "person"),
    Mutation("a gap reaches as far as it likes", "ledger/person_check", "if each not in removed]", "if False]", "person"),
    Mutation("a closed event hides others", "ledger/person_check", "if closed.n != closed.first:", "if False:", "person"),
    Mutation("a closed event skips others", "ledger/person_check", "closed.first != expected or ", "", "person"),
    Mutation("a removal took whatever is closed", "ledger/person_check", "if not by.took(closed.event):", "if False:", "person"),
    Mutation("a removal came before", "ledger/person", "event.index < self.event.index and ", "", "person"),
    Mutation("a removal names other events", "ledger/person", ' or member(event.body, "emptied") != named', "", "person"),
    Mutation("any event is an erasure", "ledger/person", "if erasure.leaf.event_class is not EventClass.ERASURE:", "if False:", "person"),
    Mutation("an agreement's signature is not judged", "ledger/person_check", "        if error.code not in _UNCHECKED:\n            raise\n", "", "person"),
    # records and receipts
    Mutation("any algorithm signs a record", "ledger/jws", '{"alg": "Ed25519", "typ": typ}', '{"alg": members.get("alg"), "typ": typ}', "jws"),
    Mutation("any message is a record", "ledger/jws", '{"alg": "Ed25519", "typ": typ}', '{"alg": "Ed25519", "typ": members.get("typ")}', "jws"),
    Mutation("a record's signature is not verified", "ledger/jws", "except (InvalidSignature, ValueError):\n            raise LedgerError(code) from None", "except (InvalidSignature, ValueError):\n            pass", "jws"),
    Mutation("a certificate serves another partner", "ledger/jws", ' or said["slug"] != slug', "", "jws"),
    Mutation("a certificate lives long", "ledger/jws", "not 0 < expires - issued <= _CERTIFICATE_SECONDS", "not 0 < expires - issued", "jws"),
    Mutation("anyone's certificate will do", "ledger/jws", 'certificate.check(signer, "certificate")', "pass", "jws"),
    Mutation("a member may be said twice", "ledger/jws", "if len(members) != len(pairs):", "if False:", "jws"),
    Mutation("every partner collects", "ledger/jws", 'if partner.get("can_collect") is True:', "if True:", "jws"),
    Mutation("the root need not sign", "ledger/jws", 'read.check(public_key(root, "directory"), "directory")', 'public_key(root, "directory")', "jws"),
    Mutation("the text shown is not compared", "ledger/verify", 'if receipt.notice_sha256 != (notice.get("sha256") if isinstance(notice, Mapping) else None):', "if False:", "verify"),
    Mutation("the log's time is free", "ledger/verify", "if not collected.issued * 1_000_000 - _CLOCK_SKEW_US <= at < collected.expires * 1_000_000:", "if False:", "verify"),
    Mutation("logged before it was said", "ledger/verify", 'if _said_at(collected.payload.get("at")) > at + _CLOCK_SKEW_US:', "if False:", "verify"),
    Mutation("the record is not opened", "ledger/verify", "collected = open_record(read.record, keys.collectors)\n", 'collected = Collected(dict(receipt["record"]["payload"]), "departement", 0, 2**40)\n', "verify"),
    Mutation("a new key need not sign", "ledger/verify", "if said.action is Action.INTRODUCE and not signed.signed_by({said.key}):", "if False:", "trusted_keys"),
    Mutation("a key introduces itself", "ledger/verify", "if not signed.signed_by(self.history.at(size) - {said.key}):", "if False:", "trusted_keys"),
    Mutation("keys count for every tree", "ledger/verify", "self.history.at(size), self.witnesses", "frozenset(s.key for s in self.history.spans), self.witnesses", "trusted_keys"),
    Mutation("a receipt's members are free", "ledger/receipt", "set(value) != _MEMBERS or ", "", "verify"),
    Mutation("a bomb unfolds", "ledger/receipt", "inflater.decompress(packed, MAX_RECORD)", "inflater.decompress(packed)", "verify"),
    Mutation("a false receipt proves something", "ledger/verify", "if self.code is not None:\n            return []", "if False:\n            return []", "verify"),
    Mutation("no witness goes unsaid", "ledger/verify", 'if name != "one_log" or not self.quorum', 'if name != "one_log"', "verify"),
)  # fmt: skip

if __name__ == "__main__":
    sys.stdout.write(page(TITLE, "ledger", MUTATIONS))
