// int8_engine.hpp - chapter 6: an engine whose matrix products are sums of bytes.
#pragma once

#include <memory>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/quant/int8_kernels.hpp>

namespace kvlab {

struct Int8Options {
    // The last matrix as bytes, too. It turns the state into logits directly, so it is usually
    // left alone. (Embeddings and norms are no matrix products; they stay as they are.)
    bool head = false;
    // Inputs of at least this size stay floats; 0: none. See Int8Rows::set().
    float threshold = 0;
};

// What the products have seen so far.
struct Int8Counts {
    Index inputs = 0, outliers = 0;  // numbers; those that stayed floats
};

// Wraps a CPU engine; its products run at `level`. Throws Error for a level that this processor
// lacks, and for a threshold that is negative or not finite.
std::unique_ptr<Engine> make_int8_engine(const CpuOptions& cpu,
                                         const Int8Options& options = {});
std::unique_ptr<Engine> make_int8_engine(std::unique_ptr<Engine> engine,
                                         Int8Level level,
                                         const Int8Options& options = {});

// Of an engine that make_int8_engine() made. Throws Error for another.
Int8Counts int8_counts(const Engine& engine);

}  // namespace kvlab
