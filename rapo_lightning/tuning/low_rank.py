"""LoRA layers to whose product the base's is added in place, in the base's own type: PEFT's numbers with less memory traffic.

PEFT adds a layer's two products in steps of their own, each of which reads and writes all activations, and casts every input to
the adapter's type. Here a layer is one function with a backward pass of its own; what it cannot do is left to PEFT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from peft.tuners.lora import Linear
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["add_in_place"]


def add_in_place(model: PeftModel) -> int:
    """Let the LoRA layers of linear layers work as here; returns how many there are. All else about the model stays as it is.

    An adapter that is switched off, merged, one of several, of another kind (DoRA) or in another type than the base is left to
    PEFT, from call to call.
    """
    layers = [module for module in model.modules() if type(module) is Linear and type(module.base_layer) is torch.nn.Linear]
    for layer in layers:
        layer.__class__ = _InPlace
    return len(layers)


@final
class _InPlace(Linear):
    """PEFT's layer with a faster way for the usual case."""

    def forward(self, x: Tensor, *given: Any, **named: Any) -> Tensor:
        base = self.base_layer
        active = [name for name in self.active_adapters if name in self.lora_A]
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else None
        if (
            given
            or named
            or len(active) != 1
            or self.disable_adapters
            or self.merged
            or active[0] in self.lora_variant
            or self.lora_bias[active[0]]
            or x.ndim < 2
            or any(weight.requires_grad for weight in base.parameters())
            or not base.weight.dtype == x.dtype == (dtype or self.lora_A[active[0]].weight.dtype)
        ):
            result: Tensor = super().forward(x, *given, **named)
            return result
        (name,) = active
        dropped = self.lora_dropout[name](x)
        weights = self.lora_A[name].weight, self.lora_B[name].weight
        # The same tensor twice would be differentiated twice.
        added: Tensor = _Added.apply(x, None if dropped is x else dropped, base.weight, base.bias, *weights, self.scaling[name])
        return added


def _add_products(small: Tensor, by: Tensor, large: Tensor, times: Tensor, bias: Tensor | None) -> Tensor:
    """``small by + large times + bias``: the small product first, as the large one can add to it where it writes anyway."""
    product = small @ by if bias is None else torch.addmm(bias, small, by)
    return product.addmm_(large, times)


# The same as one operator: what compiles would copy the small product before the large one is added to it.
_OPERATOR = "rapo_lightning::add_products"
torch.library.define(_OPERATOR, "(Tensor small, Tensor by, Tensor large, Tensor times, Tensor? bias) -> Tensor")
torch.library.impl(_OPERATOR, "CompositeExplicitAutograd", _add_products)
torch.library.register_fake(_OPERATOR, lambda small, by, large, times, bias: large.new_empty(large.shape[0], times.shape[1]))


def _sum_of_products(small: Tensor, by: Tensor, large: Tensor, times: Tensor, bias: Tensor | None) -> Tensor:
    whole: Any = torch.ops.rapo_lightning.add_products if torch.compiler.is_compiling() else _add_products
    added: Tensor = whole(small, by, large, times, bias)
    return added


class _Added(torch.autograd.Function):
    """``x W' + bias + scale * (dropped A') B'`` for a frozen W; gradients of A and B have their own type."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dropped: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        low: Tensor,
        high: Tensor,
        scale: float,
    ) -> Tensor:
        dtype = weight.dtype
        flat = x.flatten(0, -2)
        read = flat if dropped is None else dropped.flatten(0, -2)
        with torch.autocast(x.device.type, enabled=False):
            inner = read @ low.to(dtype).T
            out = _sum_of_products(inner, (high * scale).to(dtype).T, flat, weight.T, bias)
        ctx.save_for_backward(read, inner, weight, low, high)
        ctx.scale, ctx.drops, ctx.shape = scale, dropped is not None, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        read, inner, weight, low, high = ctx.saved_tensors
        flat = grad.flatten(0, -2)
        with torch.autocast(grad.device.type, enabled=False):
            inner_grad = flat @ (high * ctx.scale).to(weight.dtype)
            low_grad = (inner_grad.T @ read).to(low.dtype)
            high_grad = (flat.T @ inner).to(high.dtype) * ctx.scale
            x_grad = dropped_grad = None
            if ctx.needs_input_grad[0]:
                down = low.to(weight.dtype)
                x_grad = flat @ weight if ctx.drops else _sum_of_products(inner_grad, down, flat, weight, None)
                x_grad = x_grad.view(ctx.shape)
            if ctx.needs_input_grad[1]:
                dropped_grad = (inner_grad @ low.to(weight.dtype)).view(ctx.shape)
        return x_grad, dropped_grad, None, None, low_grad, high_grad, None
