#include <kvlab/cuda/device_matrix.hpp>

#include <cstring>
#include <typeinfo>
#include <vector>

#include "kernels/arguments.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

namespace {

// A matrix of a type that the kernels do not read becomes floats on its way to the device.
bool is_expanded(TensorType type) {
    return type == TensorType::q4_k;
}

TensorType type_on_device(TensorType type) {
    return is_expanded(type) ? TensorType::f32 : type;
}

PackedMatrix expanded(const PackedMatrix& packed) {
    PackedMatrix plain(packed.outputs(), packed.depth());
    std::vector<float> row(usize(packed.depth()));
    for (Index n = 0; n < packed.outputs(); ++n) {
        packed.read(n, row);
        plain.set_outputs(n, std::as_bytes(std::span(row)));
    }
    return plain;
}

Index panel_bytes_of(const PackedMatrix& packed) {
    return is_expanded(packed.type()) ? packed.depth() * kPanel * Index{sizeof(float)}
                                      : packed.bytes() / packed.panels();
}

Index words_of(const PackedMatrix& packed, MatrixLayout layout) {
    return layout == MatrixLayout::rows
               ? packed.outputs() * packed.depth()
               : packed.panels() * panel_bytes_of(packed) / Index{sizeof(unsigned)};
}

}  // namespace

DeviceMatrix::DeviceMatrix(const PackedMatrix& packed, MatrixLayout layout)
    : outputs_(packed.outputs()),
      depth_(packed.depth()),
      layout_(layout),
      type_(layout == MatrixLayout::rows ? TensorType::f32 : type_on_device(packed.type())),
      panel_bytes_(panel_bytes_of(packed)),
      words_(words_of(packed, layout), "weights") {
    if (layout == MatrixLayout::panels) {
        const PackedMatrix plain =
            is_expanded(packed.type()) ? expanded(packed) : PackedMatrix();
        const PackedMatrix& source = is_expanded(packed.type()) ? plain : packed;
        const auto* words = reinterpret_cast<const unsigned*>(source.panel(0));
        words_.copy_from({words, usize(words_.size())});
    } else {
        std::vector<float> rows(usize(outputs_ * depth_));
        for (Index n = 0; n < outputs_; ++n)
            packed.read(n, std::span(rows).subspan(usize(n * depth_), usize(depth_)));
        copy_bytes_to_device(words_.get(), rows.data(), words_.size() * Index{sizeof(float)});
    }
    device_freeze(words_.get());
}

kernels::Weights DeviceMatrix::weights() const {
    const void* const words = words_.get();
    const bool in_rows = layout_ == MatrixLayout::rows;
    return {.rows = in_rows ? static_cast<const float*>(words) : nullptr,
            .panels = in_rows ? nullptr : static_cast<const unsigned char*>(words),
            .panel_bytes = panel_bytes_,
            .type = type_,
            .outputs = to_int(outputs_),
            .depth = to_int(depth_)};
}

const DeviceMatrix& device_matrix(const Matrix& matrix) {
    if (typeid(matrix) != typeid(DeviceMatrix)) [[unlikely]]
        throw Error("cuda engine: this matrix belongs to another engine");
    return static_cast<const DeviceMatrix&>(matrix);
}

}  // namespace kvlab
