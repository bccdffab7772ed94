"""File systems that are small, full, or cannot map shared memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_NO_SHARED_MEMORY = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Fails as a file system does that cannot map the index of SQLite's write-ahead log. */
void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    char link[64], name[4096];
    if (file >= 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t size = readlink(link, name, sizeof name);
        if (size > 4 && memcmp(name + size - 4, "-shm", 4) == 0) {
            errno = ENODEV;
            return MAP_FAILED;
        }
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    return mmap(address, length, protection, flags, file, offset);
}
"""


def no_shared_memory(folder: Path) -> dict[str, str]:
    """Returns the environment of a program for which no file system can map the index of SQLite's log."""
    source, library = folder / "no_shared_memory.c", folder / "no_shared_memory.so"
    source.write_text(_NO_SHARED_MEMORY)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own for a folder, which needs the right to mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(file: Path, leave: int) -> None:
    """Takes all room but `leave` bytes of the disk that a file is on."""
    disk = os.statvfs(file.parent)
    with file.open("ab") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - leave))
