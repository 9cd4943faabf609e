"""The client: all that a server can be asked, in one value."""

from __future__ import annotations

from trimtab.money import Money
from trimtab.operations import Operations
from trimtab.playbooks import Playbooks
from trimtab.proposals import Proposals
from trimtab.record import Record
from trimtab.runs import Runs


class Client(Runs, Playbooks, Proposals, Record, Money, Operations):
    """Talks to a server. Without arguments: the one that owns the data folder here."""
