"""Bounds of clocks and stamps.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

HLC_GRACE_MS = 500  # an incoming stamp may be this much further ahead than the drift bound before it is refused
HLC_LOGICAL_MAX = 65_535  # 16 bits, so that a stamp fits in 64
DRIFT_SAMPLES_MAX = 128  # wall and monotonic readings the drift watch remembers
DRIFT_SAMPLE_EVERY_MS = 1000  # so that the readings remembered span minutes, however busy the service
DRIFT_STEPS_MAX = 16  # steps of the wall clock that are remembered
OBSERVE_EVERY_MS = 1000  # how often one source of true time is listened to
QUARTZ_PPM = 200  # how fast or slow an unwatched clock may run (Spanner's figure)
OBSERVATIONS_MAX = 64  # readings of true time that bound the error of the wall clock
CLOCK_JUMP_MS = 100  # between two sweeps a wall clock that is slewed moves by a third of this; more is a jump
