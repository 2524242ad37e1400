// edited_weights.hpp - chapter 6: a model's weights with some tensors replaced.
//
// Whatever changes weights - rounding them to codebooks, moving scale from activations into
// them, cutting their rank - makes new numbers for some tensors and leaves the others. What the
// model is loaded from is then this.
#pragma once

#include <list>
#include <vector>

#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

class EditedWeights final : public WeightSource {
public:
    // `base` must outlive this.
    explicit EditedWeights(const WeightSource& base);
    // A copy's infos would borrow from the original. To edit on top of another one, say what is
    // meant: EditedWeights more(static_cast<const WeightSource&>(edited)).
    EditedWeights(const EditedWeights&) = delete;
    EditedWeights& operator=(const EditedWeights&) = delete;

    const std::string& name() const override { return base_.name(); }

    const Metadata& metadata() const override { return base_.metadata(); }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override;

    // Of the base's tensor, which what replaced it was made from.
    void release(const TensorInfo& tensor) const override;

    // The tensor's numbers from now on, as F32, in its shape; replacing it again is allowed.
    // Throws Error for an unknown tensor and for another shape.
    void replace(std::string_view tensor_name, Tensor numbers);
    // The same as bytes of a type. Throws Error, too, unless they are exactly bytes_for() it.
    void replace(std::string_view tensor_name, TensorType type, std::vector<std::byte> bytes);

private:
    TensorInfo& editable(std::string_view tensor_name);

    const WeightSource& base_;
    std::vector<TensorInfo> tensors_;
    std::list<Tensor> numbers_;  // what the infos borrow; a list, so that nothing moves
    std::list<std::vector<std::byte>> bytes_;
};

}  // namespace kvlab
