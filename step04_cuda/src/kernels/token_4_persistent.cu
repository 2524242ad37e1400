// token_4_persistent.cu - chapter 4: one launch for as many tokens as are wanted.
//
// was           a recorded token: the device starts each kernel by itself, but between two of
//               them it runs empty and then fills again, 150 times for SmolLM2's 30 layers
// change        one kernel whose blocks stay: as many as the device runs at a time. Between two
//               phases they meet at a barrier of the whole grid (a cooperative launch promises
//               that all of them are there), and before they wait there, each warp starts the
//               copies of the weights that it needs next
// why faster    no kernel starts or ends, and the memory is at work while blocks wait
// still bad     every barrier waits for the slowest block, five times a layer; the tiny model
//               does little else. And the device does nothing else while the kernel runs
#include "token_phases.cuh"

namespace kvlab::KVLAB_KERNELS {

// `tokens` tokens, one after the other. Grid of blocks that all run at a time, block
// kTokenThreads, args.shared_bytes of dynamic shared memory.
// ANCHOR: persistent
__global__ void token_persistent(
    TokenArgs args, const TokenLayer* layers, int n_layers, int tokens, int choose_next) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const TokenShared mine = token_shared(shared, args.slots);
    const cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    const auto start = [&](const Weights& w) {
        __syncthreads();  // nobody uses the shared memory any more
        Walk walk(w, args.slots, mine.rings);
        walk.prefetch();
        grid.sync();
        return walk;
    };
    for (int token = 0; token < tokens; ++token) {
        for (int l = 0; l < n_layers; ++l) {
            const TokenLayer& layer = layers[l];
            Walk to_qkv = start(layer.qkv);
            attention_in(args, layer, l == 0, mine, to_qkv);
            grid.sync();
            attend(args, layer, shared);
            Walk to_out = start(layer.out);
            attention_out(args, mine, to_out);
            Walk to_gate_up = start(layer.gate_up);
            feed_forward_in(args, layer, mine, to_gate_up);
            Walk to_down = start(layer.down);
            feed_forward_out(args, mine, to_down);
        }
        Walk to_output = start(args.output);
        output(args, mine, to_output);
        grid.sync();
        choose(args);
        if (choose_next == 0) continue;
        grid.sync();
        if (blockIdx.x == 0 && threadIdx.x < kWarp) next(args, gridDim.x);
    }
}

// ANCHOR_END: persistent

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(token_persistent)

namespace kvlab::kernels {

void launch_token_persistent(const TokenLaunch& token) {
    const auto shared = static_cast<std::size_t>(token.args.shared_bytes);
    const unsigned blocks =
        std::min(token.blocks, cooperative_blocks(token_persistent, kTokenThreads, shared));
    launch_cooperative(token_persistent, blocks, kTokenThreads, shared, token.args,
                       token.device_layers, token.n_layers, token.tokens, token.choose ? 1 : 0);
}

}  // namespace kvlab::kernels
#endif
