"""A whole network in integers, from the codes of its input to its logits."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor, nn

from reference_impl.checked import Count, checked
from reference_impl.compress.graph import Example
from reference_impl.compress.integer import IntegerLayer
from reference_impl.compress.integer_steps import Builder, Step
from reference_impl.quantization import AffineQuantizer, FixedPointMultiplier, fixed_point, rescale


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Steps that turn codes into codes, and at the end into int32 logits.

    Only making codes of images is in floating point. A ReLU after a layer is part of the layer's
    clipping, not a step. A unit of a logit stands for ``logit_scale``; ``logit_multiplier`` brings
    several scales to it.
    """

    input_quantizer: AffineQuantizer
    steps: tuple[Step, ...]
    logit_scale: float
    logit_multiplier: FixedPointMultiplier | None

    @property
    def layers(self) -> dict[str, IntegerLayer]:
        """Return the weight layers by name, in order."""
        return {s.name: s.operation for s in self.steps if isinstance(s.operation, IntegerLayer)}

    def quantize(self, images: Float[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return the codes of images."""
        return self.input_quantizer.quantize(images)

    @checked
    def trace(
        self, codes: Integer[Tensor, "n ..."]
    ) -> Iterator[tuple[str, Integer[Tensor, "n ..."]]]:
        """Yield (name, input codes) of each weight layer, then ("accumulators", the last sums)."""
        values = {self.steps[0].reads[0]: codes}
        last = {name: step for step in self.steps for name in step.reads}
        for step in self.steps:
            inputs = [values[name] for name in step.reads]
            if isinstance(step.operation, IntegerLayer):
                yield step.name, inputs[0]
            values[step.name] = step.operation(*inputs)
            for name in step.reads:
                if last[name] is step:
                    values.pop(name, None)
        yield "accumulators", values[self.steps[-1].name]

    @checked
    def logits(
        self, codes: Integer[Tensor, "n ..."], *, batch_size: Count = 100
    ) -> Int32[Tensor, "n classes"]:
        """Return the logits in units of ``logit_scale``; ``batch_size`` images pass at a time."""
        sums = torch.cat(
            [dict(self.trace(part))["accumulators"] for part in codes.split(batch_size)]
        )
        if self.logit_multiplier is None:
            return sums
        logits = rescale(sums.movedim(1, -1), self.logit_multiplier).movedim(-1, 1)
        return logits.to(torch.int32)  # no M is above 1


@checked
def integer_network(network: nn.Module, example: Example = None) -> IntegerNetwork:
    """Return a network of restored values as one of integers.

    The network, as `quantize_layers` returns it, has quantized layers with symmetric weights (one
    scale, or one for each output channel) and inputs of one scale, and between them ReLU, ReLU6,
    pooling, flattening, sums and concatenations. Dropout and identities do nothing.

    A value that a layer reads is in this layer's codes, for all others that read it too. What
    joins branches rescales each to a common unit, an average is a sum of a smaller unit. The
    ``example``, an input, tells over how many positions averages of whole channels are; networks
    of the course, and those without such averages, do not need it.

    Raises:
        ValueError: if something else stands there, or a sum could exceed int32.

    References: Jacob et al. 2018, section 2 and appendix A.2.
    """
    built = Builder(network, example)
    unit = built.forms[built.steps[-1].name].unit
    largest = unit.max()
    one_scale = bool((unit == largest).all())
    return IntegerNetwork(
        input_quantizer=built.input_quantizer,
        steps=tuple(built.steps),
        logit_scale=largest.item(),
        logit_multiplier=None if one_scale else fixed_point(unit / largest),
    )
