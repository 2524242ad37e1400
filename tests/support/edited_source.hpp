// edited_source.hpp - a model's tensors under other metadata, without some of them.
#pragma once

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
};

}  // namespace kvlab::test
