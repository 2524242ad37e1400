#include <kvlab/attention/cpu_engine.hpp>

#include <algorithm>
#include <typeinfo>
#include <vector>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/attention/pack_tensors.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

class CpuBuffer final : public Buffer {
public:
    explicit CpuBuffer(Index floats) : tensor_({floats}) {}

    float* data() override { return tensor_.data(); }

    Index size() const override { return tensor_.size(); }

private:
    Tensor tensor_;
};

class CpuMatrix final : public Matrix {
public:
    explicit CpuMatrix(PackedMatrix weights) : packed(std::move(weights)) {}

    Index outputs() const override { return packed.outputs(); }

    Index depth() const override { return packed.depth(); }

    Index bytes() const override { return packed.bytes(); }

    PackedMatrix packed;
};

const PackedMatrix& packed(const Matrix& matrix) {
    // CpuMatrix is final, so this is what dynamic_cast would find out, in a few instructions.
    if (typeid(matrix) != typeid(CpuMatrix)) [[unlikely]]
        throw Error("cpu engine: this matrix belongs to another engine");
    return static_cast<const CpuMatrix&>(matrix).packed;
}

class CpuEngine final : public Engine {
public:
    explicit CpuEngine(const CpuOptions& options)
        : level_(options.level),
          kernels_(tensor_kernels(options.level)),
          attention_(attention_kernels(options.level)),
          pool_(options.threads) {}

    std::string name() const override {
        return concat("cpu ", simd_level_name(level_), ", ", pool_.threads(),
                      pool_.threads() == 1 ? " thread" : " threads");
    }

    ThreadPool& pool() override { return pool_; }

    std::unique_ptr<Buffer> allocate(Index floats) override {
        return std::make_unique<CpuBuffer>(floats);
    }

    void upload(std::span<const float> from, float* to) override {
        std::copy(from.begin(), from.end(), to);
    }

    void download(const float* from, std::span<float> to) override {
        std::copy_n(from, to.size(), to.data());
    }

    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override;
    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override;
    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override;
    void rms_norm(const View<const float>& x,
                  const float* weight,
                  float eps,
                  const View<float>& y) override;
    void layer_norm(const View<const float>& x,
                    const float* weight,
                    const float* bias,
                    float eps,
                    const View<float>& y) override;
    void rotate(const View<float>& heads,
                const RopeTable* table,
                std::span<const Index> positions,
                float factor) override;
    void add(const View<const float>& x, const View<float>& y) override;
    void swiglu(const View<const float>& gate_up, const View<float>& hidden) override;
    void gelu(const View<const float>& x, const View<float>& y) override;

private:
    // Calls task(r) for R rows of `work` floats each; small work is not worth
    // waking threads for.
    template <class Task>
    void for_rows(Index R, Index work, Task&& task) {
        constexpr Index kWorthSharing = 1 << 15;
        if (R * work < kWorthSharing)
            for (Index r = 0; r < R; ++r) task(r);
        else
            pool_.run(R, task);
    }

    SimdLevel level_;
    const TensorKernels& kernels_;
    const AttentionKernels& attention_;
    ThreadPool pool_;
    MemoryPool weights_;
};

std::unique_ptr<Matrix> CpuEngine::load_matrix(std::span<const TensorInfo* const> parts) {
    return std::make_unique<CpuMatrix>(pack_tensors(parts, pool_, &weights_));
}

void CpuEngine::gather(const Matrix& table,
                       std::span<const Token> tokens,
                       const View<float>& x) {
    const PackedMatrix& rows = packed(table);
    const Index K = rows.depth();
    check_shape(x, {std::ssize(tokens), K}, "gather: x");
    for (Token token : tokens)
        check(token >= 0 && token < rows.outputs(), "token ", token,
              " is outside of the vocabulary of ", rows.outputs());
    for (Index r = 0; r < x.dim(0); ++r) rows.read(at(tokens, r), x[r].flat());
}

void CpuEngine::linear(const Matrix& w,
                       const float* bias,
                       const View<const float>& x,
                       const View<float>& y) {
    matmul(kernels_, pool_, x, packed(w), y);
    if (bias == nullptr) return;
    for_rows(y.dim(0), y.dim(1), [&](Index r) { kernels_.add(bias, y.dim(1), &y(r, 0)); });
}

void CpuEngine::rms_norm(const View<const float>& x,
                         const float* weight,
                         float eps,
                         const View<float>& y) {
    check_shape(y, x.shape(), "rms_norm: y");
    constexpr Index kRows = 8;  // that the kernel likes to have together
    const Index R = x.dim(0);
    for_rows((R + kRows - 1) / kRows, kRows * x.dim(1), [&](Index i) {
        const Index first = i * kRows;
        kernels_.rms_norm(std::min(kRows, R - first), &x(first, 0), x.stride(0), weight, eps,
                          x.dim(1), &y(first, 0), y.stride(0));
    });
}

void CpuEngine::layer_norm(const View<const float>& x,
                           const float* weight,
                           const float* bias,
                           float eps,
                           const View<float>& y) {
    check_shape(y, x.shape(), "layer_norm: y");
    for_rows(x.dim(0), x.dim(1), [&](Index r) {
        kvlab::layer_norm(&x(r, 0), weight, bias, eps, x.dim(1), &y(r, 0));
    });
}

void CpuEngine::rotate(const View<float>& heads,
                       const RopeTable* table,
                       std::span<const Index> positions,
                       float factor) {
    const Index R = heads.dim(0), H = heads.dim(1), D = heads.dim(2);
    check(std::ssize(positions) == R, "rotate: ", positions.size(), " positions for ", R,
          " rows");
    check(table == nullptr || table->rope_dim() <= D, "rotate: heads of ", D,
          " numbers, a table for ", table == nullptr ? 0 : table->rope_dim());
    for (Index position : positions)
        check(table == nullptr || (position >= 0 && position < table->positions()),
              "rotate: position ", position, " is outside of the model's context of ",
              table == nullptr ? 0 : table->positions());
    for_rows(R, H * D, [&](Index r) {
        const Index position = at(positions, r);
        const Index rope_dim = table == nullptr ? 0 : table->rope_dim();
        const float* cos = table == nullptr ? nullptr : table->cos(position);
        const float* sin = table == nullptr ? nullptr : table->sin(position);
        for (Index h = 0; h < H; ++h)
            attention_.rotate(&heads(r, h, 0), cos, sin, rope_dim, D, factor);
    });
}

void CpuEngine::add(const View<const float>& x, const View<float>& y) {
    check_shape(y, x.shape(), "add: y");
    for_rows(x.dim(0), x.dim(1), [&](Index r) { kernels_.add(&x(r, 0), x.dim(1), &y(r, 0)); });
}

void CpuEngine::swiglu(const View<const float>& gate_up, const View<float>& hidden) {
    const Index F = hidden.dim(1);
    check_shape(gate_up, {hidden.dim(0), 2 * F}, "swiglu: gate_up");
    for_rows(hidden.dim(0), F, [&](Index r) {
        kernels_.swiglu(&gate_up(r, 0), &gate_up(r, F), F, &hidden(r, 0));
    });
}

void CpuEngine::gelu(const View<const float>& x, const View<float>& y) {
    check_shape(y, x.shape(), "gelu: y");
    for_rows(x.dim(0), x.dim(1), [&](Index r) { kernels_.gelu(&x(r, 0), x.dim(1), &y(r, 0)); });
}

}  // namespace

std::unique_ptr<Engine> make_cpu_engine(const CpuOptions& options) {
    return std::make_unique<CpuEngine>(options);
}

}  // namespace kvlab
