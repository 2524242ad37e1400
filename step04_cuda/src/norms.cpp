#include <array>

#include <kvlab/cuda/ladders.hpp>

#include "kernels/kernels.cuh"
#include "kernels/tile_sizes.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

namespace {

constexpr std::array<int, 5> kNormBlocks = {128, 1, 32, 50, 1024};

void check_norm(const NormCall& call) {
    check_shape(call.y, call.x.shape(), "rms_norm: y");
    check(call.x.rank() == 2 && call.x.dim(1) > 0, "rms_norm: expected x [R, C], found ",
          call.x.shape());
    check_rows(call.x, "rms_norm: x");
    check_rows(call.y, "rms_norm: y");
}

void run_naive_norm(const NormCall& call) {
    check_norm(call);
    const unsigned block = block_of(call.block, kNormBlocks);
    launch(rms_norm_naive, groups(call.x.dim(0), block), block, 0, call.x.data(),
           to_int(call.x.stride(0)), call.weight, call.eps, call.y.data(),
           to_int(call.y.stride(0)), to_int(call.x.dim(0)), to_int(call.x.dim(1)));
}

void run_block_norm(const NormCall& call) {
    check_norm(call);
    const int C = to_int(call.x.dim(1));
    launch(rms_norm_block, groups(call.x.dim(0), 1), block_of(call.block, kNormBlocks),
           static_cast<std::size_t>(row_bytes(C)), call.x.data(), to_int(call.x.stride(0)),
           call.weight, call.eps, call.y.data(), to_int(call.y.stride(0)), C);
}

constexpr NormRung kNormRungs[] = {
    {{"naive", "a thread per row", kNormBlocks}, run_naive_norm},
    {{"block", "a block of threads per row, summed in order", kNormBlocks}, run_block_norm},
};

}  // namespace

std::span<const NormRung> norm_rungs() {
    return kNormRungs;
}

}  // namespace kvlab
