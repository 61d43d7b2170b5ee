"""What preparing left out and what the user should know, collected on the way."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Notes:
    """Counts of what was left out, by reason, and remarks."""

    dropped: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def drop(self, reason: str, count: int) -> None:
        """Count something left out."""
        if count:
            self.dropped[reason] += count

    def warn(self, message: str) -> None:
        """Keep a remark."""
        self.warnings.append(message)
