#!/usr/bin/env bash
# Runs a command on Debian 13 (g++ 14), in a folder made by debootstrap from the mirror that apt uses here.
#
#   tools/debian13.sh COMMAND [ARGUMENT...]     the source is /src (not to be written), build/debian13/out is /out
#
# The system is made once, in build/debian13/root. Exit code: the command's; 77 with one line where this
# machine cannot: another distribution, no root, no debootstrap, no network, no mounts.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=$root/build/debian13
system=$home/root
packages=g++,cmake,ninja-build,libcli11-dev,nlohmann-json3-dev,doctest-dev,libboost-context-dev,libcpp-httplib-dev,python3,ccache

cannot() {
    echo "cannot run Debian 13: $*"
    exit 77
}

# The first plain archive of Debian (not of security updates) in apt's own configuration.
mirror() {
    # The format is apt's; nothing in it is the shell's to expand.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(SITE) $(ORIGIN) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" && $3 == "main" && $4 !~ /security|updates|backports/ { print $1; exit }'
}

make_system() {
    local from
    from=$(mirror)
    [ -n "$from" ] || cannot "apt knows no archive of Debian here"
    rm -rf "$system"
    mkdir -p "$home"
    echo "making Debian 13 in build/debian13/root, some minutes; log: build/debian13/debootstrap.log"
    # In namespaces of its own: what it mounts is gone when it ends, however it ends.
    unshare --mount --propagation private debootstrap --variant=minbase --include="$packages" trixie "$system" "$from" \
        </dev/null >"$home/debootstrap.log" 2>&1 ||
        cannot "debootstrap failed: $(tail -n 1 "$home/debootstrap.log")"
    echo "$packages" >"$home/made"
}

[ $# -gt 0 ] || {
    sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
}
[ "$(id -u)" -eq 0 ] || cannot "that takes root"
command -v debootstrap >/dev/null || cannot "there is no debootstrap"
[ -e "$(dirname "$(command -v debootstrap)")/../share/debootstrap/scripts/trixie" ] || cannot "this debootstrap does not know trixie"
unshare --mount --propagation private true 2>/dev/null || cannot "nothing may be mounted"
[ "$(cat "$home/made" 2>/dev/null)" = "$packages" ] || make_system
mkdir -p "$home/out" "$home/ccache" "$system/src" "$system/out" "$system/ccache"

# $0 to $3 and then the command; all mounts are this namespace's own.
# shellcheck disable=SC2016
exec unshare --mount --propagation private bash -c '
    set -e
    system=$1 source=$2 home=$3
    shift 3
    mount -t proc proc "$system/proc" &&
        mount --bind "$source" "$system/src" && mount -o remount,bind,ro "$system/src" &&
        mount --bind "$home/out" "$system/out" && mount --bind "$home/ccache" "$system/ccache" || {
        echo "cannot run Debian 13: nothing may be mounted"
        exit 77
    }
    exec chroot "$system" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 CCACHE_DIR=/ccache \
        CMAKE_GENERATOR=Ninja CMAKE_CXX_COMPILER_LAUNCHER=ccache "$@"
' debian13 "$system" "$root" "$home" "$@"
