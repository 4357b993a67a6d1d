"""A loop that is not over soon, on a model of some megabytes; prints each step's loss.

python long_run.py LABEL STEPS [PAUSE]

At step PAUSE it waits to be killed, while what it took before is still being pushed.
"""

import signal
import sys

import torch

from weighbridge.training import Checkpointer
from weighbridge.training.torch import TorchLoop

label, steps = sys.argv[1], int(sys.argv[2])
pause = int(sys.argv[3]) if len(sys.argv) > 3 else 0
torch.manual_seed(0)
first = torch.nn.Linear(256, 512)
tied = torch.nn.Linear(512, 512)
model = torch.nn.Sequential(
    first, torch.nn.ReLU(), tied, torch.nn.ReLU(), tied, torch.nn.Linear(512, 1)
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
x = torch.randn(512, 256)
y = x.pow(2).mean(1, keepdim=True)
saver = Checkpointer(None, "demo/long", label=label)
loop = TorchLoop(saver, model, optimizer, every=3)
start = loop.resume()
print("resumed at", start, flush=True)
for step in range(start + 1, steps + 1):
    chosen = torch.randint(512, (32,))
    loss = torch.nn.functional.mse_loss(model(x[chosen]), y[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    loop.step(step, {"loss": loss.item()})
    print("loss", step, repr(loss.item()), flush=True)
    if step == pause:
        signal.pause()
print(loop.finish())
