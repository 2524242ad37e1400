// Which model a cache's numbers are of.
#include <algorithm>
#include <bit>

#include <kvlab/attention/config.hpp>
#include <kvlab/serving/cache_file.hpp>

#include "byte_sum.hpp"

namespace kvlab {

namespace {

void add_number(ByteSum& sum, Index number) {
    sum.add(std::as_bytes(std::span(&number, 1)));
}

// With its length, so that no end of one text can be the beginning of the next.
void add_text(ByteSum& sum, std::string_view text) {
    add_number(sum, std::ssize(text));
    sum.add(std::as_bytes(std::span(text)));
}

void add_tensor(ByteSum& sum, const TensorInfo& tensor) {
    add_text(sum, tensor.name);
    add_number(sum, static_cast<Index>(tensor.type));
    add_number(sum, tensor.shape.rank());
    for (Index axis = 0; axis < tensor.shape.rank(); ++axis)
        add_number(sum, tensor.shape[axis]);
    add_number(sum, std::ssize(tensor.bytes));
    sum.add(tensor.bytes);
}

}  // namespace

// ANCHOR: fingerprint
std::uint64_t model_fingerprint(const WeightSource& source) {
    const Config c = Config::from_metadata(source.metadata());
    ByteSum sum;
    add_text(sum, architecture_name(c.architecture));
    for (const Index number :
         {c.dim, c.layers, c.heads, c.kv_heads, c.head_dim, c.ffn, c.rope_dim})
        add_number(sum, number);
    add_number(sum, std::bit_cast<Index>(c.rope_base));
    add_number(sum, std::bit_cast<std::int32_t>(c.norm_eps));
    std::vector<const TensorInfo*> tensors;
    for (const TensorInfo& tensor : source.tensors()) tensors.push_back(&tensor);
    std::sort(tensors.begin(), tensors.end(),
              [](const auto* a, const auto* b) { return a->name < b->name; });
    for (const TensorInfo* tensor : tensors) {
        add_tensor(sum, *tensor);
        source.release(*tensor);
    }
    return sum.value();
}

// ANCHOR_END: fingerprint

CacheOrigin origin_of(const WeightSource& source, const std::string& format) {
    return {model_fingerprint(source), Config::from_metadata(source.metadata()).name,
            source.tensor("token_embd.weight").shape[0], format};
}

}  // namespace kvlab
