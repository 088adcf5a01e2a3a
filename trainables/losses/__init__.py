"""The methods: one file per paper. LOSSES maps `TrialConfig.method` to the criterion that the loop trains with."""

from trainables.losses.afdcd import Afdcd
from trainables.losses.at import At
from trainables.losses.cirkd import Cirkd
from trainables.losses.cirkdv2 import Cirkdv2
from trainables.losses.collaborative import Collaborative
from trainables.losses.cwd import Cwd
from trainables.losses.diffkd import Diffkd
from trainables.losses.dist import Dist
from trainables.losses.fitnet import Fitnet
from trainables.losses.heteroakd import HeteroAkd
from trainables.losses.ifvd import Ifvd
from trainables.losses.kd import Kd
from trainables.losses.lskd import Lskd
from trainables.losses.nfd import Nfd
from trainables.losses.ofa import Ofa
from trainables.losses.qsd import Qsd
from trainables.losses.skd import Skd
from trainables.losses.task import Task

LOSSES = {
    "task": Task,
    "kd": Kd,
    "heteroakd": HeteroAkd,
    "cwd": Cwd,
    "skd": Skd,
    "ifvd": Ifvd,
    "at": At,
    "fitnet": Fitnet,
    "dist": Dist,
    "cirkd": Cirkd,
    "afdcd": Afdcd,
    "ofa": Ofa,
    "nfd": Nfd,
    "lskd": Lskd,
    "qsd": Qsd,
    "cirkdv2": Cirkdv2,
    "diffkd": Diffkd,
    "collaborative": Collaborative,
}
