#include <kvlab/cuda/cuda_engine.hpp>

#include <algorithm>
#include <typeinfo>

#include <kvlab/attention/pack_tensors.hpp>
#include <kvlab/cuda/device.hpp>

#include "kernels/kernels.cuh"
#include "kernels/tile_sizes.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

namespace {

constexpr unsigned kThreads = 128;  // of kernels with one number per thread

class CudaBuffer final : public Buffer {
public:
    explicit CudaBuffer(Index floats) : floats_(floats, "buffer") {
        floats_.copy_from(std::vector<float>(static_cast<std::size_t>(floats)));
    }

    float* data() override { return floats_.get(); }

    Index size() const override { return floats_.size(); }

private:
    DeviceArray<float> floats_;
};

// Small arrays that a step hands to kernels: tokens, and the cosines and sines of its
// positions. All layers of a step ask for the same ones, so they are copied when they change.
template <class T>
class Staged {
public:
    const T* put(std::span<const T> values) {
        if (device_ && std::equal(values.begin(), values.end(), last_.begin(), last_.end()))
            return device_->get();
        if (!device_ || device_->size() < static_cast<Index>(values.size()))
            device_ =
                std::make_unique<DeviceArray<T>>(static_cast<Index>(values.size()), "staged");
        last_.assign(values.begin(), values.end());
        copy_bytes_to_device(device_->get(), last_.data(),
                             static_cast<Index>(values.size_bytes()));
        return device_->get();
    }

private:
    std::vector<T> last_;
    std::unique_ptr<DeviceArray<T>> device_;
};

const DeviceMatrix& on_device(const Matrix& matrix) {
    if (typeid(matrix) != typeid(DeviceMatrix)) [[unlikely]]
        throw Error("cuda engine: this matrix belongs to another engine");
    return static_cast<const DeviceMatrix&>(matrix);
}

// A grid with a thread for each of `count` numbers of each row.
dim3 grid_over(const View<const float>& rows, Index count) {
    return {groups(count, kThreads), groups(rows.dim(0), 1)};
}

class CudaEngine final : public Engine {
public:
    explicit CudaEngine(const KernelChoice& choice) : choice_(choice) {}

    std::string name() const override { return "cuda kernels, " + device_name(); }

    ThreadPool& pool() override { return pool_; }

    bool host_memory() const override { return false; }

    std::unique_ptr<Buffer> allocate(Index floats) override {
        return std::make_unique<CudaBuffer>(floats);
    }

    void upload(std::span<const float> from, float* to) override {
        copy_bytes_to_device(to, from.data(), static_cast<Index>(from.size_bytes()));
    }

    void download(const float* from, std::span<float> to) override {
        copy_bytes_to_host(to.data(), from, static_cast<Index>(to.size_bytes()));
    }

    View<const float> host_rows(const View<const float>& rows, Tensor& room) override;
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
    const LinearRung& linear_for(Index rows) const;

    KernelChoice choice_;
    ThreadPool pool_{1};
    SoleUse use_;  // of what follows
    Staged<int> tokens_;
    Staged<float> cosines_, sines_;
    std::vector<int> token_row_;
    std::vector<float> cosine_rows_, sine_rows_;
};

View<const float> CudaEngine::host_rows(const View<const float>& rows, Tensor& room) {
    const Index R = rows.dim(0), n = rows.dim(1);
    if (room.size() < R * n) room = Tensor({R * n});
    if (rows.contiguous())
        download(rows.data(), room.flat().first(static_cast<std::size_t>(R * n)));
    else
        for (Index r = 0; r < R; ++r)
            download(&rows(r, 0), room.flat().subspan(static_cast<std::size_t>(r * n),
                                                      static_cast<std::size_t>(n)));
    return {room.data(), {R, n}};
}

std::unique_ptr<Matrix> CudaEngine::load_matrix(std::span<const TensorInfo* const> parts) {
    const MatrixLayout layout =
        choice_.linear == nullptr ? MatrixLayout::panels : choice_.linear->layout;
    return std::make_unique<DeviceMatrix>(pack_tensors(parts, pool_), layout);
}

// ANCHOR: linear
const LinearRung& CudaEngine::linear_for(Index rows) const {
    if (choice_.linear != nullptr) return *choice_.linear;
    const char* const name = rows <= 4 ? "split" : rows <= 16 ? "shared" : "registers";
    return find_rung(linear_rungs(), name);
}

void CudaEngine::linear(const Matrix& w,
                        const float* bias,
                        const View<const float>& x,
                        const View<float>& y) {
    linear_for(x.dim(0)).run({on_device(w), bias, x, y});
}

// ANCHOR_END: linear

void CudaEngine::gather(const Matrix& table,
                        std::span<const Token> tokens,
                        const View<float>& x) {
    const SoleUse::Guard alone(use_, "cuda engine");
    const DeviceMatrix& rows = on_device(table);
    check_shape(x, {static_cast<Index>(tokens.size()), rows.depth()}, "gather: x");
    for (Token token : tokens)
        check(token >= 0 && token < rows.outputs(), "token ", token,
              " is outside of the vocabulary of ", rows.outputs());
    token_row_.assign(tokens.begin(), tokens.end());
    const int* const on = tokens_.put(token_row_);
    const int depth = to_int(rows.depth()), stride = to_int(x.stride(0));
    if (rows.layout() == MatrixLayout::rows)
        launch(gather_rows, grid_over(x, depth), kThreads, 0, rows.rows(), on, x.data(), stride,
               depth);
    else
        launch(gather_panels, grid_over(x, (depth + 7) / 8), kThreads, 0, rows.format(),
               rows.panels(), rows.panel_bytes(), on, x.data(), stride, depth);
}

void CudaEngine::rms_norm(const View<const float>& x,
                          const float* weight,
                          float eps,
                          const View<float>& y) {
    const NormRung& rung = choice_.norm != nullptr ? *choice_.norm : norm_rungs().back();
    rung.run({x, weight, eps, y});
}

void CudaEngine::layer_norm(const View<const float>& x,
                            const float* weight,
                            const float* bias,
                            float eps,
                            const View<float>& y) {
    check_shape(y, x.shape(), "layer_norm: y");
    const int C = to_int(x.dim(1));
    launch(layer_norm_block, groups(x.dim(0), 1), kThreads,
           static_cast<std::size_t>(row_bytes(C)), x.data(), to_int(x.stride(0)), weight, bias,
           eps, y.data(), to_int(y.stride(0)), C);
}

// The host's table goes over as the rows of this step's positions alone.
void CudaEngine::rotate(const View<float>& heads,
                        const RopeTable* table,
                        std::span<const Index> positions,
                        float factor) {
    const SoleUse::Guard alone(use_, "cuda engine");
    const Index R = heads.dim(0), H = heads.dim(1), D = heads.dim(2);
    check(static_cast<Index>(positions.size()) == R, "rotate: ", positions.size(),
          " positions for ", R, " rows");
    check(heads.stride(1) == D && heads.stride(2) == 1, "rotate: heads must lie side by side");
    const Index pairs = table == nullptr ? 0 : table->rope_dim() / 2;
    cosine_rows_.clear();
    sine_rows_.clear();
    for (const Index position : positions) {
        if (table == nullptr) break;
        check(position >= 0 && position < table->positions(), "rotate: position ", position,
              " is outside of the model's context of ", table->positions());
        cosine_rows_.insert(cosine_rows_.end(), table->cos(position),
                            table->cos(position) + pairs);
        sine_rows_.insert(sine_rows_.end(), table->sin(position), table->sin(position) + pairs);
    }
    const float* const cosines = pairs > 0 ? cosines_.put(cosine_rows_) : nullptr;
    const float* const sines = pairs > 0 ? sines_.put(sine_rows_) : nullptr;
    launch(rotate_heads, dim3(groups(H * ((D + 1) / 2), kThreads), groups(R, 1)), kThreads, 0,
           heads.data(), to_int(heads.stride(0)), cosines, sines, to_int(H), to_int(D),
           to_int(2 * pairs), factor);
}

void CudaEngine::add(const View<const float>& x, const View<float>& y) {
    check_shape(y, x.shape(), "add: y");
    launch(add_rows, grid_over(x, x.dim(1)), kThreads, 0, x.data(), to_int(x.stride(0)),
           y.data(), to_int(y.stride(0)), to_int(x.dim(1)));
}

void CudaEngine::swiglu(const View<const float>& gate_up, const View<float>& hidden) {
    const Index F = hidden.dim(1);
    check_shape(gate_up, {hidden.dim(0), 2 * F}, "swiglu: gate_up");
    launch(swiglu_rows, grid_over(hidden, F), kThreads, 0, gate_up.data(),
           to_int(gate_up.stride(0)), hidden.data(), to_int(hidden.stride(0)), to_int(F));
}

void CudaEngine::gelu(const View<const float>& x, const View<float>& y) {
    check_shape(y, x.shape(), "gelu: y");
    launch(gelu_rows, grid_over(x, x.dim(1)), kThreads, 0, x.data(), to_int(x.stride(0)),
           y.data(), to_int(y.stride(0)), to_int(x.dim(1)));
}

}  // namespace

std::unique_ptr<Engine> make_cuda_engine(const KernelChoice& choice) {
    return std::make_unique<CudaEngine>(choice);
}

}  // namespace kvlab
