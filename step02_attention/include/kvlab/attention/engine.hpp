// engine.hpp - chapter 2: where the numbers are computed. The decoder says what, an
// Engine does it.
//
// All engines give the same bits (contract): a CPU at any SIMD level and thread count, or
// another device. Every View that an engine takes points into memory that this engine
// allocated; a caller who wants to read numbers asks for host_rows().
//
// Who may share an engine: the decoders of one thread, any number of them. Decoders in several
// threads share a CPU engine of one thread, which keeps nothing between two calls; an engine
// with a pool of more threads, or one of a GPU, works for one thread at a time, and a second
// one gets an Error. load_matrix() is for one thread at a time with every engine.
#pragma once

#include <memory>
#include <span>
#include <string>

#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/thread_pool.hpp>
#include <kvlab/weights/token.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

struct Model;
class KvStore;

// Floats in an engine's memory.
class Buffer {
public:
    virtual ~Buffer() = default;
    virtual float* data() = 0;
    virtual Index size() const = 0;  // floats
};

// A weight matrix [outputs, depth] in the layout that an engine likes best.
class Matrix {
public:
    virtual ~Matrix() = default;
    virtual Index outputs() const = 0;
    virtual Index depth() const = 0;
    virtual Index bytes() const = 0;  // that it occupies
};

class Engine {
public:
    virtual ~Engine() = default;

    virtual std::string name() const = 0;  // "cpu avx512, 2 threads"
    virtual ThreadPool& pool() = 0;

    // Memory, zeroed.
    virtual std::unique_ptr<Buffer> allocate(Index floats) = 0;
    // Copies between this engine's memory and the caller's; both contiguous, of equal size.
    virtual void upload(std::span<const float> from, float* to) = 0;
    virtual void download(const float* from, std::span<float> to) = 0;

    // False if this engine's memory is not the caller's to read: a GPU's.
    virtual bool host_memory() const { return true; }

    // The rows [R, n] as the caller can read them: themselves, or a copy in
    // `copy`, which grows.
    virtual View<const float> host_rows(const View<const float>& rows, Tensor& copy) {
        static_cast<void>(copy);
        return rows;
    }

    // One matrix from tensors [n_i, K] with the same K, their outputs one after the other.
    // Throws Error for tensors that are not such matrices.
    virtual std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) = 0;

    // x[r] = row tokens[r] of the table. Throws Error for a token outside of it.
    virtual void gather(const Matrix& table,
                        std::span<const Token> tokens,
                        const View<float>& x) = 0;

    // y[R, N] = x[R, K] * w transposed, plus bias [N] unless null (after the complete sum).
    virtual void linear(const Matrix& w,
                        const float* bias,
                        const View<const float>& x,
                        const View<float>& y) = 0;

    // y[r] = norm of x[r], both [R, C].
    virtual void rms_norm(const View<const float>& x,
                          const float* weight,
                          float eps,
                          const View<float>& y) = 0;
    virtual void layer_norm(const View<const float>& x,
                            const float* weight,
                            const float* bias,
                            float eps,
                            const View<float>& y) = 0;

    // In place on heads [R, heads, D]: RoPE at positions [R], none if table is null; then
    // times `factor`.
    virtual void rotate(const View<float>& heads,
                        const RopeTable* table,
                        std::span<const Index> positions,
                        float factor) = 0;

    // y[R, n] += x[R, n]
    virtual void add(const View<const float>& x, const View<float>& y) = 0;

    // hidden[R, F] = silu(gate) * up, with gate_up [R, 2F] holding both, gate first.
    virtual void swiglu(const View<const float>& gate_up, const View<float>& hidden) = 0;
    // y[R, F] = gelu(x)
    virtual void gelu(const View<const float>& x, const View<float>& y) = 0;

    // One token through the whole model at once, for an engine that can do several operators
    // together. The store's step of one token is open, and has the token's rows when this
    // returns. The logits [V] in this engine's memory, valid until the next call; null, and
    // nothing has happened, if the decoder is to go on operator by operator. Only asked while
    // nobody observes the operators.
    virtual const float* forward_token(const Model& model, KvStore& store, Token token) {
        static_cast<void>(model);
        static_cast<void>(store);
        static_cast<void>(token);
        return nullptr;
    }
};

}  // namespace kvlab
