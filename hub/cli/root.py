"""``maillon init-root`` and the folder of the consortium root: what is kept offline, and what leaves it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from connectors.kit import seal
from connectors.kit.klink import with_new, with_retired
from connectors.kit.runtime.clock import SystemClock, from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ
from connectors.kit.trust import Directory, DirectoryPartner, Root
from hub.cli.output import json_option, print_answer


@dataclass(frozen=True)
class RootFolder:
    """``root.json`` (0600, the key and K_link), ``root.pub.jwk``, ``directory.jws``, ``<slug>.klink.jwe``."""

    path: Path
    root: Root

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the folder and a new root in it; raises ``MaillonError(CONFLICT)`` when there is one already."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = Root.create(path / "root.json")
        (path / "root.pub.jwk").write_text(json.dumps(root.public_jwk) + "\n")
        return cls(path, root)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open the folder; raises as ``Root.load``."""
        return cls(path, Root.load(path / "root.json"))

    def directory(self) -> Directory | None:
        """Return the last directory signed here, even one that ran out since, or ``None``."""
        file = self.path / "directory.jws"
        if not file.exists():
            return None
        token = file.read_text().strip()
        # As of when it was signed: an expired directory must still be renewed, and a partner in it suspended.
        signed_at = from_epoch(int(seal.peek(token, Typ.DIRECTORY)["issued_at"]))
        return Directory.verify(token, self.root.public_jwk, signed_at, 1)

    def admit(self, partner: DirectoryPartner) -> tuple[int, Path]:
        """Sign a directory with ``partner`` added or replaced, and seal K_link to it; return version and K_link file.

        The hub is never given a K_link: its file is not written (DESIGN §2).
        """
        version = self._sign(partner)
        klink = self.path / f"{partner.slug}.klink.jwe"
        if partner.kind != "hub":
            klink.write_text(self.root.seal_klink(partner.slug, partner.seal_key) + "\n")
        return version, klink

    def seal_klinks(self) -> list[Path]:
        """Seal K_link to every partner of the directory; return the files."""
        made = []
        for partner in self._existing().partners():
            if partner.kind != "hub":
                made.append(self.path / f"{partner.slug}.klink.jwe")
                made[-1].write_text(self.root.seal_klink(partner.slug, partner.seal_key) + "\n")
        return made

    def set_status(self, slug: str, status: str) -> int:
        """Sign a directory in which ``slug`` is ``active`` or ``suspended``; return its version."""
        wire = self._existing().partner(slug).to_wire() | {"status": status}
        return self._sign(DirectoryPartner.from_wire(wire))

    def renew(self) -> int:
        """Sign the same partners again, for another term; return the version."""
        self._existing()
        return self._sign()

    def _existing(self) -> Directory:
        current = self.directory()
        if current is None:
            raise MaillonError(ErrorKind.UNKNOWN_PARTNER, "the directory is empty")
        return current

    def _sign(self, *changed: DirectoryPartner) -> int:
        current = self.directory()
        slugs = {partner.slug for partner in changed}
        others = [] if current is None else [p for p in current.partners() if p.slug not in slugs]
        version = 1 if current is None else current.version + 1
        token = self.root.sign_directory([*others, *changed], version, SystemClock().now())
        (self.path / "directory.jws").write_text(token + "\n")
        return version


def read_identity(path: Path) -> DirectoryPartner:
    """Read the public identity file that ``edge init`` or ``init`` printed; it asks to enter the directory."""
    try:
        wire: Any = json.loads(path.read_text("utf-8"))
        return DirectoryPartner.from_wire(wire)
    except (OSError, ValueError):
        raise MaillonError(ErrorKind.MALFORMED, f"{path.name} is not an identity file") from None


@click.command("init-root")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
def init_root(folder: Path, as_json: bool) -> None:
    """Make the consortium root in FOLDER: the key that signs the partner directory. Keep it offline.

    \b
    Example:  maillon init-root /media/usb/maillon-root
    """
    made = RootFolder.create(folder)
    print_answer(
        {"fingerprint": made.root.fingerprint, "public_key": str(folder / "root.pub.jwk")},
        as_json,
        "The consortium root is made. Read this fingerprint aloud to every partner; they must see the same:",
        "",
        f"  {made.root.fingerprint}",
        "",
        f"Secret, keep offline:  {folder / 'root.json'}",
        f"Public, give to all:   {folder / 'root.pub.jwk'}",
    )


@click.command("rotate-link")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--retire", type=int, metavar="EPOCH", help="Register nobody under EPOCH any more.")
@json_option
def rotate_link(folder: Path, retire: int | None, as_json: bool) -> None:
    """Make a new epoch of K_link, the connectors' token key, in the consortium root of FOLDER, or retire the old one.

    Writes <slug>.klink.jwe for every partner: each edge joins again with it. The hub must take the new epoch first
    (maillon index rotate --link), and a retired one is retired there first (--retire-link-epoch).

    \b
    Example:  maillon rotate-link /media/usb/maillon-root
              maillon rotate-link /media/usb/maillon-root --retire 1
    """
    before = RootFolder.load(folder)
    epochs = before.root.epochs
    root = before.root.with_klinks(with_new(epochs) if retire is None else with_retired(epochs, retire))
    root.save(folder / "root.json")
    made = RootFolder(folder, root).seal_klinks()
    live = [klink.epoch for klink in root.epochs if not klink.retired]
    retired = [klink.epoch for klink in root.epochs if klink.retired]
    print_answer(
        {"live": live, "retired": retired, "files": [str(file) for file in made]},
        as_json,
        f"K_link: epoch {' and '.join(map(str, live))} in use"
        + (f", {' and '.join(map(str, retired))} retired." if retired else "."),
        "Give each partner its file; its edge joins again with it, and is restarted:",
        *(f"  {file}" for file in made),
    )
