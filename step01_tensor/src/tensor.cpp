#include <kvlab/tensor/tensor.hpp>

#include <algorithm>
#include <limits>

namespace kvlab {

Shape::Shape(std::initializer_list<Index> extents)
    : Shape(std::span<const Index>(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const Index> extents) : rank_(static_cast<Index>(extents.size())) {
    check(rank_ <= kMaxRank, "shape: at most ", kMaxRank, " axes, found ", rank_);
    for (Index axis = 0; axis < rank_; ++axis) {
        const Index extent = extents[static_cast<std::size_t>(axis)];
        check(extent >= 0, "shape: axis ", axis, " has negative extent ", extent);
        Index product = 0;
        check(!__builtin_mul_overflow(size_, extent, &product) &&
                  product <= std::numeric_limits<Index>::max() / 16,
              "shape: element count overflows at axis ", axis, " with extent ", extent);
        size_ = product;
        extents_[static_cast<std::size_t>(axis)] = extent;
    }
}

bool Shape::operator==(const Shape& other) const {
    return rank_ == other.rank_ && extents_ == other.extents_;
}

std::string Shape::to_string() const {
    std::string text = "[";
    for (Index axis = 0; axis < rank_; ++axis) {
        if (axis > 0) text += ", ";
        text += std::to_string(extents_[static_cast<std::size_t>(axis)]);
    }
    return text + "]";
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
