"""What one command of `ci/lab` must know about the laboratory that another one brought up: `lab.json` in its folder."""

import json
import os
from dataclasses import asdict, dataclass, field

from .failure import LabError


@dataclass
class Record:
    """Written when the laboratory is up, and again at each change."""

    name: str
    clone: str
    network: str
    machines: int
    # For each recipe in use, and each image, what machines made by it are layered on.
    lowers: dict
    emulated: list
    # Machine -> the NixOS system that it runs.
    nixos: dict
    # Machine -> the image whose golden units it has.
    golden: dict
    # Whether it stays when the command that brought it up ends.
    detached: bool
    cuts: list = field(default_factory=list)


def save(folder, record):
    """Replaces it as a whole."""
    new = folder / "lab.json.new"
    new.write_text(json.dumps(asdict(record), indent=1))
    os.replace(new, folder / "lab.json")


def load(folder):
    """Reads it, or returns None if the laboratory never got up."""
    try:
        return Record(**json.loads((folder / "lab.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LabError(f"{folder / 'lab.json'} is not readable ({error}); take the laboratory down: ci/lab down") from error
