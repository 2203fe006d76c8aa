"""What is known of each release, in a file that is written whole: a second call goes on where the first ended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnspec.bisect.search import FAILS, PASSES, SKIPPED, Tried
from cnnspec.errors import BisectDamaged
from cnnspec.files import write_whole
from cnnspec.names import slug

FORMAT = "cnnspec bisect 1"
FILE = "state.json"
Question = Mapping[str, Any]


def folder(question: Question) -> str:
    """Name of the folder of a question: the package, its ends, and a digest of all that decides the answer."""
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:8]
    return f"{slug(question['package'])}-{slug(question['good'])}-{slug(question['bad'])}-{digest}"


class State:
    """The results of one question, {release: Tried}, and the file that keeps them. Raises BisectDamaged."""

    def __init__(self, place: Path, question: Question) -> None:
        self.path = place / FILE
        self.question = question
        self.results: dict[str, Tried] = {}
        if not self.path.exists():
            return
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            if kept["format"] != FORMAT or kept["question"] != dict(question):
                raise ValueError("it answers another question")
            self.results = {release: restored(fields) for release, fields in kept["results"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BisectDamaged(f"{self.path} cannot be gone on with ({error}); remove it to begin again") from error

    def keep(self, release: str, tried: Tried) -> None:
        """Add a result and write the file."""
        self.results[release] = tried
        results = {name: dataclasses.asdict(each) for name, each in self.results.items()}
        fields = {"format": FORMAT, "question": dict(self.question), "results": results}
        write_whole(self.path, json.dumps(fields, indent=1) + "\n")


def restored(fields: Mapping[str, Any]) -> Tried:
    """A result from its fields."""
    if fields["verdict"] not in (PASSES, FAILS, SKIPPED):
        raise ValueError(f"a verdict {fields['verdict']!r} is none")
    return Tried(**{**fields, "requirements": tuple(fields["requirements"])})
