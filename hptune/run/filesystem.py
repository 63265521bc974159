"""Which file system a run lies on. On those of a network a lock may hold on one machine only."""

from __future__ import annotations

from pathlib import Path

# As the system names them; a file system of one's own program stands as fuse.NAME.
_SHARED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph", "lustre", "gpfs", "beegfs", "orangefs"}
    | {f"fuse.{name}" for name in ("sshfs", "s3fs", "glusterfs", "gcsfuse", "davfs2", "rclone")}
)
_MOUNTS = Path("/proc/self/mountinfo")


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of file system that a path is on, such as ext4; None where the system does not tell.

    Args:
        path: Need not exist.
        mounts: What is mounted where, as Linux tells it.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    whole = path.absolute().resolve()
    depth, kind = -1, None
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5:
            continue
        place = Path(_plain(fields[4]))
        # Of several at one place the last one hides the others.
        if whole.is_relative_to(place) and len(place.parts) >= depth:
            depth, kind = len(place.parts), after.split()[0]
    return kind


def _plain(text: str) -> str:
    """Undo how blanks are written in a list of mounts."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def warn_of_sharing(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Say what the user should know of the file system that a run lies on; None where it is one of this machine."""
    kind = file_system_of(path, mounts)
    if kind not in _SHARED:
        return None
    return (
        f"the run lies on {kind}, which machines may share and where a lock may hold on one of them only: search this "
        "run from one machine at a time; a second one is found out at its first record, and stops"
    )
