#!/usr/bin/env bash
# Every table and picture of chapters 3 to 6, measured on this machine; what chapter 4 counts is the same on each.
#
#   tools/experiments.sh                 all of them: chapters 3 and 4 take half an hour, 5 and 6 longer
#   tools/experiments.sh --only NAME     those whose name contains NAME
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

quick=no publish=no list=no only= out=$root/build/experiments
programs=$root/build/release/bin
chapter=step03_kvcache  # whose program runs the experiments that follow
smollm2_f32=$root/weights/downloads/SmolLM2-135M-Instruct-F32.gguf
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=yes ;;
        --publish) publish=yes ;;
        --list) list=yes ;;
        --only) only=${2?--only needs a name}; shift ;;
        --out) out=${2?--out needs a folder}; shift ;;
        --programs) programs=${2?--programs needs a folder}; shift ;;  # of a build that is there already
        --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        *) echo "experiments.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done

failed=0 left_out=0 done_=0
schemes=(linear_1_naive linear_2_coalesced linear_3_split linear_4_shared linear_5_registers
    attention_1_naive attention_2_staged attention_3_fused attention_4_split banks)

# experiment NAME ARGUMENTS...: one subcommand of the chapter's program, with its text and its JSON. A name
# that ends in _smollm2 needs that model.
experiment() {
    local name=$1
    shift
    [[ $name == *"$only"* ]] || return 0
    if [ $list = yes ]; then
        echo "$name: $chapter $*"
        return 0
    fi
    if [[ $name == *_smollm2* ]] && [ ! -e "$smollm2_f32" ]; then
        echo "left out: $name (no SmolLM2: see weights/README.md)"
        left_out=$((left_out + 1))
        return 0
    fi
    # A build with KVLAB_LAST_STEP may end before this chapter.
    if [ ! -e "$programs/$chapter" ]; then
        echo "left out: $name (no $chapter in $programs)"
        left_out=$((left_out + 1))
        return 0
    fi
    echo "running: $name"
    local begin=$SECONDS
    if NO_COLOR=1 "$programs/$chapter" "$@" --json "$out/$name.json" >"$out/$name.out" 2>"$out/$name.err"; then
        done_=$((done_ + 1))
    else
        echo "FAILED: $name (exit code $?): $(tail -n 1 "$out/$name.err")"
        failed=$((failed + 1))
        return 0
    fi
    # What the chapter shows: the command, what it printed, and where.
    {
        echo "\$ $chapter${*:+ $*}"
        cat "$out/$name.out"
        python3 - "$out/$name.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1], encoding="utf-8"))
print(f"({report['processor']}, {report['compiler']})")
PY
    } >"$out/$name.txt"
    rm "$out/$name.out"
    echo "    $((SECONDS - begin)) s"
}

# picture NAME EXPERIMENT...: drawn from the JSON of these, if they are there. Without any: a scheme.
picture() {
    local name=$1 from=() one
    shift
    [ $list = no ] || return 0
    for one in "$@"; do
        [ -e "$out/$one.json" ] || return 0
        [ ${#from[@]} -gt 0 ] || from=(--json)
        from+=("$out/$one.json")
    done
    if [ $# -gt 0 ] && ! "$python" -c 'import matplotlib' 2>/dev/null; then
        echo "left out: picture $name (no matplotlib: apt-get install python3-matplotlib)"
        left_out=$((left_out + 1))
    elif "$python" "$root/tools/plot.py" "$name" "${from[@]}" -o "$out/$name.svg" >"$out/$name.plot.log" 2>&1; then
        done_=$((done_ + 1))
    else
        echo "FAILED: picture $name: $(tail -n 1 "$out/$name.plot.log")"
        failed=$((failed + 1))
    fi
}

# Chapter 5: experiments O1 to O5 of the catalogue (--set) and what is asked of all policies. SmolLM2 is measured on
# one window of text, deep on two, and both with fewer policies: each takes a pass over it of its own.
experiments_of_policies() {
    chapter=step05_policies
    local quality=full,window,sinks,h2o,tova,snapkv,pyramidkv,key-norm,scissorhands,random,oracle,quest,minicache
    if [ $quick = yes ]; then
        experiment policy_quality quality -m tiny --tokens 128 --window 128 --prompt 64 --parts 2,8 --seeds 2
        experiment policy_needle needle --recall 1
        experiment policy_stream stream --tokens 768 --every 64 --budget 64
        experiment policy_memory memory --lengths 96,128 --prompt-tokens 64 --budget 48
        experiment policy_clock clock --lengths 96,128,192 --tokens 4 --rounds 2 --budget 48
        experiment policy_set_compare compare --set catalogue --tokens 512 --recall 1
        experiment policy_set_memory memory --set catalogue --lengths 96,512
        experiment policy_set_clock clock --set catalogue --lengths 96,512 --tokens 4 --rounds 2
        experiment policy_minicache compare --set minicache --tokens 512 --recall 0
        experiment policy_pyramid compare --set pyramid --tokens 512 --recall 0
        return 0
    fi
    experiment compare compare
    experiment policy_quality quality -m tiny
    experiment policy_quality_deep quality -m deep --tokens 1024 --policy $quality
    experiment policy_quality_smollm2 quality -m SmolLM2-135M-Instruct-Q4_1 --tokens 512 --no-bytes --policy $quality
    experiment policy_needle needle -m tiny
    experiment policy_needle_deep needle -m deep --recall 3
    experiment policy_stream stream -m tiny
    experiment policy_stream_deep stream -m deep
    experiment policy_stream_smollm2 stream -m SmolLM2-135M-Instruct-Q4_1 --tokens 1024 --every 64
    experiment policy_memory memory
    experiment policy_clock clock -m tiny-shape
    experiment policy_clock_deep clock -m deep-shape
    experiment policy_clock_large clock -m SmolLM2-shape --tokens 8 --rounds 3 --lengths 512,1024,4096 \
        --policy sinks,sinks-relative,h2o,tova,pyramidkv-ratios,quest,minicache
    experiment policy_set_memory memory --set catalogue --prompt-tokens 256 --lengths 256,512,1024,2048,4096
    experiment policy_set_clock clock --set catalogue
    experiment policy_set_compare compare -m tiny --set catalogue
    experiment policy_set_compare_deep compare -m deep --set catalogue --tokens 2048 --recall 10
    experiment policy_minicache compare -m tiny --set minicache
    experiment policy_minicache_deep compare -m deep --set minicache --tokens 1024 --recall 5
    experiment policy_minicache_smollm2 compare -m SmolLM2-135M-Instruct-Q4_1 --set minicache --tokens 512
    experiment policy_pyramid compare -m tiny --set pyramid
    experiment policy_pyramid_deep compare -m deep --set pyramid --tokens 2048 --recall 10
    experiment policy_pyramid_smollm2 compare -m SmolLM2-135M-Instruct-Q4_1 --set pyramid --tokens 512
}

pictures_of_policies() {
    local quality=(policy_quality policy_quality_deep policy_quality_smollm2) stream=(policy_stream policy_stream_deep policy_stream_smollm2)
    local minicache=(policy_minicache policy_minicache_deep policy_minicache_smollm2)
    [ $quick = no ] || quality=(policy_quality) stream=(policy_stream) minicache=(policy_minicache)
    picture policy_quality "${quality[@]}"
    picture policy_kl "${quality[@]}"
    picture policy_sinks "${quality[@]}"
    picture policy_stream "${stream[@]}"
    picture policy_recall policy_needle
    picture policy_time policy_set_clock
    picture policy_bytes policy_set_clock
    picture policy_minicache "${minicache[@]}"
}

# Chapter 6: experiments O6, O8, O9, L5 and R5 of the catalogue. SmolLM2 is measured on one window of text: its file is
# in Q4_1 already, so its rows are relative to that.
experiments_of_numbers() {
    chapter=step06_quant
    local smollm2=(-m SmolLM2-135M-Instruct-Q4_1 --tokens 512) deep=(--tokens 1024 --recall 3) small=(--tokens 128 --window 128 --recall 0) calibrated=(--calibration 128)
    if [ $quick = yes ]; then
        experiment quant_table_tiny -m tiny "${small[@]}" --law 32
        experiment quant_kv_deep kv "${small[@]}" --residual 32
        experiment quant_kv_deep_rotated kv "${small[@]}" --residual 32 --rotate
        experiment quant_histogram_deep histogram --tokens 64
        experiment quant_bytes_deep bytes --lengths 64,256,1024
        experiment quant_clock_tiny kv-clock -m tiny --codes f32,f16,int8 --lengths 40,64 --tokens 2 --rounds 1
        experiment quant_weights_tiny weights "${small[@]}" "${calibrated[@]}" --steps 4 --rounds 1
        experiment quant_smooth_tiny smooth "${small[@]}" "${calibrated[@]}"
        experiment quant_lowrank_tiny lowrank "${small[@]}" "${calibrated[@]}"
        return 0
    fi
    experiment quant_table_tiny -m tiny
    experiment quant_table_deep
    experiment quant_table_smollm2 "${smollm2[@]}" --law 144
    experiment quant_kv_tiny kv -m tiny
    experiment quant_kv_deep kv --tokens 2048 --recall 5
    experiment quant_kv_deep_rotated kv --tokens 2048 --recall 0 --rotate
    experiment quant_kv_deep_outliers kv --tokens 2048 --recall 0 --inject
    experiment quant_kv_deep_outliers_rotated kv --tokens 2048 --recall 0 --inject --rotate
    experiment quant_kv_deep_before_rope kv --tokens 2048 --recall 0 --pre-rope
    experiment quant_kv_deep_sinks kv --tokens 2048 --recall 0 --sinks 4
    experiment quant_kv_smollm2 kv "${smollm2[@]}"
    experiment quant_kv_smollm2_rotated kv "${smollm2[@]}" --rotate
    experiment quant_kv_smollm2_sinks kv "${smollm2[@]}" --codes q8_0,q4_0,kivi2 --of both --sinks 4
    experiment quant_histogram_deep histogram
    experiment quant_histogram_smollm2 histogram -m SmolLM2-135M-Instruct-Q4_1
    experiment quant_bytes_deep bytes
    experiment quant_clock_smollm2 kv-clock --threads 1
    experiment quant_clock_smollm2_threads kv-clock --threads 2
    experiment quant_weights_tiny weights -m tiny
    experiment quant_weights_deep weights -m deep "${deep[@]}"
    experiment quant_weights_deep_outlier weights -m deep "${deep[@]}" --factor 20
    experiment quant_weights_smollm2 weights "${smollm2[@]}" --calibration 512 --formats f32,f16,q8_0,q4_0,q4_1,q4_k,int8-row,nf4
    experiment quant_smooth_tiny smooth -m tiny
    experiment quant_smooth_deep smooth -m deep "${deep[@]}"
    experiment quant_smooth_deep_inner smooth -m deep "${deep[@]}" --inner
    experiment quant_smooth_smollm2 smooth "${smollm2[@]}" --calibration 512
    experiment quant_smooth_clock_smollm2 smooth --clock -m SmolLM2-135M-Instruct-Q4_1
    experiment quant_lowrank_tiny lowrank -m tiny
    experiment quant_lowrank_deep lowrank -m deep "${deep[@]}"
    experiment quant_lowrank_smollm2 lowrank "${smollm2[@]}" --calibration 2048
}

pictures_of_numbers() {
    local size=deep clock=quant_clock_smollm2 kv=(quant_kv_deep quant_kv_deep_rotated) weights=(quant_weights_tiny) one
    if [ $quick = yes ]; then
        size=tiny clock=quant_clock_tiny
    else
        kv+=(quant_kv_deep_outliers quant_kv_deep_outliers_rotated)
        for one in quant_kv_smollm2 quant_kv_smollm2_rotated; do
            [ ! -e "$out/$one.json" ] || kv+=("$one")
        done
        weights+=(quant_weights_deep quant_weights_deep_outlier)
    fi
    picture quant_error "${kv[@]}"
    picture quant_histogram quant_histogram_deep
    picture quant_bytes quant_bytes_deep
    picture quant_time $clock
    picture quant_weights "${weights[@]}"
    picture quant_smooth quant_smooth_$size
    picture quant_lowrank quant_lowrank_$size
}

# names FOLDER ENDING: of its files with that ending, without it.
names() {
    find "$1" -name "*$2" -exec basename {} "$2" \;
}

# In a function, so that the whole of it is read before it begins: it may run for half an hour.
main() {
    if [ $list = no ]; then
        mkdir -p "$out"
        if [ "$programs" = "$root/build/release/bin" ]; then
            install_packages "${build_packages[@]}" python3-matplotlib
            echo "building (log: build/logs/experiments-build.log) ..."
            (cd "$root" && use_ccache && cmake --preset release && cmake --build --preset release --target step03_kvcache step04_cuda step05_policies step06_quant kvlab_weights) \
                >"$logs/experiments-build.log" 2>&1
            # Some experiments want floats: the same model, expanded.
            if [ $quick = no ] && get_smollm2 && [ ! -e "$smollm2_f32" ]; then
                "$root/build/release/bin/kvlab_weights" convert SmolLM2-135M-Instruct-Q4_1 "$smollm2_f32" --type f32
            fi
        fi
    fi
    # The system's Python, or one that has matplotlib.
    python=${KVLAB_PYTHON:-python3}

    if [ $quick = yes ]; then
        experiment verify verify -m tiny -n 8
        experiment count count
        experiment count_short count -n 16
        experiment memory memory -m tiny
        experiment wall_clock clock -m tiny -n 16,32 --rounds 2 --cache f32,f16,int8
        experiment batch clock -m tiny --prompt 8 -n 16 --batch 1,2,4 --rounds 2 --no-uncached
        experiment held_f16 memory -m tiny --prompt 8 -n 17,33,65 --cache f16
        experiment lengths clock -m tiny --prompt 8 -n 17,33,65 --rounds 2 --cache f32,f16 --no-uncached
        experiment quality quality -m tiny --tokens 1024 --window 64
        experiment why diverge -m tiny --switch all -t 0.8 -n 32
        experiment regimes regimes -m tiny --prefill 16,64 --batch 1,2,4 --context 16 --contexts 0,64 --rounds 2 --seconds 0.01
        experiment ablation ablate -m tiny --quick
    else
        experiment verify verify -m tiny -m deep
        experiment count count
        for n in 1 4 16 50 200 450; do
            experiment count_$n count -n $n
        done
        experiment memory memory
        experiment wall_clock clock -m tiny --prompt 16 -n 32,128,448 --threads 1
        experiment wall_clock_smollm2 clock -m SmolLM2-135M-Instruct-Q4_1 --prompt 16 -n 64 --rounds 5
        experiment lab3 clock -m distilgpt2 --prompt 4 -n 32,64,128,256 --cache f32,f16,int8
        experiment report_r1 clock -m distilgpt2 --prompt 4 -n 100
        experiment batch clock -m distilgpt2 --prompt 50 -n 64 --batch 1,2,4 --no-uncached
        experiment lengths clock -m distilgpt2 --prompt 50 -n 33,65,129,257,513 --cache f32,f16 --no-uncached
        for format in f32 f16 int8; do
            experiment held_$format memory --prompt 50 -n 33,65,129,257,513 --cache $format
        done
        experiment quality_smollm2 quality
        experiment why diverge -m tiny --switch all -t 0.8 -n 200
        experiment why_smollm2 diverge -m SmolLM2-135M-Instruct-Q4_1 --switch all -t 0.8 -n 32
        experiment regimes_distilgpt2 regimes -m distilgpt2
        experiment regimes_smollm2 regimes -m SmolLM2-135M-Instruct-F32
        experiment ablation_smollm2 ablate
    fi
    # Chapter 4 counts; it has nothing smaller for --quick.
    chapter=step04_cuda
    experiment ladders ladders
    experiment estimate estimate
    experiments_of_policies
    experiments_of_numbers

    picture equivalence verify why
    counts=(count count_1 count_4 count_16 count_50 count_200 count_450)
    [ $quick = no ] || counts=(count count_short)
    picture flops "${counts[@]}"
    picture memory_breakdown memory
    picture crossover memory
    picture wall_clock wall_clock
    held=(held_f32 held_f16 held_int8)
    [ $quick = no ] || held=(held_f16)
    picture cache_memory "${held[@]}"
    picture batch batch
    picture quality "quality$([ $quick = yes ] || echo _smollm2)"
    picture drift why
    picture ulp_heat why
    picture regimes "regimes$([ $quick = yes ] || echo _smollm2)"
    picture contexts "regimes$([ $quick = yes ] || echo _smollm2)"
    picture ablation "ablation$([ $quick = yes ] || echo _smollm2)"
    picture cuda_traffic ladders
    picture cuda_estimate estimate
    pictures_of_policies
    pictures_of_numbers
    for name in "${schemes[@]}"; do
        [[ $name != *"$only"* ]] || picture "$name"
    done
    [ $list = no ] || exit 0

    if [ -z "$only" ] || [[ viewer == *"$only"* ]]; then
        echo "running: viewer"
        if "$programs/step03_kvcache" generate -m tiny -p "In the beginning" -n 24 --compare --trace "$out/run.jsonl" >"$out/viewer.log" &&
            python3 "$root/tools/viewer.py" "$out/run.jsonl" -o "$out/run.html"; then
            done_=$((done_ + 1))
        else
            echo "FAILED: viewer"
            failed=$((failed + 1))
        fi
    fi

    if [ $publish = yes ]; then
        for chapter in "$root/step03_kvcache" "$root/step04_cuda" "$root/step05_policies" "$root/step06_quant"; do
            mkdir -p "$chapter/results" "$chapter/pictures"
            # What of it the chapter shows, or has shown before.
            for name in $(sed -n 's/^<!-- measured: \(.*\) -->$/\1/p' "$chapter/README.md" 2>/dev/null; names "$chapter/results" .txt); do
                [ ! -e "$out/$name.txt" ] || cp "$out/$name.txt" "$chapter/results/"
            done
            for name in $(sed -n 's/^!\[.*(pictures\/\(.*\)\.svg)$/\1/p' "$chapter/README.md" 2>/dev/null; names "$chapter/pictures" .svg); do
                [ ! -e "$out/$name.svg" ] || cp "$out/$name.svg" "$chapter/pictures/"
            done
        done
        python3 "$root/tests/tools/snippets.py" --write
    fi
    echo "in $out"
    echo "$done_ passed, $failed failed, $left_out left out"
    [ $failed -eq 0 ]
}

main; exit  # in one line: what is behind it may have changed meanwhile
