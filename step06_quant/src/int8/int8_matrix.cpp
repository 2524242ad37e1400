#include <kvlab/quant/int8_matrix.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

Int8Matrix::Int8Matrix(std::span<const TensorInfo* const> parts, ThreadPool& pool) {
    check(!parts.empty(), "int8 matrix: no tensors");
    for (const TensorInfo* part : parts) {
        check(part->shape.rank() == 2 && part->shape[1] == parts[0]->shape[1], part->name,
              ": expected a matrix as deep as its neighbours, found ", part->shape);
        outputs_ += part->shape[0];
    }
    depth_ = parts[0]->shape[1];
    check(depth_ <= kInt8Depth, parts[0]->name, ": sums of ", depth_,
          " products of bytes may not fit into 32 bits; at most ", kInt8Depth);
    codes_ = Memory(panels() * groups() * kInt8Panel * kInt8Group, Memory::Fill::zeros);
    scales_.assign(usize(panels() * kInt8Panel), 0.0f);
    Index first = 0;
    for (const TensorInfo* part : parts) {
        const Index row_bytes = bytes_for(part->type, depth_);
        pool.run(part->shape[0], [&](Index i) {
            std::vector<float> row(usize(depth_));
            dequantize(part->type, part->bytes.subspan(usize(i * row_bytes), usize(row_bytes)),
                       row);
            set_output(first + i, row);
        });
        first += part->shape[0];
    }
}

void Int8Matrix::set_output(Index n, std::span<const float> row) {
    std::vector<std::int8_t> codes(row.size());
    at(scales_, n) = quantize_int8(row.data(), 1, depth_, codes.data(), 1);
    auto* const panel = reinterpret_cast<std::uint8_t*>(codes_.data()) +
                        n / kInt8Panel * groups() * kInt8Panel * kInt8Group;
    for (Index k = 0; k < depth_; ++k)
        panel[place(n % kInt8Panel, k)] = static_cast<std::uint8_t>(at(codes, k) + 128);
}

Index Int8Matrix::bytes() const {
    return panels() * kInt8Panel * (groups() * kInt8Group + Index{sizeof(float)});
}

void Int8Rows::set_row(const Int8Kernels& kernels,
                       const View<const float>& x,
                       Index r,
                       float threshold) {
    Row& row = at(rows_, r);
    row.outliers = 0;
    const float* from = &x(r, 0);
    if (threshold > 0) {
        float* const rest = rest_.data() + r * K_;
        for (Index k = 0; k < K_; ++k) {
            const bool outlier = std::fabs(from[k]) >= threshold;
            rest[k] = outlier ? 0.0f : from[k];
            if (!outlier) continue;
            const auto at = usize(r * K_ + row.outliers++);
            inputs_[at] = static_cast<std::int32_t>(k);
            values_[at] = from[k];
        }
        from = rest;
    }
    std::int8_t* const codes = codes_.data() + r * stride_;
    row.scale = int8_scale(kernels.largest(from, K_));
    row.start = -128 * kernels.codes(from, K_, row.scale, codes);
    std::fill(codes + K_, codes + stride_, std::int8_t{0});
}

void Int8Rows::set(const Int8Kernels& kernels,
                   const View<const float>& x,
                   float threshold,
                   ThreadPool& pool) {
    R_ = x.dim(0), K_ = x.dim(1);
    stride_ = (K_ + kInt8Group - 1) / kInt8Group * kInt8Group;
    const auto grow = [](auto& memory, Index size) {
        if (std::ssize(memory) < size) memory.resize(usize(size));
    };
    grow(codes_, R_ * stride_);
    grow(rows_, R_);
    if (threshold > 0) grow(inputs_, R_ * K_), grow(values_, R_ * K_), grow(rest_, R_ * K_);
    constexpr Index kWorthSharing = 1 << 15;  // numbers
    const auto one = [&](Index r) { set_row(kernels, x, r, threshold); };
    if (R_ * K_ < kWorthSharing)
        for (Index r = 0; r < R_; ++r) one(r);
    else
        pool.run(R_, one);
}

Index Int8Rows::outliers() const {
    Index count = 0;
    for (Index r = 0; r < R_; ++r) count += at(rows_, r).outliers;
    return count;
}

// ANCHOR: multiply
// Rows [first, first + rows) of y for panel p.
void Int8Rows::multiply_rows(const Int8Kernels& kernels,
                             const Int8Matrix& w,
                             Index p,
                             Index first,
                             Index rows,
                             const View<float>& y) const {
    const Index width = std::min(kInt8Panel, w.outputs() - p * kInt8Panel);
    std::int32_t starts[kInt8Rows] = {}, sums[kInt8Rows * kInt8Panel];
    for (Index i = 0; i < rows; ++i) starts[i] = at(rows_, first + i).start;
    kernels.multiply(rows, w.groups(), codes_.data() + first * stride_, stride_, starts,
                     w.panel(p), sums);
    for (Index i = 0; i < rows; ++i) {
        const Row& row = at(rows_, first + i);
        float* const out = &y(first + i, p * kInt8Panel);
        kernels.scale(width, row.scale, w.scales(p), sums + i * kInt8Panel, out);
        if (row.outliers > 0)
            kernels.add_outliers(width, row.outliers, inputs_.data() + (first + i) * K_,
                                 values_.data() + (first + i) * K_, w.panel(p), w.scales(p),
                                 out);
    }
}

// ANCHOR_END: multiply

void Int8Rows::multiply(const Int8Kernels& kernels,
                        const Int8Matrix& w,
                        const View<float>& y,
                        ThreadPool& pool) const {
    check(K_ == w.depth(), "int8 product: rows of ", K_, " numbers, a matrix of depth ",
          w.depth());
    check_shape(y, {R_, w.outputs()}, "int8 product: y");
    // A task is a panel and some rows: enough tasks for all threads, each long enough.
    constexpr Index kTaskRows = 16 * kInt8Rows;
    const Index parts = (R_ + kTaskRows - 1) / kTaskRows;
    const auto task = [&](Index i) {
        const Index begin = i % parts * kTaskRows, end = std::min(begin + kTaskRows, R_);
        for (Index r = begin; r < end; r += kInt8Rows)
            multiply_rows(kernels, w, i / parts, r, std::min(kInt8Rows, end - r), y);
    };
    constexpr Index kWorthSharing = 1 << 18;  // products
    const Index tasks = parts * w.panels();
    if (R_ * K_ * w.outputs() < kWorthSharing)
        for (Index i = 0; i < tasks; ++i) task(i);
    else
        pool.run(tasks, task);
}

// ANCHOR: plain
void int8_linear_plain(const Int8Matrix& w,
                       const View<const float>& x,
                       float threshold,
                       const View<float>& y) {
    // SOLUTION-BEGIN 6.7
    const Index K = w.depth();
    for (Index r = 0; r < x.dim(0); ++r) {
        std::vector<float> rest, outliers;
        std::vector<Index> places;
        for (Index k = 0; k < K; ++k) {
            const bool outlier = threshold > 0 && std::fabs(x(r, k)) >= threshold;
            rest.push_back(outlier ? 0.0f : x(r, k));
            if (outlier) places.push_back(k), outliers.push_back(x(r, k));
        }
        std::vector<std::int8_t> codes(rest.size());
        const float scale = quantize_int8(rest.data(), 1, K, codes.data(), 1);
        for (Index n = 0; n < w.outputs(); ++n) {
            std::int32_t sum = 0;  // at most 127 * 127 * kInt8Depth < 2^31
            for (Index k = 0; k < K; ++k) sum += at(codes, k) * w.code(n, k);
            y(r, n) = (scale * w.scale(n)) * static_cast<float>(sum);
            std::vector<float> column;
            column.reserve(places.size());
            for (const Index k : places) column.push_back(static_cast<float>(w.code(n, k)));
            if (!places.empty())
                y(r, n) = y(r, n) +
                          w.scale(n) * dot(outliers.data(), column.data(), std::ssize(column));
        }
    }
    // SOLUTION-END 6.7
}

// ANCHOR_END: plain

}  // namespace kvlab
