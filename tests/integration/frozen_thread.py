"""Stops one thread of another process while the others go on, as a device that hangs does."""

import ctypes
import glob
import os

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000  # waitpid: threads too.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "ptrace")


class FrozenThread:
    """The first thread of that name stands still until let_go(), which the same thread calls."""

    def __init__(self, pid, name):
        self.thread = self._find(pid, name)
        _ptrace(_SEIZE, self.thread)  # PermissionError where tracing is not permitted.
        _ptrace(_INTERRUPT, self.thread)
        os.waitpid(self.thread, _WALL)

    @staticmethod
    def _find(pid, name):
        for path in glob.glob(f"/proc/{pid}/task/*/comm"):
            with open(path, encoding="utf-8") as file:
                if file.read().strip() == name:
                    return int(path.split("/")[-2])
        raise LookupError(f"process {pid} has no thread {name}")

    def let_go(self):
        if self.thread is not None:
            _ptrace(_DETACH, self.thread)
        self.thread = None
