#include <kvlab/quant/calibration.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/attention/wrapped_engine.hpp>

namespace kvlab {

const InputStatistics& Calibration::of(const std::string& tensor) const {
    const auto found = by_tensor_.find(tensor);
    check(found != by_tensor_.end() && found->second->rows > 0, "calibration: no product with ",
          tensor, " was seen");
    return *found->second;
}

std::shared_ptr<InputStatistics> Calibration::open(std::vector<std::string> tensors,
                                                   Index channels) {
    auto seen = std::make_shared<InputStatistics>();
    seen->tensors = std::move(tensors);
    seen->channels = channels;
    seen->max_abs.assign(usize(channels), 0.0f);
    seen->sum_abs.assign(usize(channels), 0.0);
    for (const std::string& tensor : seen->tensors) by_tensor_[tensor] = seen;
    all_.push_back(seen);
    return seen;
}

namespace {

class RecordedMatrix final : public Matrix {
public:
    RecordedMatrix(std::unique_ptr<Matrix> matrix, std::shared_ptr<InputStatistics> statistics)
        : exact(std::move(matrix)), seen(std::move(statistics)) {}

    Index outputs() const override { return exact->outputs(); }

    Index depth() const override { return exact->depth(); }

    Index bytes() const override { return exact->bytes(); }

    std::unique_ptr<Matrix> exact;
    std::shared_ptr<InputStatistics> seen;
    bool keeps_inputs = false;
};

const RecordedMatrix& recorded(const Matrix& matrix) {
    const auto* found = dynamic_cast<const RecordedMatrix*>(&matrix);
    check(found != nullptr, "recording engine: this matrix belongs to another engine");
    return *found;
}

// gram += x transposed times x. Each number is one chain over the rows; threads share channels.
void add_gram(const View<const float>& x, ThreadPool& pool, std::vector<double>& gram) {
    const Index R = x.dim(0), K = x.dim(1);
    std::vector<double> rows(usize(R * K));
    for (Index r = 0; r < R; ++r)
        for (Index k = 0; k < K; ++k) at(rows, r * K + k) = static_cast<double>(x(r, k));
    pool.run(K, [&](Index i) {
        double* const out = gram.data() + i * K;
        for (Index r = 0; r < R; ++r) {
            const double* const row = rows.data() + r * K;
            const double xi = row[i];
            for (Index j = 0; j < K; ++j) out[j] += xi * row[j];
        }
    });
}

class RecordingEngine final : public WrappedEngine {
public:
    RecordingEngine(std::unique_ptr<Engine> engine,
                    Calibration& calibration,
                    CalibrationOptions options)
        : WrappedEngine(std::move(engine)),
          calibration_(calibration),
          options_(std::move(options)) {}

    std::string name() const override { return concat(WrappedEngine::name(), ", recording"); }

    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override;

    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override {
        inner().gather(*recorded(table).exact, tokens, x);
    }

    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override;

private:
    Calibration& calibration_;
    CalibrationOptions options_;
    Tensor room_;
};

std::unique_ptr<Matrix> RecordingEngine::load_matrix(std::span<const TensorInfo* const> parts) {
    auto exact = inner().load_matrix(parts);
    const Index K = exact->depth();
    std::vector<std::string> names;
    bool gram = false, inputs = false;
    for (const TensorInfo* part : parts) {
        names.push_back(part->name);
        gram = gram || (options_.gram && options_.gram(part->name));
        inputs = inputs || (options_.inputs && options_.inputs(part->name));
    }
    auto matrix = std::make_unique<RecordedMatrix>(std::move(exact),
                                                   calibration_.open(std::move(names), K));
    matrix->keeps_inputs = inputs;
    if (gram) matrix->seen->gram.assign(usize(K * K), 0.0);
    return matrix;
}

void RecordingEngine::linear(const Matrix& w,
                             const float* bias,
                             const View<const float>& x,
                             const View<float>& y) {
    const RecordedMatrix& matrix = recorded(w);
    inner().linear(*matrix.exact, bias, x, y);
    InputStatistics& seen = *matrix.seen;
    const View<const float> rows = inner().host_rows(x, room_);
    for (Index r = 0; r < rows.dim(0); ++r)
        for (Index k = 0; k < seen.channels; ++k) {
            const float size = std::fabs(rows(r, k));
            float& largest = at(seen.max_abs, k);
            largest = size > largest ? size : largest;
            at(seen.sum_abs, k) += static_cast<double>(size);
            if (matrix.keeps_inputs) seen.inputs.push_back(rows(r, k));
        }
    if (!seen.gram.empty()) add_gram(rows, pool(), seen.gram);
    seen.rows += rows.dim(0);
}

}  // namespace

std::unique_ptr<Engine> make_recording_engine(std::unique_ptr<Engine> engine,
                                              Calibration& calibration,
                                              const CalibrationOptions& options) {
    return std::make_unique<RecordingEngine>(std::move(engine), calibration, options);
}

Calibration calibrate(const WeightSource& source,
                      const TextWindows& text,
                      const CalibrationOptions& options,
                      const CpuOptions& cpu) {
    Calibration calibration;
    const auto engine = make_recording_engine(make_cpu_engine(cpu), calibration, options);
    Decoder decoder(load_model(source, *engine), *engine);
    WholeSequence no_cache(decoder.kv_shape(), text.window(), cpu.level);
    for (Index w = 0; w < text.count(); ++w)
        decoder.forward(no_cache, text.input(w), options.head ? LogitsOf::all : LogitsOf::last);
    return calibration;
}

}  // namespace kvlab
