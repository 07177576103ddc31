"""What a run may spend on calls of models: calls, tokens, money."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

Price = Callable[[int, int], Decimal | None]
"""What a call with so many input and output tokens costs in USD; None where that is not known."""


class UnmeasuredError(Exception):
    """What a call used is not known, so that a budget of it cannot be kept; the message is one sentence."""


@dataclass
class Spent:
    """What has been used.

    Attributes:
        calls: requests that were sent, repeated ones included.
        input_tokens: of the answers that told it.
        output_tokens: of the answers that told it.
        untold: answers that did not tell their tokens.
        usd: what those that told it cost; None where a price is not known.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    untold: int = 0
    usd: Decimal | None = Decimal(0)


class Budget:
    """Bounds of a run, shared by its evaluators and their threads; None bounds nothing.

    Before a call is sent, what it will probably use is set aside; what it did use is settled after. So the bound is
    passed by no more than what calls use beyond what was set aside for them.

    Args:
        calls: requests.
        tokens: input and output tokens together.
        usd: money.
    """

    def __init__(self, calls: int | None = None, tokens: int | None = None, usd: Decimal | None = None) -> None:
        self.calls = calls
        self.tokens = tokens
        self.usd = usd
        self.spent = Spent()
        self._set_aside_tokens = 0
        self._set_aside_usd = Decimal(0)
        self._lock = threading.Lock()

    @property
    def bounded(self) -> bool:
        """Whether anything is bounded."""
        return any(bound is not None for bound in (self.calls, self.tokens, self.usd))

    def allows(self, tokens: int, usd: Decimal | None) -> bool:
        """Whether one more call may be sent; if so it is counted, and what it will probably use is set aside.

        Args:
            tokens: what it will probably use.
            usd: what that costs; None where the price is not known.
        """
        with self._lock:
            used = self.spent.input_tokens + self.spent.output_tokens + self._set_aside_tokens
            paid = (self.spent.usd or Decimal(0)) + self._set_aside_usd
            if (
                (self.calls is not None and self.spent.calls >= self.calls)
                or (self.tokens is not None and used + tokens > self.tokens)
                or (self.usd is not None and paid + (usd or Decimal(0)) > self.usd)
            ):
                return False
            self.spent.calls += 1
            self._set_aside_tokens += tokens
            self._set_aside_usd += usd or Decimal(0)
            return True

    def settle(self, tokens: int, usd: Decimal | None, used: tuple[int, int] | None, price: Price) -> None:
        """Say what a call used that :meth:`allows` counted.

        Args:
            tokens: what was set aside for it.
            usd: what was set aside for it.
            used: its input and output tokens; None if its answer does not tell them.
            price: what its tokens cost.

        Raises:
            UnmeasuredError: it does not tell its tokens, and they or their cost are bounded.
        """
        with self._lock:
            self._set_aside_tokens -= tokens
            self._set_aside_usd -= usd or Decimal(0)
            if used is None:
                self.spent.untold += 1
                if self.tokens is not None or self.usd is not None:
                    raise UnmeasuredError(
                        "The endpoint does not say how many tokens a call took, so a budget of tokens or money cannot "
                        "be kept; give --budget-calls instead."
                    )
                return
            self.spent.input_tokens += used[0]
            self.spent.output_tokens += used[1]
            cost = price(*used)
            self.spent.usd = None if cost is None or self.spent.usd is None else self.spent.usd + cost

    def release(self, tokens: int, usd: Decimal | None) -> None:
        """A call that :meth:`allows` counted had no answer: it used nothing that could be known."""
        with self._lock:
            self._set_aside_tokens -= tokens
            self._set_aside_usd -= usd or Decimal(0)
