#include <array>

#include <kvlab/cuda/ladders.hpp>

#include "kernels/kernels.cuh"
#include "launch_sizes.hpp"

namespace kvlab {

namespace {

// Threads of a block that rungs with one output per thread are tried with: fewer than a warp,
// part of one, several.
constexpr std::array<int, 6> kAnyBlock = {128, 1, 32, 50, 64, 1024};
constexpr std::array<int, 4> kColumns = {512, 64, 192, 1024};  // 64 wide
constexpr std::array<int, 1> kSquare = {256};

// What all rungs have to refuse.
void check_linear(const LinearCall& call, MatrixLayout layout) {
    const Index R = call.x.dim(0);
    check_shape(call.x, {R, call.w.depth()}, "linear: x");
    check_shape(call.y, {R, call.w.outputs()}, "linear: y");
    check_rows(call.x, "linear: x");
    check_rows(call.y, "linear: y");
    check(R <= 65535, "linear: at most 65535 rows at once, found ", R);
    check(call.w.layout() == layout, "linear: this kernel wants the weights in ",
          layout == MatrixLayout::rows ? "rows" : "panels");
}

int stride(const View<const float>& rows) {
    return to_int(rows.stride(0));
}

void run_naive(const LinearCall& call) {
    check_linear(call, MatrixLayout::rows);
    const unsigned block = block_of(call.block, kAnyBlock);
    const dim3 grid(groups(call.w.outputs(), block), groups(call.x.dim(0), 1));
    launch(linear_naive, grid, block, 0, call.w.rows(), call.bias, call.x.data(),
           stride(call.x), call.y.data(), stride(call.y), to_int(call.w.outputs()),
           to_int(call.w.depth()));
}

void run_coalesced(const LinearCall& call) {
    check_linear(call, MatrixLayout::panels);
    const unsigned block = block_of(call.block, kAnyBlock);
    const dim3 grid(groups(call.w.outputs(), block), groups(call.x.dim(0), 1));
    launch(linear_coalesced, grid, block, 0, call.w.format(), call.w.panels(),
           call.w.panel_bytes(), call.bias, call.x.data(), stride(call.x), call.y.data(),
           stride(call.y), to_int(call.w.outputs()), to_int(call.w.depth()));
}

// 64 columns, and as many rows of threads as fit.
dim3 columns_of(int asked) {
    const unsigned block = block_of(asked, kColumns);
    check(block % 64 == 0, "linear: this kernel wants a multiple of 64 threads, found ", block);
    return {64, block / 64};
}

void run_split(const LinearCall& call) {
    check_linear(call, MatrixLayout::panels);
    const dim3 grid(groups(call.w.outputs(), kPanel), groups(call.x.dim(0), 1));
    launch(linear_split, grid, columns_of(call.block), 0, call.w.format(), call.w.panels(),
           call.w.panel_bytes(), call.bias, call.x.data(), stride(call.x), call.y.data(),
           stride(call.y), to_int(call.w.outputs()), to_int(call.w.depth()));
}

void run_shared(const LinearCall& call) {
    check_linear(call, MatrixLayout::panels);
    constexpr Index kRows = 16;
    const dim3 grid(groups(call.w.outputs(), kPanel), groups(call.x.dim(0), kRows));
    launch(linear_shared, grid, columns_of(call.block), 0, call.w.format(), call.w.panels(),
           call.w.panel_bytes(), call.bias, call.x.data(), stride(call.x), call.y.data(),
           stride(call.y), to_int(call.x.dim(0)), to_int(call.w.outputs()),
           to_int(call.w.depth()));
}

void run_registers(const LinearCall& call) {
    check_linear(call, MatrixLayout::panels);
    check(block_of(call.block, kSquare) == 256, "linear: this kernel wants 256 threads");
    constexpr Index kRows = 64;
    const dim3 grid(groups(call.w.outputs(), kPanel), groups(call.x.dim(0), kRows));
    launch(linear_registers, grid, dim3(16, 16), 0, call.w.format(), call.w.panels(),
           call.w.panel_bytes(), call.bias, call.x.data(), stride(call.x), call.y.data(),
           stride(call.y), to_int(call.x.dim(0)), to_int(call.w.outputs()),
           to_int(call.w.depth()));
}

// ANCHOR: table
constexpr LinearRung kRungs[] = {
    {{"naive", "a thread per output, weights in rows", kAnyBlock},
     MatrixLayout::rows,
     run_naive},
    {{"coalesced", "weights in panels: neighbours read neighbours", kAnyBlock},
     MatrixLayout::panels,
     run_coalesced},
    {{"split", "a thread per output and block of 64 inputs", kColumns},
     MatrixLayout::panels,
     run_split},
    {{"shared", "16 rows share a tile of weights in shared memory", kColumns},
     MatrixLayout::panels,
     run_shared},
    {{"registers", "4 x 4 outputs per thread in registers", kSquare},
     MatrixLayout::panels,
     run_registers},
};

// ANCHOR_END: table

}  // namespace

std::span<const LinearRung> linear_rungs() {
    return kRungs;
}

}  // namespace kvlab
