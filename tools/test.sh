#!/usr/bin/env bash
# Builds and tests.
#
#   tools/test.sh                one build (preset release) and all its tests, about five minutes
#   tools/test.sh --all          what CI runs: compilers, sanitizers, mutants, fuzzers, the course, install ...
#   tools/test.sh --night        the same bits from still more builds: steps 1 to n alone, unoptimised, portable kernels
#                                alone, Debian 13, 64-bit ARM; everything under sanitizers; the promises of few files;
#                                the chapters' own tests in the course's starters, every known mistake and attacks on
#                                the grader; every mutant, and what weaker checks see of it
#   tools/test.sh --stage NAME   this stage alone; may be repeated. --stages lists them
#
# Installs what is missing (Debian 12, Ubuntu 24.04 or later). Logs are in build/logs. The last line
# is "N passed, N failed", with ", N skipped" behind it if something was skipped: a skip is not a
# pass. Exit code 0 if nothing failed and something passed.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$root"
export CTEST_PARALLEL_LEVEL=$jobs

# --- inside a stage -----------------------------------------------------------------------------

# count PASSED FAILED SKIPPED: adds to the stage's sums.
count() {
    echo "$1 $2 $3" >>"$counts"
}

# check COMMAND...: one test, passed if the command succeeds.
check() {
    if "$@"; then
        count 1 0 0
    else
        echo "FAILED: $*"
        count 0 1 0
    fi
}

# skip WHY: one test that could not run.
skip() {
    echo "skipped: $*"
    count 0 0 1
}

# What `build` makes; empty: everything. A stage that runs some test programs builds only those.
targets=()
# Programs that hold everything with numbers in it; the rest reads files and text.
numeric_tests=(step01_tests step02_tests step03_tests step04_tests step05_tests step06_tests step07_tests step08_tests)
library_tests=(weights_tests "${numeric_tests[@]}" api_tests)

# A folder that was set up when the book was shorter would go on building that.
step_folders=(step0*_*)
last_step=${step_folders[-1]:5:1}
all_steps=-DKVLAB_LAST_STEP=$last_step

# build FOLDER [CMAKE OPTION...]: configures build/FOLDER and builds.
build() {
    local folder=build/$1
    shift
    cmake -S . -B "$folder" "$all_steps" "$@"
    cmake --build "$folder" ${targets[@]+--target "${targets[@]}"}
}

# build_ci [CMAKE OPTION...]: builds build/ci, the folder of all stages whose compilation is the
# same but for a few files. The programs go first: none of another stage may be left behind.
build_ci() {
    rm -rf build/ci/bin
    build ci --preset ci "$together" -DKVLAB_SCALAR=OFF -DKVLAB_BENCH=OFF "$@"
}

# What ctest is started with; the stage tsan needs something.
runner=()

# run_ctest FOLDER [CTEST OPTION...]: runs the tests of build/FOLDER and counts them.
run_ctest() {
    local folder=build/$1 report=$logs/$stage-$1.xml code=0
    shift
    rm -f "$report"
    "${runner[@]}" ctest --test-dir "$folder" --no-tests=error --output-on-failure --output-junit "$report" "$@" ||
        code=$?
    python3 tests/tools/count_junit.py "$report" "$code" "$counts"
}

# --- the stages ---------------------------------------------------------------------------------

stage_release() { # the plain form: g++ -O3, every test
    cmake --preset release "$together"
    cmake --build --preset release
    run_ctest release
}

stage_smollm2() { # fetches the real model, so that its tests run in what follows
    if get_smollm2; then count 1 0 0; else skip "SmolLM2 could not be fetched"; fi
}

stage_ci() { # g++ -O3, warnings are errors; the benchmarks run, too, but their speed is not judged
    build_ci -DKVLAB_BENCH=ON
    run_ctest ci -E '^tools_ptx'
    local bench
    for bench in build/ci/bin/*_bench; do
        check "$bench" --benchmark_min_time=0.001
    done
}

stage_ptx() { # what nvcc makes of every kernel, for several architectures: no operation that the contract forbids
    build_ci
    run_ctest ci -R '^tools_ptx'
}

stage_clang() { # clang++ -O3, warnings are errors: the same golden checksums
    build clang "$together" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release -DKVLAB_WERROR=ON
    run_ctest clang -E "$of_the_text"
}

# Unoptimised builds run what compares bits and golden checksums.
same_bits='golden|equal|same bits|same order|^simt'

# Tests of texts, of scripts, of the grader, of the figures that programs report and of the borders of their
# options: another compiler changes nothing about them. Stage ci runs them.
of_the_text='^apps_(reports|options)_|^course_grader_|_self_test$|^tools_(architecture|claims|comments|compare_peers|configure|course|device_words|experiments|fetch_smollm2|fit_(exp2|log1p)|gpu|plot|policy_programs|prose|ptx|schemes|setup|shapes|site|sizes|snippets|((policy|schedule)_)?viewer(_browser)?)$'

# of_programs TARGET...: for ctest's -L, the tests of these programs.
of_programs() {
    local IFS='|'
    echo "^($*)\$"
}

stage_gcc_o0() { # g++ -O0, only the portable kernels: the same bits
    targets=("${numeric_tests[@]}")
    build gcc-o0 "$together" -DKVLAB_SCALAR=ON -DKVLAB_GPU=OFF -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O0
    run_ctest gcc-o0 -R "$same_bits"
}

stage_clang_o0() { # clang++ -O0, the kernels of every level: the same bits
    targets=("${numeric_tests[@]}")
    build clang-o0 "$together" -DKVLAB_GPU=OFF -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O0
    run_ctest clang-o0 -R "$same_bits"
}

stage_scalar() { # only the portable kernels; each source compiled by itself, as a plain cmake does
    build_ci -DKVLAB_SCALAR=ON -DCMAKE_UNITY_BUILD=OFF
    run_ctest ci -E "$of_the_text"
}

# Tests that try so many combinations that a sanitizer takes minutes for each.
of_many_combinations='^(mixers: threads and SIMD|token: (weights of|every way|checked)|laws: (a budget|threads|random schedules with pages)|kv random|pairs|shares: equal|equality: cached equals uncached: prompts|tiles: a tile expands|attention: tiles equal)'

stage_student() { # address and undefined-behaviour sanitizers: what the libraries do
    targets=("${library_tests[@]}")
    student_build
    run_ctest student -L "$(of_programs "${targets[@]}")" -E "$of_many_combinations"
}

stage_student_whole() { # ... all of it, and the programs
    student_build
    run_ctest student -E "$of_the_text"
}

student_build() { # Line numbers are all that a report needs; -g would take half as long again.
    build student --preset student "$together" -DCMAKE_CXX_FLAGS_DEBUG=-g1
}

stage_tsan() { # thread sanitizer: the pool and all that runs on it; later steps' stores at night
    thread_sanitizer step01_tests step02_tests step03_tests api_tests
}

stage_tsan_stores() { # ... of steps 5 to 8; the executor of chapter 4 is one thread with fibers
    thread_sanitizer step05_tests step06_tests step07_tests step08_tests
}

# thread_sanitizer TARGET...: builds these test programs and runs them.
thread_sanitizer() {
    # It expects memory at certain places, and newer kernels scatter more widely than it knows.
    if setarch "$(uname -m)" -R true 2>/dev/null; then runner=(setarch "$(uname -m)" -R); fi
    targets=("$@")
    "${runner[@]}" cmake --preset tsan "$all_steps" "$together"
    "${runner[@]}" cmake --build --preset tsan --target "${targets[@]}"
    run_ctest tsan -L "$(of_programs "${targets[@]}")" --timeout 900
}

stage_prefixes() { # steps 1, 1 to 2 ... build and test without what comes later
    local last
    for ((last = 1; last < last_step; ++last)); do
        build_ci "-DKVLAB_LAST_STEP=$last"
        # What earlier steps do alone was asked of them before.
        run_ctest ci -L "^step0${last}_"
        run_ctest ci -R "^apps_command_lines_step0${last}_"
    done
}

stage_mutants() { # each wrong cache and schedule is caught by the test that its file names; so are a few made by rule
    # Those of kernels and policies take long to build: stage weaker tries them, with all that are left out here.
    graded tests/tools/mutants.py --named-alone --figures 12 --caches 2 --kernels 0 --policies 0 --formats 4 --schedules 4 --memories 6
    graded tests/tools/mutate.py --check 6
}

stage_weaker() { # ... and weaker checks, `verify` among them, see of it what its file says
    graded tests/tools/mutants.py --verify
}

# graded SCRIPT OPTION...: counts what the last line of its output says, and names the mutants that passed unnoticed.
graded() {
    local code=0 result table=$logs/mutants-table.txt
    python3 "$@" | tee "$table" || code=$?
    result=$(tail -n 1 "$table")
    [[ $result =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] || return 1
    count "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" 0
    sed -n -e 's/^\([0-9][0-9_a-z]*\) *NO .*/FAILED: mutant \1/p' -e 's/^survived *[0-9.]* s  /FAILED: survived: /p' "$table"
    [ "${BASH_REMATCH[2]}" -gt 0 ] || [ "$code" -eq 0 ]
}

stage_course() { # starters build and their tasks are open; solutions pass; some known mistakes cost their tasks' points
    graded tools/course.py prove --every 9
}

stage_mistakes() { # ... and so does every one
    graded tools/course.py prove
}

stage_book() { # the chapters' own tests in the starters: what fails waits for an open task
    graded tools/course.py book
}

stage_promises() { # one more policy, format, kernel, subcommand and experiment: few files each, and all tests know of it
    graded tests/tools/promises_test.py
    local line
    while read -r line; do skip "${line#left out: }"; done < <(grep '^left out: ' "$logs/mutants-table.txt")
}

stage_grader() { # attacks on the course's grader, as root and as a user without rights; about five minutes
    local options=()
    if [ "$(id -u)" -eq 0 ]; then options=(--other-user); else skip "only root can be another user"; fi
    graded tests/course/grader/attacks_test.py "${options[@]}"
}

stage_experiments() { # every experiment and picture of chapters 3 and 4, small
    # The same builds and programs as in stage ci.
    build_ci
    local last
    tools/experiments.sh --quick --programs "$root/build/ci/bin" --out "$root/build/experiments-quick" |
        tee "$logs/experiments-quick.txt" || true
    last=$(tail -n 1 "$logs/experiments-quick.txt")
    [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ left\ out$ ]] || return 1
    count "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"
}

stage_fuzz() { # a short run of each fuzzer
    targets=(gguf_fuzz gguf_fuzz_seeds tokenizer_fuzz tokenizer_fuzz_seeds)
    build fuzz "$together" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release -DKVLAB_FUZZ=ON \
        -DKVLAB_TESTS=ON
    run_ctest fuzz -R '_fuzz'
}

sources() {
    find step0* weights api python tests tools/gpu \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.c' -o -name '*.cu' -o -name '*.cuh' \) -not -path '*/downloads/*' | sort
}

stage_headers() { # every public header compiles alone
    targets=(header_check)
    build_ci
    count "$(find step0* weights api -path '*/include/*.h*' | wc -l)" 0 0
}

stage_format() { # clang-format 14: other versions format otherwise
    if ! command -v clang-format-14 >/dev/null; then
        skip "there is no clang-format-14"
        return
    fi
    local file
    while read -r file; do
        check clang-format-14 --dry-run -Werror "$file"
    done < <(sources)
}

stage_tidy() { # clang-tidy on every source of the libraries
    cmake -S . -B build/tidy "$all_steps" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release -DKVLAB_TESTS=OFF
    python3 tests/tools/tidy.py build/tidy "$counts"
}

# refused TEXT COMMAND...: passed if the command fails and says TEXT.
refused() {
    local text=$1 output
    shift
    if output=$("$@" 2>&1) || [[ $(tr -s '\n ' ' ' <<<"$output") != *"$text"* ]]; then
        echo "$output"
        return 1
    fi
}

stage_install() { # cmake --install, and projects of their own that use what is there
    build_ci
    rm -rf build/installed build/consumer*
    check cmake --install build/ci --prefix build/installed
    local consumer=(cmake -S tests/consumer -DCMAKE_BUILD_TYPE=Release "-DCMAKE_PREFIX_PATH=$root/build/installed")
    local version
    version=$(sed -n 's/^project(kvlab VERSION \([0-9]*\.[0-9]*\).*/\1/p' CMakeLists.txt)
    check test -n "$version"
    check "${consumer[@]}" -B build/consumer "-DKVLAB_VERSION=$version"
    check cmake --build build/consumer
    check build/consumer/consumer
    check build/consumer/cuda_consumer
    local c
    for c in c_consumer c_shared_consumer; do check "build/consumer/$c" build/installed/share/kvlab/tiny.gguf; done
    # The cache alone needs neither Boost nor CUDA; a project that names nothing goes without what needs them.
    local without=(-DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON)
    check "${consumer[@]}" "${without[@]}" -B build/consumer_kvcache -DCOMPONENTS=kvcache
    check cmake --build build/consumer_kvcache
    check build/consumer_kvcache/consumer
    check "${consumer[@]}" "${without[@]}" -B build/consumer_no_boost
    check refused "component cuda: Boost.Context is missing" \
        "${consumer[@]}" "${without[@]}" -B build/consumer_refused "-DCOMPONENTS=kvcache;cuda"
    check refused "there is no component pages; this installation has tensor, weights" \
        "${consumer[@]}" -B build/consumer_refused "-DCOMPONENTS=kvcache;pages"
    # A minor version may change what a project sees, so one that asks for an older one is told.
    check refused 'compatible with requested version "0.1"' "${consumer[@]}" -B build/consumer_refused -DKVLAB_VERSION=0.1
    local file
    for file in share/doc/kvlab/README.md share/doc/kvlab/LICENSE share/kvlab/{tiny.gguf,deep.gguf,heldout.txt,prose.txt,code.txt,recall_cases.jsonl}; do
        check test -s "build/installed/$file"
    done
    check test -z "$(find build/installed -type d -empty)"
    # The programs find the installed models and texts by themselves, from any folder.
    check env -C build -u KVLAB_WEIGHTS installed/bin/step03_kvcache generate -m tiny -p "In the" -n 4
    # ... and where the source is gone, too: an empty folder is mounted over its weights.
    if unshare --mount --propagation private true 2>/dev/null; then
        local gone=(unshare --mount --propagation private env -C build -u KVLAB_WEIGHTS bash -c
            'mount -t tmpfs none ../weights && ! [ -e ../weights/tiny.gguf ] && "$@"' gone)
        check "${gone[@]}" installed/bin/step02_attention score -m tiny --windows 2
        check "${gone[@]}" installed/bin/step03_kvcache quality -m tiny --window 32 --tokens 64
        check refused "heldout.txt: cannot" "${gone[@]}" "$root/build/ci/bin/step03_kvcache" quality -m "$root/build/installed/share/kvlab/tiny.gguf"
    else
        skip "nothing may be mounted, so the source cannot be hidden"
    fi
}

stage_python() { # the Python package as pip installs it from this tree: its tests, and the examples (PyTorch's where it is)
    local venv=build/python-venv log=$logs/python-pip.txt
    install_packages python3-venv python3-dev
    # It sees what the system's Python has: torch, if it is there.
    if ! { python3 -m venv --system-site-packages "$venv" &&
        "$venv/bin/python" -m pip install --disable-pip-version-check numpy scikit-build-core nanobind; } >"$log" 2>&1; then
        tail -n 3 "$log"
        skip "no virtual environment with numpy, scikit-build-core and nanobind could be made"
        return
    fi
    targets=(step03_kvcache)
    build_ci
    check "$venv/bin/python" -m pip install --disable-pip-version-check --no-build-isolation .
    "$venv/bin/python" tests/python/run.py --programs build/ci/bin "$counts" || true  # it has counted
}

stage_site() { # the book's site as tools/book.sh makes it: its links, its silence, 360 pixels, axe's rules; about five minutes
    targets=(step03_kvcache step05_policies)
    build_ci
    local code=0
    tools/book.sh --programs build/ci/bin || code=$?
    if [ "$code" -eq 3 ]; then
        skip "MkDocs could not be installed"
        return
    fi
    [ "$code" -eq 0 ] || return "$code"
    python3 tests/tools/site_test.py --site build/book/site --counts "$counts" || true  # it has counted
}

stage_debian13() { # g++ 14 on Debian 13, warnings are errors: the same bits
    install_packages debootstrap
    local code=0 output
    output=$(tools/debian13.sh true 2>&1) || code=$?
    echo "$output"
    if [ "$code" -eq 77 ]; then
        skip "${output##*$'\n'}"
        return
    fi
    tools/debian13.sh cmake -S /src -B /out "$all_steps" "$together" -DCMAKE_BUILD_TYPE=Release \
        "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" -DKVLAB_WERROR=ON
    # All libraries, what holds numbers, and two programs: the rest would take as long again.
    tools/debian13.sh cmake --build /out --target "${numeric_tests[@]}" step01_tensor step03_kvcache
    tools/debian13.sh ctest --test-dir /out --no-tests=error --output-on-failure -j "$jobs" \
        --output-junit /out/report.xml -R "$same_bits" || code=$?
    python3 tests/tools/count_junit.py build/debian13/out/report.xml "$code" "$counts"
    check tools/debian13.sh /out/bin/step01_tensor goldens
    check tools/debian13.sh /out/bin/step03_kvcache verify -m tiny -m deep
}

stage_aarch64() { # 64-bit ARM, emulated: steps 1 to 3 give the same bits
    install_packages g++-aarch64-linux-gnu qemu-user
    if ! command -v aarch64-linux-gnu-g++ >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
        skip "there is no compiler for aarch64 (g++-aarch64-linux-gnu), or no emulator (qemu-user)"
        return
    fi
    targets=(step01_tests step02_tests step03_tests step01_tensor step03_kvcache)
    # Warnings are not errors: at -O2 GCC 12 has false alarms that it has not at -O3.
    build aarch64 "$together" --toolchain cmake/aarch64-linux-gnu.cmake -DKVLAB_LAST_STEP=3 -DCMAKE_BUILD_TYPE=Release \
        "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG"
    run_ctest aarch64 -R "$same_bits" -L '^step0[123]_tests$'
    local emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
    check "${emulator[@]}" build/aarch64/bin/step01_tensor goldens
    check "${emulator[@]}" build/aarch64/bin/step03_kvcache verify -m tiny -m deep
}

plain_stages=(release)
all_stages=(smollm2 format ci experiments site install python headers clang student tsan fuzz mutants course tidy)
# Longer proofs of what the stages above have shown of other builds.
night_stages=(smollm2 ptx prefixes promises book mistakes grader student_whole scalar gcc_o0 clang_o0 debian13 aarch64 tsan_stores weaker)
# With a browser the viewers' pages are tried, with matplotlib the pictures, with Open MPI several processes; without, those are
# skipped.
all_packages=(ccache clang clang-format-14 clang-tidy libbenchmark-dev util-linux chromium python3-matplotlib libopenmpi-dev openmpi-bin)

# --- running stages -----------------------------------------------------------------------------

passed=0 failed=0 skipped=0

# run_stage NAME: runs it with its output in build/logs/NAME.log, and prints one line.
run_stage() {
    stage=$1
    counts=$logs/$stage.counts
    : >"$counts"
    local begin=$SECONDS code p f s
    set +e
    (
        set -e
        "stage_$stage"
    ) </dev/null >"$logs/$stage.log" 2>&1
    code=$?
    set -e
    read -r p f s < <(awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}' "$counts")
    if [ "$code" -ne 0 ] || [ $((p + f + s)) -eq 0 ]; then
        f=$((f + 1))
        echo "FAILED: the stage itself (exit code $code)" >>"$logs/$stage.log"
    fi
    printf '%-10s %4d passed %4d failed %4d skipped %5d s\n' "$stage" "$p" "$f" "$s" $((SECONDS - begin))
    grep -E '^(FAILED|skipped): ' "$logs/$stage.log" | sort | uniq -c | sed 's/^/    /' | head -n 20 || true
    grep '^said: ' "$logs/$stage.log" | sed 's/^said:/    |/' | tail -n 40 || true
    if [ "$code" -ne 0 ]; then tail -n 25 "$logs/$stage.log" | sed 's/^/    | /'; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

chosen=()
while [ $# -gt 0 ]; do
    case $1 in
        --all) chosen+=("${all_stages[@]}") ;;
        --night) chosen+=("${night_stages[@]}") ;;
        --stages)
            printf '%s\n' "${plain_stages[@]}" "${all_stages[@]}" "${night_stages[@]}" | awk '!seen[$0]++'
            exit 0
            ;;
        --stage)
            [[ " ${plain_stages[*]} ${all_stages[*]} ${night_stages[*]} " == *" ${2-} "* ]] || {
                echo "test.sh: there is no stage '${2-}'" >&2
                exit 2
            }
            chosen+=("$2")
            shift
            ;;
        --help | -h)
            sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *)
            echo "test.sh: unknown option '$1'" >&2
            exit 2
            ;;
    esac
    shift
done

install_packages "${build_packages[@]}"
if [ ${#chosen[@]} -eq 0 ]; then
    chosen=("${plain_stages[@]}")
    use_ccache
else
    install_packages "${all_packages[@]}"
    use_ccache
    if command -v clang >/dev/null; then
        install_packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    fi
fi
for name in "${chosen[@]}"; do run_stage "$name"; done
if [ $((passed + failed)) -eq 0 ]; then failed=1; fi
line="$passed passed, $failed failed"
if [ "$skipped" -gt 0 ]; then line+=", $skipped skipped"; fi
echo "$line"
[ "$failed" -eq 0 ]
