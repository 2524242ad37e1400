// policy_kernels.simd.cpp - chapter 5: rotating a tile of keys. Compiled once per SIMD level.
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

constexpr Index kSlots = 64;

// One row of angles of a tile: the table's own if there is one run; else pieced together in
// `room`, 2 * 64 floats. Each run is written as if it went on for 64 slots, and the next one
// overwrites what is too much: no length has to be asked for.
static const float* angles(const float* row, const AngleRun* runs, Index count, float* room) {
    if (count == 1) return row + runs[0].position;
    for (Index r = 0; r < count; ++r)
        for (Index s = 0; s < kSlots; s += kLanes)
            store(room + runs[r].slot + s, load(row + runs[r].position + s));
    return room;
}

static void rotate_tile(const float* keys,
                        const float* cos,
                        const float* sin,
                        Index stride,
                        const AngleRun* runs,
                        Index count,
                        Index rope_dim,
                        Index head_dim,
                        float* out) {
    const Vec minus_zero = fill(-0.0f);  // -0 - x is -x for every x, 0 - x is not
    float cos_room[2 * kSlots], sin_room[2 * kSlots];
    for (Index i = 0; i < rope_dim / 2; ++i) {
        const float* const c_row = angles(cos + i * stride, runs, count, cos_room);
        const float* const s_row = angles(sin + i * stride, runs, count, sin_room);
        for (Index s = 0; s < kSlots; s += kLanes) {
            const Vec x0 = load(keys + 2 * i * kSlots + s);
            const Vec x1 = load(keys + (2 * i + 1) * kSlots + s);
            const Vec c = load(c_row + s), d = load(s_row + s);
            store(out + 2 * i * kSlots + s, fma(x0, c, sub(minus_zero, mul(x1, d))));
            store(out + (2 * i + 1) * kSlots + s, fma(x1, c, mul(x0, d)));
        }
    }
    for (Index s = rope_dim * kSlots; s < head_dim * kSlots; s += kLanes)
        store(out + s, load(keys + s));
}

// In the order of memory, which the processor then fetches ahead.
static void scale_slots(const float* keys, const float* factors, Index head_dim, float* out) {
    constexpr Index kVecs = kSlots / kLanes;
    Vec factor[kVecs];
    for (Index n = 0; n < kVecs; ++n) factor[n] = load(factors + n * kLanes);
    for (Index i = 0; i < head_dim * kSlots; i += kSlots)
        for (Index n = 0; n < kVecs; ++n)
            store(out + i + n * kLanes, mul(load(keys + i + n * kLanes), factor[n]));
}

static void scale_rows(const float* values, const float* factors, Index width, float* out) {
    for (Index s = 0; s < kSlots; ++s) {
        const Vec factor = fill(factors[s]);
        for (Index i = s * width; i < (s + 1) * width; i += kLanes)
            store(out + i, mul(load(values + i), factor));
    }
}

extern const PolicyKernels kPolicyKernels;
const PolicyKernels kPolicyKernels = {rotate_tile, scale_slots, scale_rows};

}  // namespace kvlab::KVLAB_SIMD
