#include <kvlab/weights/weight_source.hpp>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

const TensorInfo& WeightSource::tensor(std::string_view tensor_name) const {
    const TensorInfo* info = find(tensor_name);
    check(info != nullptr, name(), ": tensor ", quote(tensor_name),
          ": expected in the file, found no such tensor");
    return *info;
}

const TensorInfo& WeightSource::tensor(std::string_view tensor_name,
                                       const Shape& expected) const {
    const TensorInfo& info = tensor(tensor_name);
    if (!(info.shape == expected)) [[unlikely]]
        throw Error(concat(name(), ": tensor ", quote(tensor_name), ": expected shape ",
                           expected, ", found ", info.shape));
    return info;
}

Tensor to_f32(const TensorInfo& info) {
    check(std::ssize(info.bytes) == bytes_for(info.type, info.shape.size()), "tensor ",
          quote(info.name), ": expected ", bytes_for(info.type, info.shape.size()),
          " bytes, found ", info.bytes.size());
    Tensor values(info.shape);
    dequantize(info.type, info.bytes, values.flat());
    return values;
}

}  // namespace kvlab
