#!/usr/bin/env bash
# Makes the book's site: every chapter and page, the glossary, sources, both viewers, a reference of the headers, and a PDF.
#
#   tools/book.sh [--out DIR] [--programs BIN] [--no-pdf]
#
#   --out DIR        where it is made; build/book if not given. DIR/site/index.html is the first page
#   --programs BIN   the folder of the built programs, for the viewers; build/release/bin if not given. Without them
#                    the viewers' pages say how to make one
#   --no-pdf         leave out the PDF, which takes a minute
#
# Installs what is missing (Debian 12, Ubuntu 24.04 or later): Python's venv, Doxygen, Chromium, and in DIR/venv
# MkDocs with its theme, in the versions of tools/website/requirements.txt. The site needs no server and asks nothing
# of the network: open its first page, or put the folder anywhere. Without Doxygen there is no reference, and without
# Chromium no PDF; the site says so. Exit codes: 0 it is made, 1 a text leads nowhere, or a tool failed, 2 wrong
# usage, 3 MkDocs could not be installed.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

out=$root/build/book programs=$root/build/release/bin pdf=yes
while [ $# -gt 0 ]; do
    case $1 in
        --out | --programs)
            [ -n "${2-}" ] || { echo "book.sh: $1 needs a folder" >&2; exit 2; }
            if [ "$1" = --out ]; then out=$(realpath -m "$2"); else programs=$(realpath -m "$2"); fi
            shift
            ;;
        --no-pdf) pdf=no ;;
        --help | -h)
            sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *)
            echo "book.sh: unknown option '$1'; --help lists them" >&2
            exit 2
            ;;
    esac
    shift
done

# first_of PROGRAM...: the path of the first that is there and runs, or nothing. Ubuntu's chromium may be a stub.
first_of() {
    local name
    for name in "$@"; do
        if "$name" --version >/dev/null 2>&1; then command -v "$name" && return 0; fi
    done
    return 0
}

install_packages python3 python3-venv doxygen
[ -n "$(first_of chromium chromium-browser google-chrome chrome)" ] || install_packages chromium
mkdir -p "$out"
venv=$out/venv list=$root/tools/website/requirements.txt
if ! cmp -s "$list" "$venv/installed.txt"; then
    echo "installing MkDocs and its theme into $venv (log: build/logs/book-pip.log)"
    if ! { python3 -m venv --clear "$venv" && "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes -r "$list"; } \
        >"$logs/book-pip.log" 2>&1; then
        tail -n 3 "$logs/book-pip.log" >&2
        echo "book.sh: MkDocs could not be installed; it comes from PyPI, so this needs a network once" >&2
        exit 3
    fi
    cp "$list" "$venv/installed.txt"
fi
chromium=$(first_of chromium chromium-browser google-chrome chrome)
doxygen=$(first_of doxygen)
[ -n "$chromium" ] || pdf=no

options=(--programs "$programs")
[ -z "$doxygen" ] || options+=(--doxygen "$doxygen")
[ "$pdf" = no ] || options+=(--pdf)
echo "collecting the texts"
python3 "$root/tools/website.py" collect "$out" "${options[@]}"
echo "making the pages"
rm -rf "$out/site"
# It also says that it will end one day; that is nothing that a reader of this can change.
NO_MKDOCS_2_WARNING=1 "$venv/bin/mkdocs" build --quiet --strict -f "$out/mkdocs.yml"
echo "making the page to print"
options=()
[ "$pdf" = no ] || options+=(--chromium "$chromium")
python3 "$root/tools/website.py" whole "$out" ${options[@]+"${options[@]}"}
echo "the site: $out/site/index.html"
[ "$pdf" = no ] || echo "the PDF:  $out/site/kvlab.pdf"
