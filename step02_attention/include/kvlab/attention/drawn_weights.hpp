// drawn_weights.hpp - chapter 2: tensors of any names and shapes, drawn by a random generator,
// as if they had come from a file.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

class DrawnWeights final : public WeightSource {
public:
    DrawnWeights(std::string name, Metadata metadata, std::uint64_t seed)
        : name_(std::move(name)), metadata_(std::move(metadata)), rng_(seed) {}

    const std::string& name() const override { return name_; }

    const Metadata& metadata() const override { return metadata_; }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override;

    // Normal numbers around `mean`.
    void add(const std::string& name, Shape shape, float deviation, float mean = 0.0f);

    // Normal numbers with standard deviation 1 / sqrt(depth).
    void add_matrix(const std::string& name, Index outputs, Index depth);

    // Numbers between `low` and `high`.
    void add_between(const std::string& name, Shape shape, float low, float high);

private:
    // Adds a tensor of numbers that draw() gives.
    template <class Draw>
    void add_drawn(const std::string& name, const Shape& shape, Draw&& draw);

    std::string name_;
    Metadata metadata_;
    Rng rng_;
    std::deque<Tensor> storage_;  // a deque does not move its elements
    std::vector<TensorInfo> tensors_;
};

}  // namespace kvlab
