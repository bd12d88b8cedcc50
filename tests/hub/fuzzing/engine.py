"""The function that fuzzes a target, for any kind of input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

__all__ = ["Target", "fuzz"]

Input = TypeVar("Input")


@dataclass(frozen=True)
class Target(Generic[Input]):
    """Something to fuzz: a generator of inputs, and a check."""

    name: str
    inputs: SearchStrategy[Input]
    check: Callable[[Input], None]
    """Raises an error if an input violates a guarantee."""
    share: int = 1
    """The relative number of inputs: lower if a check takes longer."""


def fuzz(
    target: Target[Input],
    inputs: int,
    from_seed: int,
    around: Callable[[Callable[[Input], None], Input], None] = lambda check, each: check(each),
    *,
    shrink: bool = True,
) -> None:
    """Check `inputs` inputs. If any fail, raise the error of the smallest one, which shows the input.

    Args:
        target: what to fuzz.
        inputs: the number of inputs.
        from_seed: the same seed generates the same inputs.
        around: called with the check and each input, and calls the check, for example to measure it.
        shrink: whether to look for the smallest input that fails, once there is one.
    """

    @seed(from_seed)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def checked(each: Input) -> None:
        around(target.check, each)

    checked()
