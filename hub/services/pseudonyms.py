"""What a partner calls a person: its own ref, which means the person of *its* record, whatever was joined or split.

A ref is made by the secret of a person, as a rule the one it means. When two persons turn out to be one, or one to be
two, the refs partners have stay, and so does the secret that makes each (``person_ref.secret_of``).
"""

from __future__ import annotations

from collections.abc import Collection

from connectors.kit.runtime.ids import PersonId, Ref, new_uuid
from hub.keyring import Keyring
from hub.store.persons import RefRow
from hub.store.session import UnitOfWork


def refs_at(uow: UnitOfWork, keyring: Keyring, slug: str, persons: Collection[PersonId]) -> dict[PersonId, Ref]:
    """Return the ref of each of ``persons`` at ``slug``: the one its edge has, or a new one. The writer's thread only.

    While new refs wait to be taken, who had an old one keeps it; whoever is new gets a new one at once.
    """
    wanted = set(persons)
    if not wanted:
        return {}
    used, newest = keyring.epochs.used(slug), keyring.epochs.newest(slug)
    made_by = uow.persons.ref_secrets(slug, used, wanted)
    epochs = dict.fromkeys(made_by, used)
    if newest != used:
        made_by |= uow.persons.ref_secrets(slug, newest, wanted - set(made_by))
    new = sorted(wanted - set(made_by))
    secrets = uow.secrets.refs({*made_by.values(), *new})
    rows = []
    lookups = {person: keyring.ref_lookup(slug, keyring.ref(slug, secrets[person], newest)) for person in new}
    taken = uow.persons.meant_by(lookups.values()) if new else {}
    for person, lookup in lookups.items():
        made_by[person] = person
        if taken.get(lookup, person) != person:
            # The ref this secret makes went with a record that was somebody else's.
            made_by[person] = PersonId(new_uuid())
            secrets |= uow.secrets.create([made_by[person]])
            lookup = keyring.ref_lookup(slug, keyring.ref(slug, secrets[made_by[person]], newest))
        rows.append(RefRow(person, slug, newest, lookup, made_by[person]))
    uow.persons.add_refs(rows)
    return {
        person: keyring.ref(slug, secrets[secret], epochs.get(person, newest)) for person, secret in made_by.items()
    }


def ref_known(uow: UnitOfWork, keyring: Keyring, slug: str, s_ref: bytes) -> Ref:
    """Return the ref that ``s_ref`` makes at ``slug`` as its edge knows it."""
    ref = keyring.ref(slug, s_ref)
    is_there = uow.persons.by_ref(slug, keyring.ref_lookup(slug, ref)) is not None
    return ref if is_there else keyring.ref(slug, s_ref, keyring.epochs.newest(slug))
