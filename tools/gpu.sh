#!/usr/bin/env bash
# Chapter 4 on a real GPU. Machines with one often have no network and none of the packages that building needs; so a
# folder is built elsewhere, copied there, and run once.
#
#   tools/gpu.sh build [--out FOLDER] [--nvcc FILE]   needs nvcc, no GPU; build/gpu. Exit code 77 without nvcc
#   tools/gpu.sh run FOLDER [OPTION...]               the same as FOLDER/check.sh [OPTION...]
#
# The folder needs glibc 2.34 or later, bash and a driver as new as nvcc, and nothing else: not this repository either.
# FOLDER/check.sh compares every kernel with the CPU, bit for bit, times every rung, and leaves FOLDER/report.json, in
# less than five minutes; FOLDER/check.sh --help lists its options. Without a GPU it tries all that the executor can run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
}

usage_error() {
    echo "gpu.sh: $1; --help lists what there is" >&2
    exit 2
}

# What the folder may need of the machine that it is copied to, and how large it may be: some ways of copying end at 64 MiB.
libraries='^(libc\.so\.6|libm\.so\.6|ld-linux-x86-64\.so\.2)$'
newest_glibc=2.34 most_mib=60
programs=(step04_cuda step04_tests)

# find_nvcc FILE: the one that was named, or one that is on the path or where toolkits are installed.
find_nvcc() {
    local nvcc places=("$1")
    [ -n "$1" ] || places=("$(command -v nvcc || true)" "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" /usr/local/cuda/bin/nvcc)
    for nvcc in "${places[@]}"; do
        if [ -x "$nvcc" ] && "$nvcc" --version >/dev/null 2>&1; then
            echo "$nvcc"
            return
        fi
    done
    return 1
}

# check_needs PROGRAM: fails, naming it, if the program needs more than the folder promises. Prints the glibc it needs.
check_needs() {
    local other glibc
    other=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE "$libraries" || true)
    if [ -n "$other" ]; then
        echo "gpu.sh: $1 needs $(paste -s -d ' ' <<<"$other")" >&2
        return 1
    fi
    glibc=$(readelf -V "$1" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
    if [ "$(printf '%s\n' "GLIBC_$newest_glibc" "$glibc" | sort -V | tail -n 1)" != "GLIBC_$newest_glibc" ]; then
        echo "gpu.sh: $1 needs $glibc, expected at most $newest_glibc" >&2
        return 1
    fi
    echo "${glibc#GLIBC_}"
}

# describe NVCC GLIBC: what a report has to be read with.
describe() {
    local commit
    commit=$(git -C "$root" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
    printf '{"commit":"%s","compiler":"%s","nvcc":"%s","glibc":"%s"}\n' "$commit" \
        "$("${CXX:-c++}" --version | head -n 1 | tr -d '"')" "$("$1" --version | grep -o 'release [0-9.]*')" "$2"
}

build() {
    local out='' nvcc='' program glibc='' size
    while [ $# -gt 0 ]; do
        case $1 in
            --out | --nvcc)
                [ $# -gt 1 ] || usage_error "$1 needs a value"
                if [ "$1" = --out ]; then out=$2; else nvcc=$2; fi
                shift 2
                ;;
            *) usage_error "build: unknown argument '$1'" ;;
        esac
    done
    if ! nvcc=$(find_nvcc "$nvcc"); then
        echo "gpu.sh: there is no nvcc that works, so nothing is built; --nvcc FILE names one"
        exit 77
    fi
    # shellcheck source=tools/setup.sh
    . "$root/tools/setup.sh"
    out=$(realpath -m "${out:-$root/build/gpu}")
    if [ -e "$out" ] && [ ! -e "$out/check.sh" ] && [ -n "$(ls -A "$out")" ]; then
        usage_error "$out is there and holds something else"
    fi
    install_packages "${build_packages[@]}"
    use_ccache
    mkdir -p "$root/build/gpu-tree"
    "${CXX:-c++}" -std=c++20 -O1 -Wall -Wextra -c "$root/tools/gpu/older_glibc.cpp" -o "$root/build/gpu-tree/older_glibc.o"
    # Relative: the programs find models and golden checksums where they are started.
    CUDACXX=$nvcc cmake -S "$root" -B "$root/build/gpu-tree" "$together" -DCMAKE_BUILD_TYPE=Release -DKVLAB_GPU=ON \
        -DKVLAB_LAST_STEP=4 -DKVLAB_DATA_DIR:STRING=. -DBoost_USE_STATIC_LIBS=ON \
        "-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc \"$root/build/gpu-tree/older_glibc.o\""
    cmake --build "$root/build/gpu-tree" --target "${programs[@]}"
    mkdir -p "$out/weights" "$out/tests/data"
    cp "$root"/build/gpu-tree/bin/{step04_cuda,step04_tests} "$root"/tools/gpu/{check.sh,baseline.py,goals.py} "$out"
    cp "$root"/weights/{tiny,deep}.gguf "$out/weights"
    cp "$root/tests/data/golden.txt" "$out/tests/data"
    for program in "${programs[@]}"; do glibc+=$(check_needs "$out/$program")$'\n'; done
    glibc=$(sort -V <<<"$glibc" | tail -n 1)
    describe "$nvcc" "$glibc" >"$out/build.json"
    size=$(du -sm "$out" | cut -f 1)
    [ "$size" -le "$most_mib" ] || { echo "gpu.sh: $out has $size MiB, at most $most_mib are wanted" >&2 && exit 1; }
    echo "$out: $size MiB, needs glibc $glibc; copy it to the machine with the GPU and start check.sh there"
}

case ${1-} in
    --help | -h) usage ;;
    build) build "${@:2}" ;;
    run)
        [ $# -gt 1 ] || usage_error "run: which folder?"
        [ -x "$2/check.sh" ] || usage_error "run: there is no $2/check.sh"
        exec "$2/check.sh" "${@:3}"
        ;;
    '') usage_error "build or run?" ;;
    *) usage_error "unknown argument '$1'" ;;
esac
