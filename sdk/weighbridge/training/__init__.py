"""Checkpoints pushed while a framework trains, in the background, and picked up again after a kill.

    from weighbridge.training import Checkpointer
    from weighbridge.training.torch import TorchLoop

`Checkpointer` is the core, for any loop. There is one module per framework (`torch`, `transformers`,
`lightning`, `keras`, `sklearn`, `xgboost`, `lightgbm`), each loaded only when it is imported.
"""

from weighbridge.training.background import Policy
from weighbridge.training.resuming import Resumed
from weighbridge.training.tracker import Checkpointer

__all__ = ["Checkpointer", "Policy", "Resumed"]
