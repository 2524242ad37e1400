#!/usr/bin/env bash
# Gradescope runs this once, while it makes the image of the autograder. The zip that is uploaded holds the whole project, and this
# file and run_autograder at its top:
#
#   cp tools/course/platforms/gradescope/{setup.sh,run_autograder} . && echo 3 >step && zip -r ../autograder.zip . -x '.git/*' 'build/*'
#
# The file `step` has the number of the chapter. The image has to be Ubuntu 24.04 or later, or Debian 12: Python 3.11, CMake 3.25.
set -euo pipefail
cd /autograder/source
step=$(cat step)
# The same packages as for everybody else; nothing is fetched later, when a submission is there.
# shellcheck source=tools/setup.sh
. tools/setup.sh
install_packages "${build_packages[@]}"
# The reference is root's alone: where the kernel has no Landlock, this is what hides it from a submission.
chmod -R go-rwx /autograder/source
# The tree that submissions are graded in is built now, so that a submission only waits for its own files.
python3 tools/grade.py --prepare --step "$step"
