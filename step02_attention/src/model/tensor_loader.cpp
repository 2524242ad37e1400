#include <kvlab/attention/tensor_loader.hpp>

namespace kvlab {

std::unique_ptr<Buffer> TensorLoader::vector(const std::string& name, Index n) {
    const Tensor values = floats(name, {n});
    auto buffer = engine_.allocate(values.size());
    engine_.upload(values.flat(), buffer->data());
    return buffer;
}

Tensor TensorLoader::floats(const std::string& name, const Shape& shape) {
    const TensorInfo& info = source_.tensor(name, shape);
    Tensor values = to_f32(info);
    source_.release(info);
    return values;
}

std::unique_ptr<Matrix> TensorLoader::matrix(const std::string& name,
                                             Index outputs,
                                             Index depth) {
    return load({&source_.tensor(name, {outputs, depth})});
}

std::unique_ptr<Matrix> TensorLoader::stacked(
    const std::string& prefix,
    const std::vector<std::pair<std::string, Index>>& parts,
    Index depth) {
    std::vector<const TensorInfo*> tensors;
    tensors.reserve(parts.size());
    for (const auto& [name, outputs] : parts)
        tensors.push_back(&source_.tensor(prefix + name + ".weight", {outputs, depth}));
    return load(tensors);
}

Norm TensorLoader::norm(const std::string& name, Index n, bool bias) {
    Norm norm;
    norm.weight = vector(name + ".weight", n);
    if (bias) norm.bias = vector(name + ".bias", n);
    return norm;
}

Linear TensorLoader::linear(const std::string& name, Index outputs, Index depth, bool bias) {
    Linear linear;
    linear.weight = matrix(name + ".weight", outputs, depth);
    if (bias) linear.bias = vector(name + ".bias", outputs);
    return linear;
}

std::unique_ptr<Matrix> TensorLoader::load(const std::vector<const TensorInfo*>& parts) {
    auto matrix = engine_.load_matrix(parts);
    for (const TensorInfo* part : parts) source_.release(*part);  // the engine has its copy
    return matrix;
}

}  // namespace kvlab
