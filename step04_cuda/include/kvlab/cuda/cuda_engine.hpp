// cuda_engine.hpp - chapter 4: the decoder's Engine on CUDA kernels: on the SIMT executor, or
// on a GPU. The same bits as the CPU engine's, whichever kernels it is told to use.
#pragma once

#include <kvlab/attention/engine.hpp>
#include <kvlab/cuda/ladders.hpp>

namespace kvlab {

struct TokenRung;

// Which rung each operation takes; null: what suits the call's size.
struct KernelChoice {
    const LinearRung* linear = nullptr;
    const NormRung* norm = nullptr;
    const AttentionRung* attention = nullptr;  // used by CudaCache
    // How single tokens go through the model (token_pass.hpp). Null: as one pass where there
    // can be one, unless a kernel for one of the above is asked for.
    const TokenRung* token = nullptr;
};

std::unique_ptr<Engine> make_cuda_engine(const KernelChoice& choice = {});

}  // namespace kvlab
