#!/usr/bin/env bash
# Checks and measures chapter 4's kernels on the GPU of this machine, in less than five minutes.
#
#   check.sh [--out FILE] [--seconds N] [--limit N] [--device auto|gpu|executor]
#
#   --out FILE      the report; report.json beside this script
#   --seconds N     for everything together; 290. What does not fit is left out
#   --limit N       for any one step
#   --device NAME   auto: the GPU if there is one, else the executor, on which small sizes show that everything works
#
# The report is one JSON object: device, built and nvidia_smi say what ran where; steps have a result, seconds, why (unless
# passed) and says (what they printed); bench and tokens are the reports of `step04_cuda bench`, of every rung and of whole
# tokens; pytorch are rows that an operation and its shape join with theirs; goals is the table that goals.py makes of all
# these; counts and estimate are step04_cuda's own reports. `step04_cuda estimate --measured` and tools/plot.py read it.
#
# `tools/gpu.sh build` made the folder that this script lies in. It needs bash, coreutils and the GPU's driver, and uses
# python3 with PyTorch, compute-sanitizer and ncu where they are. A step that fails is written down and stops no other.
# The last line is "N passed, N failed, N left out". Exit code 0 if nothing failed, 1 if something did, 2 for wrong usage.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$here/report.json seconds=290 most=0 device=auto

usage_error() {
    echo "check.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --out | --seconds | --limit | --device) [ $# -gt 1 ] || usage_error "$1 needs a value" ;;
        *) usage_error "unknown argument '$1'" ;;
    esac
    case $1 in
        --out) out=$2 ;;
        --seconds) seconds=$2 ;;
        --limit) most=$2 ;;
        --device) device=$2 ;;
    esac
    shift 2
done
[[ $seconds$most =~ ^[0-9]+$ ]] || usage_error "expected whole numbers of seconds, found '$seconds' and '$most'"
[[ $device =~ ^(auto|gpu|executor)$ ]] || usage_error "expected auto, gpu or executor, found '$device'"
out=$(realpath -m "$out")
: >"$out" || usage_error "the report cannot be written: $out"
cd "$here"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What the driver compiles is kept for this run alone, so that every report has the time that it takes.
export CUDA_CACHE_PATH=$work/cuda_cache
passed=0 failed=0 left_out=0
steps=$work/steps
: >"$steps"

# --- JSON ---------------------------------------------------------------------------------------

# json_string: standard input as a JSON string, without what is no plain ASCII.
json_string() {
    local text
    text=$(tr -cd '\n\t\40-\176')
    text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\t'/ } text=${text//$'\n'/\\n}
    printf '"%s"' "$text"
}

# json_lines FILE: an array of the objects that stand in it, one a line. A program that was stopped may have left a part of one.
json_lines() {
    printf '['
    [ ! -s "$1" ] || grep -E '^\{.*\}$' "$1" | paste -s -d ,
    printf ']'
}

# json_file FILE: what stands in it, or null.
json_file() {
    if [ -s "$1" ]; then cat "$1"; else echo null; fi
}

# --- steps --------------------------------------------------------------------------------------

now() {
    date +%s%3N
}

# record NAME RESULT MILLISECONDS WHY SAYS: one step of the report, and one line on the terminal.
record() {
    local time
    time=$(printf '%d.%03d' $(($3 / 1000)) $(($3 % 1000)))
    {
        printf '{"step":%s,"result":"%s","seconds":%s' "$(json_string <<<"$1")" "$2" "$time"
        [ -z "$4" ] || printf ',"why":%s' "$(json_string <<<"$4")"
        [ -z "$5" ] || printf ',"says":%s' "$(json_string <<<"$5")"
        printf '}\n'
    } >>"$steps"
    case $2 in
        passed) passed=$((passed + 1)) ;;
        failed) failed=$((failed + 1)) ;;
        *) left_out=$((left_out + 1)) ;;
    esac
    printf '%-8s %8s s  %s%s\n' "$2" "$time" "$1" "${4:+: $4}"
}

leave_out() {
    record "$1" "left out" 0 "$2" ""
}

# What a reader of the report wants of a step's output, whether it failed or not.
worth_keeping='^RESULT|^GPU: |^on |^bit-identical|SUMMARY|^\[doctest\] (test cases|assertions)|^"'

# step NAME SECONDS COMMAND...: runs it, for as long at most. Exit code 77: it is left out, and its last line says why.
step() {
    local name=$1 limit=$2 left=$((seconds - SECONDS)) code=0 begin result=failed why says
    shift 2
    if [ "$most" -gt 0 ] && [ "$most" -lt "$limit" ]; then limit=$most; fi
    last_result="left out"
    if [ "$left" -lt 1 ]; then
        leave_out "$name" "no time left"
        return
    fi
    if [ "$limit" -gt "$left" ]; then limit=$left; else left=0; fi  # left > 0: the time for everything ends it
    begin=$(now)
    timeout -k 2 "$limit" "$@" >"$work/output" 2>&1 </dev/null || code=$?
    says=$(grep -aE "$worth_keeping" "$work/output" | tail -c 20000 || true)
    case $code in
        0) result=passed why= ;;
        77)
            result="left out"
            why=$(grep -ao 'skipped: .*' "$work/output" | tail -n 1 || tail -n 1 "$work/output")
            why=${why#skipped: }
            ;;
        124 | 137)
            why="stopped after $limit s"
            if [ "$left" -gt 0 ]; then result="left out" why="no time left, $why"; fi
            ;;
        *)
            why="exit code $code"
            if grep -aq ERR_NVGPUCTRPERM "$work/output"; then result="left out" why="this user may not read the GPU's counters"; fi
            ;;
    esac
    [ "$result" != failed ] || says=$(tail -c 3000 "$work/output")
    record "$name" "$result" $(($(now) - begin)) "$why" "$says"
    last_result=$result
}

# on_gpu NAME TOOL SECONDS COMMAND...: a step for which there have to be a GPU and this tool.
on_gpu() {
    local name=$1 tool=$2
    shift 2
    if [ "$device" != gpu ]; then
        leave_out "$name" "no GPU: $why_no_gpu"
    elif ! command -v "$tool" >/dev/null; then
        leave_out "$name" "there is no $tool"
    else
        step "$name" "$@"
    fi
}

# --- what is run --------------------------------------------------------------------------------

# golden CHECKSUM COMMAND...: runs it, and fails unless it prints the checksum that stands under this name in golden.txt.
golden() {
    local expected printed code=0
    expected=$(sed -n "s/^$1 //p" tests/data/golden.txt)
    if [ -z "$expected" ]; then echo "golden.txt has no $1" && return 1; fi
    printed=$("${@:2}") || code=$?
    echo "$printed"
    [ "$code" -eq 0 ] || return "$code"
    grep -q "^RESULT .*checksum=$expected\b" <<<"$printed" || { echo "expected the committed checksum of $1, $expected" && return 1; }
}
export -f golden

# generate NAME SECONDS CHECKSUM OPTION...: a text on the device and on the CPU; the step fails unless all bits are the same, and
# the committed ones.
generate() {
    local name=$1 limit=$2 checksum=$3
    shift 3
    step "generate: $name" "$limit" bash -c 'golden "$@"' golden "$checksum" \
        ./step04_cuda generate --device "$device" --compare --ignore-end "$@"
}

run_programs() {
    step "the executor and the GPU" 30 ./step04_cuda simt
    generate "the first time, the driver compiles" 90 generate-tiny -m tiny -p Noah -n 24
    generate "again" 30 generate-tiny -m tiny -p Noah -n 24
    generate "deep, a batch of 4, sampled" 60 generate-deep -m deep -p "In the beginning" -n 64 --batch 4 -t 0.8 --top-k 40 -s 5
    local operation rung
    while read -r operation rung; do
        generate "$operation $rung" 20 generate-tiny -m tiny -p Noah -n 24 "--$operation" "$rung"
    done <"$work/rungs"
}

# On a GPU all cases at once; if that fails, and on the executor, which takes its time, each in a process of its own, to say
# which: after a kernel's fault a process can use its GPU no more. Left aside are the cases about the executor itself, about
# host code, and those that only repeat a case with every access checked (tests/programs.cmake names the same).
run_tests() {
    local suite=(./step04_tests -ts=step04 '-sfe=*_simt_test*,*_counters_*,*_device_*,*messages*,*misuse*')
    local aside='*checked launches*,*are counted*,*is counted*,*counts as*,*host code never*,*reported*,*reports*,*report blocks*,*before the wait*,*room for*,*checks are*,*read once*,*through a pass*,*no sector twice*,*every sector whole*,*fewer sectors*,*that suits*,*in two launches*,*share a tile*,*SmolLM2*' name
    if [ "$device" = gpu ]; then
        step "tests: step 4 on the device" 90 env "KVLAB_TEST_DEVICE=$device" "${suite[@]}" "-tce=$aside"
        [ "$last_result" = failed ] || return 0
    fi
    "${suite[@]}" "-tce=$aside" -ltc | grep -vE '^(\[doctest\]|=+$)' >"$work/cases" || true
    [ -s "$work/cases" ] || record "tests" failed 0 "step04_tests lists no case" ""
    while read -r name; do
        step "test: $name" 60 env "KVLAB_TEST_DEVICE=$device" "${suite[@]}" "-tc=$name"
    done <"$work/cases"
}

run_measurements() {
    local size=() models=()
    [ "$device" = gpu ] || size=(--small) models=(-m tiny --synthetic smollm2 --types F32)
    step "bench: every rung" 90 ./step04_cuda bench --device "$device" "${size[@]}" \
        --only linear,attention,norm,argmax --seconds 55 --json "$work/bench"
    step "bench: whole tokens" 90 ./step04_cuda bench --device "$device" "${size[@]}" "${models[@]}" \
        --only tokens --seconds 55 --json "$work/tokens"
    if command -v python3 >/dev/null; then
        step "PyTorch on the same shapes" 60 python3 baseline.py "${size[@]}" "$work/pytorch"
    else
        leave_out "PyTorch on the same shapes" "there is no python3"
    fi
}

run_tools() {
    local tool kernels linear attention
    # The best rung of each ladder comes last; the decoder takes others for most sizes by itself.
    linear=$(awk '$1 == "linear" {print $2}' "$work/rungs" | tail -n 1)
    attention=$(awk '$1 == "attention" {print $2}' "$work/rungs" | tail -n 1)
    for tool in memcheck racecheck initcheck synccheck; do
        on_gpu "$tool" compute-sanitizer 40 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            ./step04_cuda generate -m tiny -n 3 --device gpu
        on_gpu "$tool, the last rungs" compute-sanitizer 40 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            ./step04_cuda generate -m tiny -n 2 --device gpu --linear "$linear" --attention "$attention"
        on_gpu "$tool, a token in one kernel" compute-sanitizer 40 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            ./step04_cuda generate -m tiny -n 2 --device gpu --token persistent
    done
    kernels='regex:linear|attention|norm|token'
    on_gpu "profile" ncu 45 ncu --clock-control none --csv -k "$kernels" -s 200 -c 12 --metrics \
        "gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active,launch__grid_size" \
        ./step04_cuda generate -m deep -n 8 --device gpu
}

run_reports() {
    step "step04_cuda ladders" 40 ./step04_cuda ladders --json "$work/counts"
    step "step04_cuda estimate" 40 ./step04_cuda estimate --json "$work/estimate"
}

# --- the report ---------------------------------------------------------------------------------

write_report() {
    local smi=null
    if command -v nvidia-smi >/dev/null; then
        smi=$(timeout 10 nvidia-smi --format=csv \
            --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,clocks.sm,power.limit,memory.total 2>&1 | json_string || true)
    fi
    printf '{"schema":1,"experiment":"tools/gpu.sh","device":"%s"' "$device"
    [ -z "$why_no_gpu" ] || printf ',"why_no_gpu":%s' "$(json_string <<<"$why_no_gpu")"
    printf ',\n"built":%s,\n"nvidia_smi":%s' "$(json_file build.json)" "${smi:-null}"
    printf ',\n"passed":%d,"failed":%d,"left_out":%d,"seconds":%d' "$passed" "$failed" "$left_out" "$SECONDS"
    printf ',\n"steps":%s' "$(json_lines "$steps")"
    local report
    for report in bench tokens counts estimate; do printf ',\n"%s":%s' "$report" "$(json_file "$work/$report")"; done
    printf ',\n"pytorch":%s}\n' "$(json_lines "$work/pytorch")"
}

# add_goals: the table of goals, on the terminal and in the report.
add_goals() {
    if command -v python3 >/dev/null; then
        python3 goals.py --add "$out" || echo "goals.py failed; the report is there without the table"
    else
        echo "the goals: there is no python3; 'python3 goals.py report.json' prints them elsewhere"
    fi
}

# choose_device: "auto" becomes what there is.
choose_device() {
    local found
    timeout 60 ./step04_cuda bench --list >"$work/list" 2>&1 || true
    found=$(sed -n 's/^device //p' "$work/list")
    why_no_gpu=
    [ "$found" = gpu ] || why_no_gpu=${found#executor: }
    [ "$device" != executor ] || why_no_gpu="the executor was asked for"
    if [ "$device" = auto ]; then device=$([ "$found" = gpu ] && echo gpu || echo executor); fi
    # Those that `generate` can be told to take.
    sed -n 's/^rung \(linear\|norm\|attention\|token\) \([^:]*\):.*/\1 \2/p' "$work/list" >"$work/rungs"
    echo "device: $device${why_no_gpu:+, no GPU: $why_no_gpu}"
}

choose_device
run_programs
run_tests
run_measurements
run_tools
run_reports
write_report >"$out"
add_goals
echo "$passed passed, $failed failed, $left_out left out"
[ "$failed" -eq 0 ] || exit 1
