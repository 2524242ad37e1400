#include <kvlab/attention/drawn_weights.hpp>

#include <algorithm>
#include <cmath>

namespace kvlab {

const TensorInfo* DrawnWeights::find(std::string_view tensor_name) const {
    const auto found = std::ranges::find(tensors_, tensor_name, &TensorInfo::name);
    return found == tensors_.end() ? nullptr : &*found;
}

template <class Draw>
void DrawnWeights::add_drawn(const std::string& name, const Shape& shape, Draw&& draw) {
    Tensor& values = storage_.emplace_back(shape);
    for (float& x : values.flat()) x = draw();
    tensors_.push_back(
        {name, TensorType::f32, shape, std::as_bytes(std::span<const float>(values.flat()))});
}

void DrawnWeights::add(const std::string& name, Shape shape, float deviation, float mean) {
    add_drawn(name, shape, [&] { return std::fma(rng_.normal(), deviation, mean); });
}

void DrawnWeights::add_matrix(const std::string& name, Index outputs, Index depth) {
    add(name, {outputs, depth},
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(depth))));
}

void DrawnWeights::add_between(const std::string& name, Shape shape, float low, float high) {
    add_drawn(name, shape, [&] { return std::fma(rng_.uniform(), high - low, low); });
}

}  // namespace kvlab
