// edited_source.hpp - a model's tensors under other metadata, without some of them, and with
// others in their place.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <kvlab/weights/weight_source.hpp>

namespace kvlab::test {

class EditedSource final : public WeightSource {
public:
    // `keep` says which tensors stay. `from` must outlive it.
    EditedSource(const WeightSource& from,
                 Metadata metadata,
                 const std::function<bool(const std::string& tensor)>& keep)
        : from_(from), metadata_(std::move(metadata)) {
        for (const TensorInfo& info : from.tensors())
            if (keep(info.name)) tensors_.push_back(info);
    }

    // Puts these floats in the place of a tensor, or adds one.
    void set(const std::string& tensor, Tensor values) {
        const Tensor& kept = storage_.emplace_back(std::move(values));
        const auto bytes = std::as_bytes(kept.flat());
        for (TensorInfo& info : tensors_)
            if (info.name == tensor) {
                info = {tensor, TensorType::f32, kept.shape(), bytes};
                return;
            }
        tensors_.push_back({tensor, TensorType::f32, kept.shape(), bytes});
    }

    const std::string& name() const override { return from_.name(); }

    const Metadata& metadata() const override { return metadata_; }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override {
        for (const TensorInfo& info : tensors_)
            if (info.name == tensor_name) return &info;
        return nullptr;
    }

private:
    const WeightSource& from_;
    Metadata metadata_;
    std::vector<TensorInfo> tensors_;
    std::deque<Tensor> storage_;  // of those that were put in; a deque does not move them
};

}  // namespace kvlab::test
