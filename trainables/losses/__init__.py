"""The methods: one file per paper. LOSSES maps `TrialConfig.method` to the criterion that the loop trains with."""

from trainables.losses.heteroakd import HeteroAkd
from trainables.losses.kd import Kd
from trainables.losses.task import Task

LOSSES = {"task": Task, "kd": Kd, "heteroakd": HeteroAkd}
