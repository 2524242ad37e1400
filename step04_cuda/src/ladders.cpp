// ladders.cpp - chapter 4: the tables of all rungs. Each is launched beside its kernel.
#include <kvlab/cuda/ladders.hpp>

#include <array>

#include "kernels/arguments.hpp"
#include "kernels/sizes.hpp"
#include "launch_checks.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

namespace kernels {

using LinearLaunch = void(const LinearArgs& args, unsigned threads, Scratch& scratch);
LinearLaunch launch_linear_naive, launch_linear_coalesced, launch_linear_split,
    launch_linear_shared, launch_linear_registers, launch_linear_vector, launch_linear_wide,
    launch_linear_pipelined;

using NormLaunch = void(const NormArgs& args, unsigned threads);
NormLaunch launch_rms_norm_naive, launch_rms_norm_block, launch_rms_norm_vector;

using AttentionLaunch = void(const AttentionArgs& args, unsigned threads, Scratch& scratch);
AttentionLaunch launch_attention_naive, launch_attention_staged, launch_attention_fused,
    launch_attention_split, launch_attention_vector, launch_attention_async;

// best [kArgmaxInts]: the answer, then room for what blocks leave to each other.
using ArgmaxLaunch = void(const float* values, int count, int* best, unsigned threads);
ArgmaxLaunch launch_argmax_naive, launch_argmax_tree, launch_argmax_blocks;

namespace {

// Block sizes to try: the usual one, fewer threads than a warp, part of one, several.
constexpr std::array<int, 6> kOutputs = {128, 1, 32, 50, 64, 1024};  // a thread for each
constexpr std::array<int, 4> kColumns = {512, 64, 192, 1024};        // kPanel wide
constexpr std::array<int, 4> kFours = {256, 16, 48, 1024};           // a thread for 4 columns
constexpr std::array<int, 1> kSquare = {256};
constexpr std::array<int, 1> kColumn = {kPanel};
constexpr std::array<int, 1> kPipe = {128};
constexpr std::array<int, 5> kNormBlocks = {128, 1, 32, 50, 1024};
constexpr std::array<int, 4> kSlotBlocks = {128, 1, 50, 1024};  // a thread for each slot
constexpr std::array<int, 1> kTileBlock = {kTile};
constexpr std::array<int, 1> kOneTile = {kVectorThreads};
constexpr std::array<int, 4> kRowThreads = {kMostFlashRows * kThreadsPerRow, 32, 64, 128};
constexpr std::array<int, 4> kWarps = {128, 32, 256, 1024};
constexpr std::array<int, 1> kAlone = {1};
constexpr std::array<int, 1> kWideRow = {kNormThreads};
constexpr std::array<int, 4> kShares = {256, 32, 96, 1024};
constexpr std::array<int, 4> kTrees = {1024, 1, 32, 256};

constexpr MatrixLayout kRows = MatrixLayout::rows, kPanels = MatrixLayout::panels;

// ANCHOR: table
constexpr LinearRung kLinearRungs[] = {
    {{"naive", "a thread per output, weights in rows", kOutputs}, kRows, launch_linear_naive},
    {{"coalesced", "weights in panels: neighbours read neighbours", kOutputs},
     kPanels,
     launch_linear_coalesced},
    {{"split", "a thread per output and block of 64 inputs", kColumns, kPanel},
     kPanels,
     launch_linear_split},
    {{"shared", "16 rows share a tile of weights in shared memory", kColumns, kPanel},
     kPanels,
     launch_linear_shared},
    {{"registers", "4 x 4 outputs per thread in registers", kSquare},
     kPanels,
     launch_linear_registers},
    {{"vector", "4 columns per thread: wide loads, 8 under way", kFours, 16},
     kPanels,
     launch_linear_vector},
    {{"wide", "a block per panel and chain, combined in order", kColumn},
     kPanels,
     launch_linear_wide},
    {{"pipelined", "8 x 8 outputs per thread, the next tiles on their way", kPipe},
     kPanels,
     launch_linear_pipelined},
};

// ANCHOR_END: table

constexpr NormRung kNormRungs[] = {
    {{"naive", "a thread per row", kNormBlocks}, launch_rms_norm_naive},
    {{"block", "a block of threads per row, summed in order", kNormBlocks},
     launch_rms_norm_block},
    {{"vector", "x and weights set out together, four at a time", kWideRow},
     launch_rms_norm_vector},
};

constexpr AttentionRung kAttentionRungs[] = {
    {{"naive", "three kernels, a thread per score", kSlotBlocks}, 0, launch_attention_naive},
    {{"staged", "three kernels, keys through shared memory, warps", kTileBlock},
     0,
     launch_attention_staged},
    {{"fused", "one kernel, online softmax, a KV head read once", kWarps, kWarp},
     0,
     launch_attention_fused},
    {{"split", "a block per tile, combined in slot order", kWarps, kWarp},
     kMostTileRows,
     launch_attention_split},
    {{"vector", "a block per tile, 16 loads of 16 bytes per thread", kOneTile},
     kMostTileRows,
     launch_attention_vector},
    {{"async", "up to 64 rows share a tile, the next is on its way", kRowThreads, kWarp, true},
     0,
     launch_attention_async},
};

constexpr ArgmaxRung kArgmaxRungs[] = {
    {{"naive", "one thread", kAlone}, launch_argmax_naive},
    {{"tree", "a block of threads, by halves", kTrees, 1, true}, launch_argmax_tree},
    {{"blocks", "a share for each block, shuffles, a second kernel", kShares, kWarp},
     launch_argmax_blocks},
};

}  // namespace

}  // namespace kernels

std::span<const LinearRung> linear_rungs() {
    return kernels::kLinearRungs;
}

// ANCHOR: choice
const LinearRung& linear_rung_for(Index rows, Index outputs) {
    constexpr Index kMultiprocessors = 132;  // of a large GPU
    const Index panels = (outputs + kPanel - 1) / kPanel;
    const char* name = "registers";
    if (rows == 1 && panels >= 4 * kMultiprocessors)
        name = "vector";  // the output matrix: its panels are enough, and one launch is less
    else if (rows <= 8)
        name = "wide";  // w is read once for 8 rows
    else if (rows <= 16)
        name = "shared";
    else if (panels * ((rows + 127) / 128) >= kMultiprocessors)
        name = "pipelined";  // its tiles have 128 rows: a short prompt gets few blocks
    return find_rung(linear_rungs(), name);
}

// ANCHOR_END: choice

std::span<const NormRung> norm_rungs() {
    return kernels::kNormRungs;
}

std::span<const AttentionRung> attention_rungs() {
    return kernels::kAttentionRungs;
}

std::span<const ArgmaxRung> argmax_rungs() {
    return kernels::kArgmaxRungs;
}

Index argmax_ints() {
    return kernels::kArgmaxInts;
}

void LinearRung::run(const LinearCall& call) const {
    const kernels::LinearArgs args = kernels::linear_args(call, layout);
    launch(args, threads(call.block, "linear"), call.scratch);
}

void NormRung::run(const NormCall& call) const {
    const kernels::NormArgs args = kernels::rms_norm_args(call);
    launch(args, threads(call.block, "rms_norm"));
}

void AttentionRung::run(const AttentionCall& call) const {
    const kernels::AttentionArgs args = kernels::attention_args(call);
    check(accepts(args.tokens, args.group), "attention: this kernel takes at most ", most_rows,
          " rows per KV head, found ", Index{args.tokens} * args.group);
    launch(args, threads(call.block, "attention"), call.scratch);
}

Index ArgmaxRung::run(const ArgmaxCall& call) const {
    check(call.count > 0, "argmax: no values");
    const unsigned block = threads(call.block, "argmax");
    Scratch own;
    Scratch& scratch = call.scratch != nullptr ? *call.scratch : own;
    int* const best = reinterpret_cast<int*>(scratch.floats(kernels::kArgmaxInts));
    launch(call.values, to_int(call.count), best, block);
    int index = -1;
    copy_bytes_to_host(&index, best, Index{sizeof(int)});
    return index;
}

}  // namespace kvlab
