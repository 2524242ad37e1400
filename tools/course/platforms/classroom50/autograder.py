#!/usr/bin/env python3
"""Classroom 50's runner calls this in the student's checkout, and reads ./result.json afterwards.

Put it into CLASSROOM/autograders/ASSIGNMENT/autograder.py, set STEP, and give the assignment the runtime {"runs-on": ["self-hosted",
"kvlab"]}. What lies beside this file is published with the classroom's pages, and whatever a student's workflow can fetch, its student
can fetch; so the project lies on a machine of the course, in PROJECT, where root alone may read it (chmod -R go-rwx). A file in
/etc/sudoers.d lets the runner's user call the grader, with these words and no others:

    Defaults!/opt/kvlab/tools/grade.py env_keep += "CLASSROOM ASSIGNMENT SUBMISSION_TAG COMMIT_URL RELEASE_URL REVIEW_URL OWNER USERNAME"
    runner ALL=(root) NOPASSWD: /opt/kvlab/tools/grade.py . --step [1-8] --format classroom50 -o -

An exit code other than 0 tells Classroom 50 that the grader failed, and no score is recorded.
"""
import pathlib
import subprocess
import sys

STEP = 1
PROJECT = "/opt/kvlab"


def main():
    result = pathlib.Path("result.json")
    result.unlink(missing_ok=True)  # a student's own is none
    command = ["sudo", "-n", f"{PROJECT}/tools/grade.py", ".", "--step", str(STEP), "--format", "classroom50", "-o", "-"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE)
    except OSError as error:
        print(f"autograder: {command[0]}: {error.strerror}", file=sys.stderr)
        return 1
    if done.returncode == 0:
        result.write_bytes(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
