"""The kernel of the accuracy model, over the encoding of a network and its covariates."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    DotProduct,
    Hyperparameter,
    Kernel,
    Matern,
    WhiteKernel,
)

PRIOR_MEAN = np.log([1.0, 1.0, 2.0, 1.0, 0.05])
"""Prior mean of the log hyperparameters, for standardized inputs and targets: variance, length
scale of the encoding (observations are at a distance of about 1 from their mean), length scale of
the covariates, variance of the linear term, variance of the noise."""
PRIOR_DEVIATION = np.array([1.5, 1.0, 1.0, 1.5, 1.5])
"""Prior standard deviation of the same log hyperparameters."""
_BOUNDS = (1e-4, 1e4)


def kernel(features: int) -> Kernel:
    """Return the kernel for inputs of the encoding, in the first columns, then the covariates.

    Args:
        features: Number of columns of the encoding.
    """
    encoding, covariates = slice(0, features), slice(features, None)
    similarity = ColumnsKernel(Matern(1.0, _BOUNDS, nu=2.5), encoding) * ColumnsKernel(
        Matern(2.0, _BOUNDS, nu=2.5), covariates
    )
    linear = ColumnsKernel(DotProduct(0.0, "fixed"), encoding)
    return (
        ConstantKernel(1.0, _BOUNDS) * similarity + ConstantKernel(1.0, _BOUNDS) * linear
    ) + WhiteKernel(0.05, _BOUNDS)


class ColumnsKernel(Kernel):  # type: ignore[misc]
    """A kernel that is applied to some columns of the inputs."""

    def __init__(self, kernel: Kernel, columns: slice) -> None:
        """Restrict a kernel to columns.

        Args:
            kernel: Kernel to apply; its hyperparameters become those of this kernel.
            columns: Columns of the inputs that the kernel sees.
        """
        self.kernel = kernel
        self.columns = columns

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """See `Kernel`."""
        params = {"kernel": self.kernel, "columns": self.columns}
        if deep:
            params |= {f"kernel__{k}": v for k, v in self.kernel.get_params().items()}
        return params

    @property
    def hyperparameters(self) -> list[Hyperparameter]:
        """See `Kernel`."""
        return [
            Hyperparameter(f"kernel__{h.name}", h.value_type, h.bounds, h.n_elements)
            for h in self.kernel.hyperparameters
        ]

    @property
    def theta(self) -> np.ndarray:
        """See `Kernel`."""
        return np.asarray(self.kernel.theta)

    @theta.setter
    def theta(self, theta: np.ndarray) -> None:
        self.kernel.theta = theta

    @property
    def bounds(self) -> np.ndarray:
        """See `Kernel`."""
        return np.asarray(self.kernel.bounds)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ColumnsKernel) or self.columns != other.columns:
            return False
        return bool(self.kernel == other.kernel)

    __hash__ = None  # type: ignore[assignment]

    def __call__(
        self, x: np.ndarray, y: np.ndarray | None = None, eval_gradient: bool = False
    ) -> Any:
        """See `Kernel`."""
        y_columns = None if y is None else y[:, self.columns]
        return self.kernel(x[:, self.columns], y_columns, eval_gradient=eval_gradient)

    def diag(self, x: np.ndarray) -> np.ndarray:
        """See `Kernel`."""
        return np.asarray(self.kernel.diag(x[:, self.columns]))

    def is_stationary(self) -> bool:
        """See `Kernel`."""
        return bool(self.kernel.is_stationary())

    def __repr__(self) -> str:
        return f"Columns({self.kernel!r}, {self.columns.start}:{self.columns.stop})"
