// ladders.hpp - chapter 4: the operations that have several kernels, from the first idea to the
// best: one signature for each operation and one table of its rungs, over which the tests, the
// benchmark, the demonstration and the decoder all loop.
//
// All rungs give the bits of the CPU engine, with every block size in their table. Arrays and
// views are device memory unless they say otherwise; the last axis of a view is contiguous.
// Every `run` throws Error for shapes that do not fit, and for a block size that it refuses.
//
// How to add a rung, in two files:
//
//   src/kernels/linear_9_mine.cu   the kernel, which takes LinearArgs (arguments.hpp), and
//                                  behind it launch_linear_mine(), as in its neighbours
//   src/ladders.cpp                that function's name, and a row of the table
//
// CMake, tests, benchmark, programs and pictures find it there. Engine, cache and sampler look
// up what suits a call's size in their constructors, by name. Before its figures are published,
// its counts are predicted by hand (tests/tools/reports/simt_counts.py).
#pragma once

#include <span>
#include <string>

#include <kvlab/cuda/device_matrix.hpp>
#include <kvlab/cuda/device_memory.hpp>

namespace kvlab {

namespace kernels {  // src/kernels/arguments.hpp
struct LinearArgs;
struct NormArgs;
struct AttentionArgs;
}  // namespace kernels

// What all rungs have: a name for the command line, their idea in a few words, and block sizes
// (threads) to try them with; the first is what they run with unless asked for another. If it
// is the only one, they refuse all others.
struct Rung {
    const char* name;
    const char* idea;
    std::span<const int> blocks;
    int multiple = 1;           // that a block size has to be of
    bool power_of_two = false;  // that it has to be

    // The block size asked for, 0: the first. Throws Error, for `operation`, unless
    // it is accepted.
    unsigned threads(int asked, const char* operation) const;
};

// y[R, N] = x[R, K] w^T, plus bias [N] unless null.
struct LinearCall {
    const DeviceMatrix& w;
    const float* bias;
    const View<const float>& x;
    const View<float>& y;
    Scratch& scratch;
    int block = 0;  // threads; 0: the rung's first
};

struct LinearRung : Rung {
    MatrixLayout layout;  // of w
    void (*launch)(const kernels::LinearArgs& args, unsigned threads, Scratch& scratch);

    void run(const LinearCall& call) const;
};

std::span<const LinearRung> linear_rungs();

// What suits a product of so many rows and outputs: the engine's choice. Its weights are
// always in panels.
const LinearRung& linear_rung_for(Index rows, Index outputs);

// y[r] = rms_norm(x[r]), both [R, C].
struct NormCall {
    const View<const float>& x;
    const float* weight;  // [C]
    float eps;
    const View<float>& y;
    int block = 0;
};

struct NormRung : Rung {
    void (*launch)(const kernels::NormArgs& args, unsigned threads);

    void run(const NormCall& call) const;
};

std::span<const NormRung> norm_rungs();

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
    Index most_rows;  // tokens times query heads per KV head; 0: any number
    void (*launch)(const kernels::AttentionArgs& args, unsigned threads, Scratch& scratch);

    bool accepts(Index tokens, Index group) const {
        return most_rows == 0 || tokens * group <= most_rows;
    }

    void run(const AttentionCall& call) const;
};

std::span<const AttentionRung> attention_rungs();

// The lowest index among the largest of `count` values, read back to the host.
struct ArgmaxCall {
    const float* values;
    Index count;
    int block = 0;
    Scratch* scratch = nullptr;  // kept for the next call; null: allocated for this one
};

struct ArgmaxRung : Rung {
    void (*launch)(const float* values, int count, int* best, unsigned threads);

    Index run(const ArgmaxCall& call) const;
};

std::span<const ArgmaxRung> argmax_rungs();

// Numbers that `best` of ArgmaxRung::launch has room for: the answer, then what blocks leave.
Index argmax_ints();

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
