// sample_source.hpp - a small model in memory whose keys and tensors a test can change, and
// which notes what was read of it.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/checksum.hpp>

namespace kvlab::test {

// A source that can be added to, in memory.
class Sample final : public WeightSource {
public:
    explicit Sample(const Config& config) : base_(make_synthetic(config, 3)) {
        metadata_ = Metadata("m.gguf");
        for (const auto& entry : base_->metadata().entries())
            metadata_.set(entry.key, entry.value);
        tensors_.assign(base_->tensors().begin(), base_->tensors().end());
    }

    const std::string& name() const override { return metadata_.source(); }

    const Metadata& metadata() const override { return metadata_; }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view wanted) const override {
        const auto found = std::ranges::find(tensors_, wanted, &TensorInfo::name);
        return found == tensors_.end() ? nullptr : &*found;
    }

    void release(const TensorInfo& info) const override { ++released[info.name]; }

    Sample& set(const std::string& key, MetaValue value) {
        metadata_.set(key, std::move(value));
        return *this;
    }

    // A copy of a tensor under another name.
    Sample& add(const std::string& name, const std::string& like) {
        TensorInfo info = tensor(like);
        info.name = name;
        tensors_.push_back(info);
        return *this;
    }

    Sample& drop(const std::string& name) {
        std::erase_if(tensors_, [&](const TensorInfo& info) { return info.name == name; });
        return *this;
    }

    mutable std::map<std::string, int> released;

private:
    std::unique_ptr<WeightSource> base_;
    Metadata metadata_;
    std::vector<TensorInfo> tensors_;
};

// Checksum of the logits of five tokens.
inline std::uint64_t logits_of(const WeightSource& source) {
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), 8);
    Checksum sum;
    sum.add(decoder.forward(store, std::vector<Token>{1, 2, 3, 4, 5}, LogitsOf::all).flat());
    return sum.value();
}

}  // namespace kvlab::test
