// weight_source.hpp - what a model is loaded from, whatever made it: a GGUF file, or weights
// drawn by a random generator in memory.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_type.hpp>
#include <kvlab/weights/metadata.hpp>

namespace kvlab {

// One tensor, described and borrowed: the bytes belong to the WeightSource.
struct TensorInfo {
    std::string name;
    TensorType type = TensorType::f32;
    Shape shape;                       // row-major: a matrix is [rows, columns]
    std::span<const std::byte> bytes;  // bytes_for(type, shape.size()) of them
};

class WeightSource {
public:
    virtual ~WeightSource() = default;

    // How messages call it: the file's path.
    virtual const std::string& name() const = 0;
    virtual const Metadata& metadata() const = 0;
    // All tensors, in the source's order; valid as long as the source.
    virtual std::span<const TensorInfo> tensors() const = 0;
    // nullptr if there is no such tensor.
    virtual const TensorInfo* find(std::string_view tensor_name) const = 0;

    // The tensor of this name. Throws Error, naming the source and the tensor, if it is missing
    // or, in the second form, has another shape.
    const TensorInfo& tensor(std::string_view tensor_name) const;
    const TensorInfo& tensor(std::string_view tensor_name, const Shape& expected) const;

    // Says that a tensor's numbers have been taken over: the memory behind its bytes may be
    // given back. They stay readable; reading them again may cost time. Throws Error if they
    // turn out not to be the source's (a file that was cut short).
    virtual void release(const TensorInfo&) const {}

protected:
    WeightSource() = default;
    WeightSource(const WeightSource&) = default;
    WeightSource& operator=(const WeightSource&) = default;
};

// The tensor's numbers as float32, in its shape. Throws Error if the info is inconsistent.
Tensor to_f32(const TensorInfo& info);

}  // namespace kvlab
