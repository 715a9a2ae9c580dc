"""Whether a file is still the one that was opened: its size and the time of its last change."""

from dataclasses import dataclass
from pathlib import Path

from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FileStamp:
    """A file as it stood when it was opened.

    Attributes:
        path: the file.
        size: in bytes.
        modified: time of the last change, in ns.
    """

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """The file as it stands now."""
        status = path.stat()
        return cls(path=path, size=status.st_size, modified=status.st_mtime_ns)

    def check(self) -> None:
        """Raise an `InputError` if the file has changed or vanished since."""
        try:
            now = FileStamp.of(self.path)
        except OSError as error:
            raise InputError(
                f"{self.path} could be opened but is gone now ({error.strerror}). Put it back, or check the disk that "
                "it lies on, and read it again."
            ) from error
        if now != self:
            sizes = (
                "its size is the same" if now.size == self.size else f"{self.size} bytes are {now.size} now"
            )
            raise InputError(
                f"{self.path} changed after it was opened ({sizes}). A simulation or a copy may still be writing it: "
                "wait for its end, or read a copy."
            )
