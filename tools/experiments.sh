#!/usr/bin/env bash
# Every table and picture of chapters 3 to 6, measured on this machine; what chapter 4 counts is the same on each.
#
#   tools/experiments.sh                 all of them: two to three hours on two cores
#   tools/experiments.sh --only NAME     those whose name contains NAME
#   tools/experiments.sh --background    the same, and the shell is free: the log is build/logs/experiments.log
#   tools/experiments.sh --again         also those that are there already, of the same command and program;
#                                        without it, a run that was stopped goes on where it stood
#   tools/experiments.sh --quick         small ones on the tiny model, in a few minutes: to see that all works
#   tools/experiments.sh --publish       afterwards: results and pictures into their chapters, whose tables
#                                        and README's follow them (tests/tools/snippets.py)
#   tools/experiments.sh --list
#
# Writes build/experiments/NAME.txt (what the program printed), NAME.json, and the pictures. Models that
# are not here, and pictures without matplotlib, are named as left out. Best on a machine that does
# nothing else. Exit code 0: every experiment ran and holds.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

quick=no publish=no list=no again=no background=no only= out=$root/build/experiments
programs=$root/build/release/bin
smollm2_f32=$root/weights/downloads/SmolLM2-135M-Instruct-F32.gguf
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=yes ;;
        --publish) publish=yes ;;
        --list) list=yes ;;
        --again) again=yes ;;
        --background) background=yes ;;
        --only) only=${2?--only needs a name}; shift ;;
        --out) out=${2?--out needs a folder}; shift ;;
        --programs) programs=${2?--programs needs a folder}; shift ;;  # of a build that is there already
        --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        *) echo "experiments.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done

if [ $background = yes ]; then
    foreground=()
    for argument in "${arguments[@]}"; do
        [ "$argument" = --background ] || foreground+=("$argument")
    done
    setsid nohup "$root/tools/experiments.sh" "${foreground[@]}" >"$logs/experiments.log" 2>&1 </dev/null &
    echo "runs as process $!; what it does: $logs/experiments.log; kill -- -$! stops it"
    exit
fi

# In a function, so that the whole of it is read before it begins: it may run for half an hour.
main() {
    local options=(--only "$only" --out "$out" --programs "$programs") targets
    [ $quick = no ] || options+=(--quick)
    [ $publish = no ] || options+=(--publish)
    [ $again = no ] || options+=(--again)
    if [ $list = yes ]; then
        options+=(--list)
    elif [ "$programs" = "$root/build/release/bin" ]; then
        install_packages "${build_packages[@]}" python3-matplotlib
        mapfile -t targets < <(python3 "$root/tools/experiments.py" --targets)
        echo "building (log: build/logs/experiments-build.log) ..."
        (cd "$root" && use_ccache && cmake --preset release && cmake --build --preset release --target "${targets[@]}" kvlab_weights_app) \
            >"$logs/experiments-build.log" 2>&1
        # Some experiments want floats: the same model, expanded.
        if [ $quick = no ] && get_smollm2 && [ ! -e "$smollm2_f32" ]; then
            "$root/build/release/bin/kvlab_weights" convert SmolLM2-135M-Instruct-Q4_1 "$smollm2_f32" --type f32
        fi
    fi
    python3 "$root/tools/experiments.py" "${options[@]}"
}

main; exit  # in one line: what is behind it may have changed meanwhile
