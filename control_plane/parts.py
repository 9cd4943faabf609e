"""What the process consists of, as one value that is handed to whoever needs a part.

Nothing reaches for a global: `control_plane.serve` makes the parts, `control_plane.app`
hands each route the ones it asks for by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.auth import Keys
from control_plane.capacity import Capacity
from control_plane.clock import Clock
from control_plane.drafts import Drafts
from control_plane.experiments import ExperimentService
from control_plane.loop import Loop
from control_plane.metrics import Metrics
from control_plane.playbooks import Playbooks
from control_plane.readings import Readings
from control_plane.reviews import ReviewService
from control_plane.runs import Runs
from control_plane.schedule import Schedules
from control_plane.settings import Settings, Sources
from control_plane.streams import Streams
from control_plane.upkeep import Upkeep
from control_plane.watch import Watch
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine
from runtime.record.supervise import RecorderProcess
from runtime.workers.port import Pool


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a route may ask for."""

    settings: Settings
    sources: Sources
    folder: DataFolder
    clock: Clock
    keys: Keys
    engine: Engine
    pool: Pool
    recorder: RecorderProcess | None
    runs: Runs
    playbooks: Playbooks
    readings: Readings
    reviews: ReviewService
    experiments: ExperimentService
    drafts: Drafts
    schedules: Schedules
    loop: Loop
    streams: Streams
    upkeep: Upkeep
    metrics: Metrics
    watch: Watch
    capacity: Capacity
