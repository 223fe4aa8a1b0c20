"""The error of a layer's output as a quadratic form of its weights.

A layer computes y = W x + b for each of many inputs x: the rows of a linear layer, or the patches
that a convolution sees. With another weight Ŵ, inputs x̂ and the best bias for them, the mean
squared error needs no x any more, only moments of the inputs and outputs taken once.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_real


@dataclass(frozen=True, eq=False)
class LayerLoss:
    """L(Ŵ) = min_b E‖y − Ŵ x̂ − b‖² = tr(Ŵ G Ŵᵀ) − 2 tr(Ŵ Cᵀ) + p.

    G = Cov(x̂), C = Cov(y, x̂) and p = tr Cov(y), over the calibration examples; a grouped
    convolution has one G and one C for each group, and the sum runs over them. If x̂ = x and
    y = W x + b, then L(Ŵ) = Σ_i Δw_i G Δw_iᵀ with the rows Δw_i of Ŵ − W.

    Args:
        gram: G, (groups, k, k), symmetric; k inputs of one group.
        cross: C, (groups, o, k); o outputs of one group.
        power: p, at least 0.
        input_mean: E x̂, (groups, k).
        output_mean: E y, (groups, o).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty or not finite, the shapes do not fit each other, or
            ``power`` is negative.

    Equation: eq-ptq-taylor, chapter 06.
    """

    gram: Float[Tensor, "groups k k"]
    cross: Float[Tensor, "groups o k"]
    power: float
    input_mean: Float[Tensor, "groups k"]
    output_mean: Float[Tensor, "groups o"]

    def __post_init__(self) -> None:
        for name in ("gram", "cross", "input_mean", "output_mean"):
            require_float_tensor(name, getattr(self, name))
        require_real("power", self.power, 0)
        if self.cross.ndim != 3:
            raise ValueError(f"cross must be (groups, o, k), got {tuple(self.cross.shape)}")
        groups, outputs, inputs = self.cross.shape
        _require_shape("gram", self.gram, (groups, inputs, inputs))
        _require_shape("input_mean", self.input_mean, (groups, inputs))
        _require_shape("output_mean", self.output_mean, (groups, outputs))

    @classmethod
    def of_moments(
        cls,
        inputs: Float[Tensor, "groups k"],
        outputs: Float[Tensor, "groups o"],
        products: Float[Tensor, "groups k k"],
        mixed: Float[Tensor, "groups o k"],
        power: float,
    ) -> "LayerLoss":
        """Return the loss of the means E x̂, E y, E x̂ x̂ᵀ, E y x̂ᵀ and E ‖y‖², in float64.

        Cov(a, b) = E a bᵀ − E a E bᵀ; the result is in float32.

        Raises:
            TypeError, ValueError: as the class.
        """
        for name, value in (("inputs", inputs), ("outputs", outputs)):
            require_float_tensor(name, value)
        gram = products - inputs.unsqueeze(2) * inputs.unsqueeze(1)
        cross = mixed - outputs.unsqueeze(2) * inputs.unsqueeze(1)
        left = max(float(power) - float(outputs.square().sum()), 0.0)  # below 0 by rounding only
        return cls(gram.float(), cross.float(), left, inputs.float(), outputs.float())

    def of(self, weight: Float[Tensor, "groups o k"]) -> Float[Tensor, "groups o"]:
        """Return each output's share of tr(Ŵ G Ŵᵀ) − 2 tr(Ŵ Cᵀ); p is not in it.

        Only differences of two results are mean squared errors: p is the same for all weights.

        Equation: eq-ptq-layer, chapter 06.
        """
        return (weight @ self.gram * weight - 2 * weight * self.cross).sum(dim=2)

    def total(self, weight: Float[Tensor, "groups o k"]) -> float:
        """Return L(Ŵ), summed over the outputs, in the squared unit of y.

        Raises:
            TypeError: if ``weight`` is no floating-point tensor.
            ValueError: if it is not finite, or of another shape than C.

        Equation: eq-ptq-loss, chapter 06.
        """
        self.require_weight(weight)
        wide = weight.detach().double()
        quadratic = wide @ self.gram.double() * wide - 2 * wide * self.cross.double()
        return max(float(quadratic.sum()) + self.power, 0.0)

    def bias(self, weight: Float[Tensor, "groups o k"]) -> Float[Tensor, "groups o"]:
        """Return the best bias for a weight, b = E y − Ŵ E x̂: with it no output is off on average.

        Raises:
            TypeError, ValueError: as `total`.
        """
        self.require_weight(weight)
        weight = weight.to(self.gram.dtype)
        return self.output_mean - (weight @ self.input_mean.unsqueeze(2)).squeeze(2)

    def require_weight(self, weight: Tensor) -> None:
        """Require a weight of this loss.

        Raises:
            TypeError, ValueError: as `total`.
        """
        require_float_tensor("weight", weight)
        _require_shape("weight", weight, tuple(self.cross.shape))


def _require_shape(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {tuple(value.shape)}")
