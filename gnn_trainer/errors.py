"""Every error this package raises on purpose, in one tree.

GnnTrainerError
 +- ConfigError          what the user asked for cannot work; exit code 2, never retried
 +- DataError            the market data cannot support the run; exit code 1, never retried
 |   +- LeakFound        the audit found that something knows what it could not; `breaches`
 +- ServiceError         a neighbouring service failed; exit code 1
 |   +- TransientServiceError    worth trying again (timeout, 5xx, dropped connection)
 |   |   +- RateLimited          told to wait: `retry_after_s`
 |   +- ServiceBanned            HTTP 418: stop asking until `until_ms`
 +- TrainingDiverged     the loss is not finite; never retried with the same seed
 +- ProcessLost          a process that shared the fitting ended; the checkpoint is kept
 +- ArtifactError        a published model is incomplete, altered or from an unknown format
 +- StopRequested        somebody asked this run to end; not a failure

Messages say the value, what was expected, and the remedy.
"""

from collections.abc import Sequence


class GnnTrainerError(Exception):
    """Root of the tree; `is_transient` decides whether a task may be retried."""

    is_transient = False


class ConfigError(GnnTrainerError):
    """Configuration that cannot work. `problems` lists each one, so all are shown at once."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class DataError(GnnTrainerError):
    """Market data too short, too broken or too empty for the run; the message has the numbers."""


class LeakFound(DataError):
    """The leak audit found breaches: each names the feature, edge rule or step and where."""

    def __init__(self, breaches: Sequence[str]) -> None:
        self.breaches = tuple(breaches)
        told = "; ".join(self.breaches[:12])
        more = f"; and {len(self.breaches) - 12} more" if len(self.breaches) > 12 else ""
        super().__init__(f"nothing is published, the leak audit found: {told}{more}")


class ServiceError(GnnTrainerError):
    """A neighbouring service answered wrongly or not at all, after the retries it was worth."""


class TransientServiceError(ServiceError):
    """A failure of the kind that passes: timeout, 5xx, dropped or truncated answer."""

    is_transient = True


class RateLimited(TransientServiceError):
    """The service told us to slow down (HTTP 429)."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceBanned(ServiceError):
    """The service bans this address (HTTP 418) until `until_ms`, unix milliseconds."""

    def __init__(self, message: str, *, until_ms: int) -> None:
        super().__init__(message)
        self.until_ms = until_ms


class TrainingDiverged(GnnTrainerError):
    """The loss became infinite or NaN."""


class ProcessLost(GnnTrainerError):
    """A process that shared the fitting ended without saying why: killed, or out of memory."""


class ArtifactError(GnnTrainerError):
    """A published model is incomplete, altered, or of a format this version cannot read."""


class StopRequested(GnnTrainerError):
    """The run was asked to end; work done so far is kept."""
