// ladders.hpp - chapter 4: the operations that have several kernels, from the first idea to the
// best: one signature for each operation and one table of its rungs, over which the tests, the
// benchmark, the demonstration and the decoder all loop.
//
// All rungs give the bits of the CPU engine, with every block size in their table. Arrays and
// views are device memory unless they say otherwise; the last axis of a view is contiguous.
// Every `run` throws Error for shapes that do not fit, and for a block size that it refuses.
#pragma once

#include <memory>
#include <span>
#include <string>

#include <kvlab/cuda/device_matrix.hpp>
#include <kvlab/cuda/device_memory.hpp>

namespace kvlab {

// What all rungs have: a name for the command line, their idea in a few words, and block sizes
// (threads) that they accept; the first is what they run with unless asked for another.
struct Rung {
    const char* name;
    const char* idea;
    std::span<const int> blocks;
};

// y[R, N] = x[R, K] w^T, plus bias [N] unless null.
struct LinearCall {
    const DeviceMatrix& w;
    const float* bias;
    const View<const float>& x;
    const View<float>& y;
    int block = 0;  // threads; 0: the rung's first
};

struct LinearRung : Rung {
    MatrixLayout layout;  // of w
    void (*run)(const LinearCall& call);
};

std::span<const LinearRung> linear_rungs();

// y[r] = rms_norm(x[r]), both [R, C].
struct NormCall {
    const View<const float>& x;
    const float* weight;  // [C]
    float eps;
    const View<float>& y;
    int block = 0;
};

struct NormRung : Rung {
    void (*run)(const NormCall& call);
};

std::span<const NormRung> norm_rungs();

// Device memory that a call needs for a while, kept for the next one.
class Scratch {
public:
    // At least `count` floats, whatever they contain; valid until the next call.
    float* floats(Index count);

    Index bytes() const { return room_ ? room_->size() * Index{sizeof(float)} : 0; }

private:
    std::unique_ptr<DeviceArray<float>> room_;
};

// Causal attention of T new tokens, whose keys and values are in their slots already: token t
// sees the slots 0 ... past + t.
struct AttentionCall {
    const View<const float>& q;  // [T, Hq, D], scaled; heads side by side
    const float* keys;           // [Hkv, capacity, D]
    const float* values;         // [Hkv, capacity, D]
    Index kv_heads, capacity, past;
    const View<float>& out;  // [T, Hq, D]
    Scratch& scratch;
    int block = 0;
};

struct AttentionRung : Rung {
    // Whether it takes so many tokens of so many query heads per KV head.
    bool (*accepts)(Index tokens, Index group);
    void (*run)(const AttentionCall& call);
};

std::span<const AttentionRung> attention_rungs();

// The lowest index among the largest of `count` values, read back to the host.
struct ArgmaxCall {
    const float* values;
    Index count;
    int block = 0;
};

struct ArgmaxRung : Rung {
    Index (*run)(const ArgmaxCall& call);
};

std::span<const ArgmaxRung> argmax_rungs();

// The rung of that name. Throws Error, with the names there are, if there is none.
template <class AnyRung>
const AnyRung& find_rung(std::span<const AnyRung> rungs, const std::string& name) {
    std::string names;
    for (const AnyRung& rung : rungs) {
        if (rung.name == name) return rung;
        names += (names.empty() ? "" : ", ") + std::string(rung.name);
    }
    throw Error(concat("kernel '", name, "': expected one of ", names));
}

}  // namespace kvlab
