"""A kind of tool that is not ours: it says a text louder. An example of how one is written."""

from __future__ import annotations

from typing import ClassVar

from runtime.errors import DataError
from runtime.playbook.tools import ToolKey, ToolKind
from runtime.tools.port import Call, Outcome


class ShoutTool:
    """Says a text in capitals."""

    kind: ClassVar[str] = "shout"
    declaration: ClassVar[ToolKind] = ToolKind(
        "says a text in capitals",
        {
            "text": ToolKey("what to say"),
            "times": ToolKey("how often (1)", "count", verbatim=True, most=10),
        },
        required=("text",),
        result={"type": "string"},
        raises=("permanent", "data"),
        effect="none",
    )

    def run(self, call: Call) -> Outcome:
        text = call.text("text")
        if not text.strip():
            raise DataError("there is nothing to say")
        return Outcome(" ".join([text.upper() + "!"] * int(call.tool.get("times", 1))))
