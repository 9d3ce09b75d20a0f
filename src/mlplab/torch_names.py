"""What the lab uses of torch's that is not public: all of it stands here.

Written for torch 2.11 to 2.14; tests/test_torch_names.py says what changed under another version. Two more things
are leant on: ``torch.save`` ends its file with an empty comment of a zip archive (runs/checkpoint.py checks it at
every save), and the gradients of ``torch.ops.aten`` are those that autograd calls (nn/activations.py).
"""

import torch

fused_adam = torch._fused_adam_
fused_adamw = torch._fused_adamw_
fused_sgd = torch._fused_sgd_
foreach_norm = torch._foreach_norm
aten = torch.ops.aten
