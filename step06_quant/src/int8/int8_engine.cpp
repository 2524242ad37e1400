#include <kvlab/quant/int8_engine.hpp>

#include <string_view>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// As bytes, or as the inner engine likes it, or, for a table that is also the head, both: rows
// are looked up in the one and multiplied with the other.
class Int8EngineMatrix final : public Matrix {
public:
    Index outputs() const override { return exact ? exact->outputs() : bytewise->outputs(); }

    Index depth() const override { return exact ? exact->depth() : bytewise->depth(); }

    Index bytes() const override {
        return (exact ? exact->bytes() : 0) + (bytewise ? bytewise->bytes() : 0);
    }

    std::unique_ptr<Matrix> exact;
    std::unique_ptr<Int8Matrix> bytewise;
};

const Int8EngineMatrix& int8_matrix(const Matrix& matrix) {
    const auto* found = dynamic_cast<const Int8EngineMatrix*>(&matrix);
    check(found != nullptr, "int8 engine: this matrix belongs to another engine");
    return *found;
}

class Int8Engine final : public WrappedEngine {
public:
    Int8Engine(std::unique_ptr<Engine> engine, Int8Level level, const Int8Options& options)
        : WrappedEngine(std::move(engine)),
          level_(level),
          kernels_(int8_kernels(level)),
          options_(options) {
        check(is_finite(options.threshold) && options.threshold >= 0,
              "int8 engine: a threshold of ", options.threshold);
        check(WrappedEngine::host_memory(), "int8 engine: its products run on the CPU");
    }

    std::string name() const override {
        return concat(WrappedEngine::name(), ", int8 ", int8_level_name(level_));
    }

    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override;

    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override {
        const Int8EngineMatrix& matrix = int8_matrix(table);
        check(matrix.exact != nullptr, "int8 engine: this matrix is not a table");
        inner().gather(*matrix.exact, tokens, x);
    }

    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override;

    const Int8Counts& counts() const { return counts_; }

private:
    Int8Level level_;
    const Int8Kernels& kernels_;
    Int8Options options_;
    SoleUse use_;  // of what follows
    Int8Rows rows_;
    Int8Counts counts_;
};

std::unique_ptr<Matrix> Int8Engine::load_matrix(std::span<const TensorInfo* const> parts) {
    auto matrix = std::make_unique<Int8EngineMatrix>();
    const std::string_view name = parts.empty() ? std::string_view() : parts[0]->name;
    const bool table = name == "token_embd.weight" || name == "position_embd.weight";
    const bool head = name == "token_embd.weight" || name == "output.weight";
    if (table || (head && !options_.head)) matrix->exact = inner().load_matrix(parts);
    if (head ? options_.head : !table)
        matrix->bytewise = std::make_unique<Int8Matrix>(parts, pool());
    return matrix;
}

void Int8Engine::linear(const Matrix& w,
                        const float* bias,
                        const View<const float>& x,
                        const View<float>& y) {
    const Int8EngineMatrix& matrix = int8_matrix(w);
    if (!matrix.bytewise) return inner().linear(*matrix.exact, bias, x, y);
    const SoleUse::Guard alone(use_, "int8 engine");
    rows_.set(kernels_, x, options_.threshold, pool());
    rows_.multiply(kernels_, *matrix.bytewise, y, pool());
    counts_.inputs += x.dim(0) * x.dim(1);
    if (options_.threshold > 0) counts_.outliers += rows_.outliers();
    if (bias == nullptr) return;
    for (Index r = 0; r < y.dim(0); ++r)
        for (Index n = 0; n < y.dim(1); ++n) y(r, n) += bias[n];
}

}  // namespace

std::unique_ptr<Engine> make_int8_engine(const CpuOptions& cpu, const Int8Options& options) {
    return make_int8_engine(make_cpu_engine(cpu), best_int8_level(cpu.level), options);
}

std::unique_ptr<Engine> make_int8_engine(std::unique_ptr<Engine> engine,
                                         Int8Level level,
                                         const Int8Options& options) {
    return std::make_unique<Int8Engine>(std::move(engine), level, options);
}

Int8Counts int8_counts(const Engine& engine) {
    const auto* found = dynamic_cast<const Int8Engine*>(&engine);
    check(found != nullptr, "int8 counts: ", engine.name(), " is another engine");
    return found->counts();
}

}  // namespace kvlab
