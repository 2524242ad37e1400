"""The recurrence of Mamba for training: s_t = exp(dt_t A) s_{t-1} + dt_t u_t B_t, y_t = C_t . s_t, and its gradient.

Every number of the state fades at its own pace, and the pace depends on the token: no matrix product computes that. So
it is a loop over tokens, with all sequences side by side. Its gradient is a loop, too, from the last token to the first:
a state's gradient is what its output asks for, plus what the next state passes back.
Autograd would keep five tensors of a state's size per token; this keeps one, and computes the factors again.
"""
from __future__ import annotations

import torch


def forward_step(s: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, u: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """s [B, I, N], dt, u [B, I], a [I, N], b [B, N] -> the next s."""
    return (dt[..., None] * a).exp() * s + (dt * u)[..., None] * b[:, None]


def backward_step(g: torch.Tensor, gy: torch.Tensor, c: torch.Tensor, before: torch.Tensor, dt: torch.Tensor, a: torch.Tensor,
                  u: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """g: the gradient that the next state passes back. -> what this one passes back, and the gradients of dt, a, u, b."""
    g = g + gy[..., None] * c[:, None]
    back = g * (dt[..., None] * a).exp()
    faded = back * before
    of_input = (g * b[:, None]).sum(-1)
    return (back, (faded * a).sum(-1) + u * of_input, (faded * dt[..., None]).sum(0), dt * of_input,
            (g * (dt * u)[..., None]).sum(1))


class SelectiveScan(torch.autograd.Function):
    """dt, u [B, T, I], a [I, N], b, c [B, T, N] -> y [B, T, I]."""

    compiled = False  # True: the two steps by torch.compile

    @staticmethod
    def forward(ctx, dt: torch.Tensor, a: torch.Tensor, u: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        dt, u, b, c = (x.transpose(0, 1).contiguous() for x in (dt, u, b, c))  # tokens first
        t, batch, inner = u.shape
        step = compiled_forward if SelectiveScan.compiled else forward_step
        states = u.new_zeros(t + 1, batch, inner, a.shape[1])
        for i in range(t):
            states[i + 1] = step(states[i], dt[i], a, u[i], b[i])
        ctx.save_for_backward(states, dt, a, u, b, c)
        return (states[1:] @ c[..., None])[..., 0].transpose(0, 1)

    @staticmethod
    def backward(ctx, gy: torch.Tensor) -> tuple[torch.Tensor, ...]:
        states, dt, a, u, b, c = ctx.saved_tensors
        step = compiled_backward if SelectiveScan.compiled else backward_step
        gy = gy.transpose(0, 1).contiguous()
        g, of_a = torch.zeros_like(states[0]), torch.zeros_like(a)
        of_dt, of_u, of_b = torch.empty_like(dt), torch.empty_like(u), torch.empty_like(b)
        for i in reversed(range(len(u))):
            g, of_dt[i], part, of_u[i], of_b[i] = step(g, gy[i], c[i], states[i], dt[i], a, u[i], b[i])
            of_a += part
        of_c = (gy[:, :, None] @ states[1:])[:, :, 0]
        return of_dt.transpose(0, 1), of_a, of_u.transpose(0, 1), of_b.transpose(0, 1), of_c.transpose(0, 1)


compiled_forward = torch.compile(forward_step, dynamic=False)
compiled_backward = torch.compile(backward_step, dynamic=False)


@torch.compiler.disable  # the loop is long: only its steps are compiled
def selective_scan(dt: torch.Tensor, a: torch.Tensor, u: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return SelectiveScan.apply(dt, a, u, b, c)
