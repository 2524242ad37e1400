"""A starter that is built once, and programs that differ from it in a source or two: each costs that source and a link.

The changed source is compiled as its target compiles it, and its objects come before the libraries: a static library
gives only what is still missing, so the object that lies in it is left there.
"""
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import threading

# As the preset student, but without sanitizers, which would triple the time; the checks of a debug build are on.
FLAGS = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0", "-DKVLAB_GPU=OFF"]


class NoBuild(Exception):
    """The compiler's first error."""


class Built:
    """A tree, configured and built, whose program of tasks can be linked anew with changed sources."""

    def __init__(self, root, step, flags=(), targets=()):
        self.root, self.build, self.target = pathlib.Path(root), pathlib.Path(root) / "build" / "proof", f"step{step:02}_tasks"
        # With ccache, what one starter compiled is not compiled again for the next: all of them hold the same chapters.
        os.environ["CCACHE_BASEDIR"], os.environ["CCACHE_NOHASHDIR"] = str(root), "true"
        run(["cmake", "-S", str(root), "-B", str(self.build), "-G", "Ninja", *FLAGS, *flags])
        run(["cmake", "--build", str(self.build), "--target", *(targets or [self.target])])
        self.commands = json.loads((self.build / "compile_commands.json").read_text())
        shown = run(["ninja", "-C", str(self.build), "-t", "commands", self.target])
        self.link = next(line for line in reversed(shown.splitlines()) if f"-o bin/{self.target}" in line)
        self.lock, self.known = threading.Lock(), {}  # {(file, text): objects}: most variants share all sources but one

    def program(self):
        return self.build / "bin" / self.target

    def variant(self, texts, folder):
        """A program with these sources, {path from the root: text}, in a folder of its own. Raises NoBuild."""
        objects = [object for file, text in texts.items() for object in self.objects(file, text)]
        program = folder / self.target
        words = shlex.split(self.link.split("&&")[1]) if "&&" in self.link else shlex.split(self.link)
        words[words.index("-o") + 1] = str(program)
        first = next(i for i, word in enumerate(words) if word.endswith(".a"))
        run([*words[:first], *map(str, objects), *words[first:]], self.build)
        return program

    def objects(self, file, text):
        """What a source becomes, as often as its target compiles it. Raises NoBuild."""
        with self.lock:
            key = file, text
            lock, objects = self.known.setdefault(key, (threading.Lock(), []))
        with lock:
            if not objects:
                source, folder = self.root / file, pathlib.Path(tempfile.mkdtemp(dir=self.build))
                entries = [entry for entry in self.commands if pathlib.Path(entry["file"]) == source]
                objects += [self.compiled(source, text, entry, folder / f"{number}.o") for number, entry in enumerate(entries)]
            return list(objects)

    def compiled(self, source, text, command, to):
        """The text has its source's name, which reports tell, and its #includes are looked for beside the source."""
        words = shlex.split(command["command"])
        words[words.index("-o") + 1] = str(to)
        words = [word for i, word in enumerate(words) if word not in ("-MD", "-MT", "-MF") and words[i - 1] not in ("-MT", "-MF")]
        changed = to.parent / source.name
        changed.write_text(text)
        words = [str(changed) if pathlib.Path(word) == source else word for word in words]
        run([*words, "-iquote", str(source.parent)], command["directory"])
        return to


def run(command, folder=None):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines()
        raise NoBuild(next((line for line in lines if "error" in line.lower()), lines[-1] if lines else f"{command[0]} failed"))
    return done.stdout


def removed(folder):
    shutil.rmtree(folder, ignore_errors=True)
