"""What torch imports only when a first step is taken: done once, before processes are forked that would each do it."""

from __future__ import annotations

import torch


def warm_up() -> None:
    """Take an optimizer's first step: it imports a second or two of torch, which forked processes then find loaded."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.sum().backward()  # type: ignore[no-untyped-call]
    torch.optim.AdamW([parameter]).step()
