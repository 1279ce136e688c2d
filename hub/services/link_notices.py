"""What a partner reads of corrected links: requests that brought somebody else's data, refs to ask for again."""

from __future__ import annotations

from typing import Any

from connectors.kit.runtime.clock import instant
from hub.keyring import Keyring
from hub.services.pseudonyms import ref_known
from hub.store.link_notices import StoredNotice
from hub.store.session import UnitOfWork


def search(uow: UnitOfWork, keyring: Keyring, slug: str, limit: int, after: str | None) -> dict[str, Any]:
    """Return ``{notices, next}`` for ``slug`` (schema ``link_notices``), oldest first."""
    found = uow.notices.of(slug, limit, after)
    secrets = uow.secrets.refs({each.notice.secret_of for each in found if each.notice.secret_of is not None})

    def shown(stored: StoredNotice) -> dict[str, Any]:
        notice, secret_of = stored.notice, stored.notice.secret_of
        ref = ref_known(uow, keyring, slug, secrets[secret_of]) if secret_of in secrets else None
        return {
            "notice_id": stored.notice_id,
            "at": instant(stored.at),
            "kind": notice.kind.value,
            "trace_id": notice.trace_id,
            "source": notice.source,
            "delivered_at": None if notice.delivered_at is None else instant(notice.delivered_at),
            "fields": list(stored.fields),
            "is_certain": notice.is_certain,
            "ref": ref,
        }

    return {"notices": [shown(each) for each in found], "next": found[-1].notice_id if len(found) == limit else None}
