"""Landlock, by its three system calls: a process gives up all files but those below some folders, for good.

It needs no rights, and what it starts inherits it. `man 7 landlock` says which kernel knows what: files since 5.13 (ABI 1),
TCP since 6.7 (ABI 4), signals to processes outside since 6.12 (ABI 6).
"""
import ctypes
import os
import stat
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
ONLY_THE_VERSION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))  # folders, files, sockets, links ...
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE  # what a rule of a single file may have
ALL_TCP, ALL_SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_AND_MAKE | REFER | TRUNCATE

PR_SET_NO_NEW_PRIVS = 38
libc = ctypes.CDLL(None, use_errno=True)  # loaded here, and not in a process that was just forked


def called(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def abi():
    """Landlock's version here; 0 where there is none."""
    try:
        return called(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ONLY_THE_VERSION))
    except OSError:
        return 0


def no_new_privileges():
    """No program that is started from here on gets the rights of its file's owner."""
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")


def known(version):
    """The rights over files that this version can take away; the others it does not know."""
    rights = READ | WRITE_FILE | REMOVE_AND_MAKE
    return rights | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0) | (IOCTL_DEVICE if version >= 5 else 0)


def restrict(version, reading, writing):
    """This process reads below the paths of `reading` alone and writes below those of `writing` alone, from now on.

    A path that does not exist is left out. To be called after no_new_privileges."""
    attributes = [known(version)]
    if version >= 4:
        attributes.append(ALL_TCP)
    if version >= 6:
        attributes.append(ALL_SCOPES)
    packed = struct.pack(f"<{len(attributes)}Q", *attributes)
    ruleset = called(CREATE_RULESET, packed, ctypes.c_size_t(len(packed)), ctypes.c_uint32(0))
    for path, rights in [*((path, READ) for path in reading), *((path, WRITE) for path in writing)]:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_A_FILE
        rule = struct.pack("<Qi", rights & known(version), place)
        called(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0))
        os.close(place)
    called(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)
