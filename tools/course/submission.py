"""The files of a submission: those of the tasks, and nothing else. What a student hands in is read with suspicion."""
import os
import pathlib
import stat
import zipfile
from dataclasses import dataclass, field

from course.tasks import Failure

LARGEST = 1 << 20  # bytes of one source; the project's own have a few thousand


@dataclass
class Submission:
    name: str
    files: dict = field(default_factory=dict)  # {file of a task: its bytes}
    refused: dict = field(default_factory=dict)  # {file of a task: why it was not taken, in one line}


def read(path, files):
    """A folder or a zip with the files of the tasks: as in the starter, below one more folder, or side by side."""
    path = pathlib.Path(path)
    submission = Submission(path.name or path.resolve().name)
    if path.is_dir():
        source = Folder(path)
    elif zipfile.is_zipfile(path):
        source = Zip(path)
    else:
        raise Failure(f"{path}: neither a folder nor a zip")
    for file in files:
        try:
            submission.files[file] = checked(file, source.read(source.place(file)))
        except Refused as why:
            submission.refused[file] = f"{file} {why}"
    return submission


class Refused(Exception):
    """Why a file was not taken."""


def checked(file, data):
    if len(data) > LARGEST:
        raise Refused(f"has more than {LARGEST >> 20} MB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"is no UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise Refused("is no text: it has a zero byte")
    return data


class Source:
    def place(self, file):
        """Where the file is: its own path, that path below the only folder, or its bare name."""
        for place in (file, *(f"{folder}/{file}" for folder in self.folders()), pathlib.PurePosixPath(file).name):
            if self.has(place):
                return place
        raise Refused("is missing from the submission")


class Folder(Source):
    def __init__(self, path):
        self.path = path

    def folders(self):
        names = sorted(p.name for p in self.path.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith((".", "__MACOSX")))
        return names if len(names) == 1 else []

    def has(self, place):
        return os.path.lexists(self.path / place)

    def read(self, place):
        """No symbolic link is followed, at no step of the way, and nothing but a plain file is opened."""
        here = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            *folders, name = place.split("/")
            for folder in folders:
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here = inner
            if not stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                raise Refused("is no plain file (a link, a folder or a device)")
            with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here), "rb") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            raise Refused(f"cannot be read: {error.strerror}") from None
        finally:
            os.close(here)


class Zip(Source):
    def __init__(self, path):
        try:
            self.zip = zipfile.ZipFile(path)
            self.members = {info.filename: info for info in self.zip.infolist()}
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise Failure(f"{path}: no zip that can be read: {error}") from None

    def folders(self):
        names = sorted({name.split("/")[0] for name in self.members if "/" in name} - {"__MACOSX"})
        return names if len(names) == 1 else []

    def has(self, place):
        return place in self.members

    def read(self, place):
        info = self.members[place]
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            raise Refused("is no plain file (a link, a folder or a device)")
        try:
            with self.zip.open(info) as file:
                return file.read(LARGEST + 1)  # what a header says of its size is not believed
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            raise Refused(f"cannot be unpacked: {str(error)[:100]}") from None
        except Exception as error:  # of the decompressor: zlib.error, lzma.LZMAError
            raise Refused(f"cannot be unpacked: {type(error).__name__}") from None
