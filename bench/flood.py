"""A crowd: 100,000 records of one name and one birth date, registered for real. Linked to nobody, in time and memory
that do not grow with how many there are already.

Through the hub's own HTTP face, in requests of 500, with the log: what a source that wrote one name into every row
would send. Timed by tenths, so that growth shows; memory is the process's greatest.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

from bench.harness import Result, Say, Scale, figure_of
from connectors.kit.identity import parse_identity
from connectors.kit.tokens import HmacTokeniser, tokens_of
from hub.app import close_hub
from tests.hub.conftest import World, record_key

_REQUEST = 500
_TENTHS = 10
_TRAITS = {"nom_naissance": "MARTIN", "prenoms": ["Marie"], "sexe": "F", "date_naissance": "1980-01-15"}


def run(scale: Scale, say: Say) -> Result:
    """Register 100,000 records (``--quick``: 5,000)."""
    size = 100_000 if len(scale.persons) > 2 else 5_000
    with tempfile.TemporaryDirectory(prefix="maillon-flood-") as folder:
        world = World(Path(folder), registrations_per_hour=10**9)
        made = tokens_of(parse_identity(_TRAITS), HmacTokeniser(bytes(32), 1)).to_wire()
        began, rates, memory = time.monotonic(), [], []
        for tenth in range(_TENTHS):
            start = time.process_time()
            for first in range(tenth * size // _TENTHS, (tenth + 1) * size // _TENTHS, _REQUEST):
                batch = [{"record_key": record_key(first + n), "sections": [], **made} for n in range(_REQUEST)]
                world.ok("caf", "/v1/registrations", {"records": batch})
            rates.append(size / _TENTHS / (time.process_time() - start))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            say(f"{(tenth + 1) * size // _TENTHS:,}: {rates[-1]:,.0f}/s, {memory[-1]:.0f} MB")
        stats = world.client.get(
            "/v1/index/stats", headers={"Authorization": f"Bearer {world.token('dpo')}"}
        ).get_json()
        written = sum(file.stat().st_size for file in world.home.path.glob("*.db*")) / 1e6
        close_hub(world.hub)
    seconds = time.monotonic() - began
    return Result(
        (figure_of("a record of the last tenth beside the first", [(rates[-1], rates[0])], "one name and one date"),),
        "linear time, bounded memory, nobody merged",
        f"{size:,} records in {seconds:.0f} s, {memory[0]:.0f} MB after the first tenth and {memory[-1]:.0f} MB at the "
        f"end, {written:.0f} MB on disk; {stats['persons']:,} persons, {stats['floods']:,} of them marked as a crowd, "
        f"{sum(stats['reviews'].values()):,} doubts.",
        "the same as for any new person: its rows, keys, and event.",
    )
