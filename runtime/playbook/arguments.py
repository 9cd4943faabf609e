"""Reading ``with``: the arguments of a tool, by names that code can use."""

from __future__ import annotations

from runtime.playbook.blocks import note_texts
from runtime.playbook.draft import Draft, StepDraft
from runtime.playbook.model import Json
from runtime.playbook.part import Part


def read_args(read: StepDraft, part: Part | None, draft: Draft) -> dict[str, Json]:
    """Return the arguments; their texts with expressions are left in the draft."""
    if part is None or not part.is_map("with"):
        return {}
    for name, child in part.children().items():
        check_word(child, name, "argument")
        note_texts(read, child, "with", draft)
    return dict(part.value)


def check_word(part: Part, name: str, what: str) -> None:
    """Refuse a key that cannot be a name."""
    if not name.isidentifier():
        part.refuse(f"{name!r} is no {what} name", "letters, digits and _, a letter first",
                    at=part.key)  # fmt: skip
