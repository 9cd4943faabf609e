"""Templates to pages: one Jinja environment, with the words and pieces that all pages use.

Everything is escaped unless it was made here as markup (the SVG pictures). A name that a
template misspells is an error, never an empty space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from control_plane.review import reasons
from control_plane.web import telling, trial, words
from control_plane.web.readable import readable
from optimizer.knobs import said

TEMPLATES: Final = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the environment; templates are read once."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        seconds=words.seconds, money=words.money, percent=words.percent, known=words.known,
        change=words.change,
        count=words.count, size=words.size, clock=words.clock_time, iso=words.iso,
        until=words.until, in_words=said,
        short=words.short, sign=words.sign, state_word=words.state_word, tone=words.tone,
        first_line=words.first_line, readable=readable, raw=raw, svg=Markup, option=option,
        reason=reason, verdict=verdict, prices=trial.prices, moved=words.moved,
    )  # fmt: skip
    env.globals.update(
        ago=words.ago, plural=words.plural, say=telling.say, step_of=telling.step_of,
        is_trouble=telling.is_trouble,
    )  # fmt: skip
    return env


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return a page or a part of one."""
    return environment().get_template(template).render(context)


def raw(value: Any) -> str:
    """Return a value as indented JSON text."""
    return json.dumps(msgspec.to_builtins(value), indent=1, ensure_ascii=False)


def option(value: Any) -> str:
    """Return a chart's description as JSON text for an attribute."""
    return json.dumps(value, ensure_ascii=False)


def reason(code: str) -> str:
    """Return what a reason code says to a person; a code that is not ours stays as it is."""
    known = {r.value for r in reasons.Reason}
    return reasons.words(code) if code in known else code.replace("_", " ")


def verdict(code: str) -> str:
    """Return what a verdict's code says."""
    return trial.REASONS.get(code, code.replace("_", " "))
