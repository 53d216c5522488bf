"""The error tree; each leaf knows its fate.

FaceanonError
├── UsageError              stop        wrong arguments, settings or manifest; said before any work starts (exit 2)
│   ├── SettingsError       stop        a settings file that does not say what it should
│   └── LicenceRefused      stop        a weight whose licence the settings do not allow
├── SourceError             quarantine  this video cannot be published; the archive goes on
│   ├── SourceUnreadable    quarantine  missing, empty, not a video, no permission, vanished
│   ├── SourceTruncated     quarantine  less content than the container promises, or content that does not decode
│   ├── SourceUnsupported   quarantine  a codec, container or pixel format that cannot be written back
│   ├── SourceChanged       quarantine  the bytes differ from those that were planned
│   └── LimitExceeded       quarantine  larger, or slower, than a limit in the settings
├── VerificationFailed      quarantine  the output is not what the source asks for, or a face is still visible
├── WeightsUnavailable      stop        a model file that cannot be fetched or whose digest is wrong
├── KeystoreUnavailable     stop        the key file cannot be read, or nodes disagree about it
└── StoreError
    ├── StoreUnfit          stop        a store that cannot keep what the job promises; said before any work starts (exit 2)
    ├── AlreadyExists       (answer)    a put-if-absent met an object; the caller compares
    └── StoreUnavailable    retry       the store did not answer, or answered with a passing fault
"""

from __future__ import annotations

from typing import Literal

Fate = Literal["stop", "quarantine", "retry"]


class FaceanonError(Exception):
    """Base of every error that faceanon raises on purpose.

    `reason` is one sentence for a person; `source` names the file or object that it is about, where there is one.
    """

    fate: Fate = "stop"
    exit_code: int = 1

    def __init__(self, reason: str, *, source: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.source = source

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}" if self.source else self.reason

    def __reduce__(self):  # keeps keyword arguments when the error crosses a process border
        return _rebuild, (type(self), self.reason, self.source)


def _rebuild(cls: type[FaceanonError], reason: str, source: str) -> FaceanonError:
    return cls(reason, source=source)


class UsageError(FaceanonError):
    exit_code = 2


class SettingsError(UsageError):
    pass


class LicenceRefused(UsageError):
    pass


class SourceError(FaceanonError):
    fate: Fate = "quarantine"


class SourceUnreadable(SourceError):
    pass


class SourceTruncated(SourceError):
    pass


class SourceUnsupported(SourceError):
    pass


class SourceChanged(SourceError):
    pass


class LimitExceeded(SourceError):
    pass


class VerificationFailed(FaceanonError):
    fate: Fate = "quarantine"


class WeightsUnavailable(FaceanonError):
    pass


class KeystoreUnavailable(FaceanonError):
    exit_code = 2


class StoreError(FaceanonError):
    pass


class StoreUnfit(StoreError):
    exit_code = 2


class AlreadyExists(StoreError):
    pass


class StoreUnavailable(StoreError):
    fate: Fate = "retry"
