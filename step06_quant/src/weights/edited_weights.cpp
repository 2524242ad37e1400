#include <kvlab/quant/edited_weights.hpp>

#include <algorithm>

namespace kvlab {

EditedWeights::EditedWeights(const WeightSource& base)
    : base_(base), tensors_(base.tensors().begin(), base.tensors().end()) {}

const TensorInfo* EditedWeights::find(std::string_view tensor_name) const {
    const auto found =
        std::find_if(tensors_.begin(), tensors_.end(),
                     [&](const TensorInfo& info) { return info.name == tensor_name; });
    return found == tensors_.end() ? nullptr : &*found;
}

void EditedWeights::release(const TensorInfo& tensor) const {
    if (const TensorInfo* original = base_.find(tensor.name)) base_.release(*original);
}

TensorInfo& EditedWeights::editable(std::string_view tensor_name) {
    const TensorInfo& info = tensor(tensor_name);
    return at(tensors_, &info - tensors_.data());
}

void EditedWeights::replace(std::string_view tensor_name, Tensor numbers) {
    TensorInfo& info = editable(tensor_name);
    check(numbers.shape() == info.shape, name(), ": ", tensor_name, ": shape ", info.shape,
          " cannot become ", numbers.shape());
    numbers_.push_back(std::move(numbers));
    info.type = TensorType::f32;
    info.bytes = std::as_bytes(std::span<const float>(numbers_.back().flat()));
}

void EditedWeights::replace(std::string_view tensor_name,
                            TensorType type,
                            std::vector<std::byte> bytes) {
    TensorInfo& info = editable(tensor_name);
    check(std::ssize(bytes) == bytes_for(type, info.shape.size()), name(), ": ", tensor_name,
          ": ", bytes.size(), " bytes are not ", info.shape, " in ", type_name(type));
    bytes_.push_back(std::move(bytes));
    info.type = type;
    info.bytes = bytes_.back();
}

}  // namespace kvlab
