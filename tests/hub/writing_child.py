"""Run by ``test_durability`` as a process of its own: sends consent events from several threads and prints what the
hub acknowledged, one record id a line. It is killed in the middle of it."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from connectors.kit.runtime.clock import FakeClock
from hub.app import create_app
from hub.settings import load_settings


def main(home: str, events: str, token: str) -> None:
    app = create_app(load_settings(Path(home), {}), clock=FakeClock())
    bodies = json.loads(Path(events).read_text())
    said = threading.Lock()

    def send(mine: list[dict[str, str]]) -> None:
        for body in mine:
            answer = app.test_client().post("/v1/consents", json=body, headers={"Authorization": f"Bearer {token}"})
            with said:
                sys.stdout.write(f"{answer.get_json().get('record_id', answer.text)}\n")
                sys.stdout.flush()

    threads = [threading.Thread(target=send, args=(bodies[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
