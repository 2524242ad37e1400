#include <kvlab/tensor/tensor.hpp>

#include <algorithm>
#include <limits>

namespace kvlab {

// Finds out what is wrong, once something is.
void Shape::refuse(std::span<const Index> extents) {
    check(extents.size() <= kMaxRank, "shape: at most ", kMaxRank, " axes, found ",
          extents.size());
    Index size = 1;
    for (std::size_t axis = 0; axis < extents.size(); ++axis) {
        check(extents[axis] >= 0, "shape: axis ", axis, " has negative extent ", extents[axis]);
        check(!__builtin_mul_overflow(size, std::max<Index>(extents[axis], 1), &size) &&
                  size <= kMaxSize,
              "shape: element count overflows at axis ", axis, " with extent ", extents[axis]);
    }
    throw Error("shape: extents that cannot be");
}

std::string Shape::to_string() const {
    std::string text = "[";
    for (Index axis = 0; axis < rank_; ++axis) {
        if (axis > 0) text += ", ";
        text += std::to_string(at(extents_, axis));
    }
    return text + "]";
}

void refuse_shape(const Shape& found, const Shape& expected, const char* what) {
    throw Error(concat(what, ": expected shape ", expected, ", found ", found));
}

Tensor::Tensor(Shape shape)
    : shape_(shape),
      data_(shape_.size() * static_cast<Index>(sizeof(float)), Memory::Fill::zeros) {}

Tensor Tensor::clone() const {
    if (!data_) return {};
    Tensor copy(shape_);
    std::copy_n(data(), size(), copy.data());
    return copy;
}

}  // namespace kvlab
