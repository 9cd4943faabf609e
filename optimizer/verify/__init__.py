"""Verification: what the units of an experiment say so far, at any look.

A `Verification` is a fold over finished units. Harm is tested from the first unit on. A gain
counts only when it is proven beyond the least worthwhile one, failures are not worse beyond a
margin, and each stage has its samples. Everything in a `Plan` was frozen before the first unit.

>>> plan = Plan(design="blocks", kind="change", objective="time")
>>> check = Verification(plan, ("candidate",))
>>> check.add(Unit("candidate", share=0.1, items=50, batches=1, seconds_per_item=0.002))
>>> check.finding(stage=0, runs=1).reason
'collecting'
"""

from __future__ import annotations

from optimizer.verify.plan import Design, Plan, Stage
from optimizer.verify.unit import Unit
from optimizer.verify.verification import Finding, Verification
from runtime.run.layers import CONTROL

__all__ = ["CONTROL", "Design", "Finding", "Plan", "Stage", "Unit", "Verification"]
