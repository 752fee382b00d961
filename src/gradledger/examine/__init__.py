"""Before the first step: what recording a model or a script will see, refuse and cost."""

from gradledger.examine.doctor import doctor

__all__ = ["doctor"]
