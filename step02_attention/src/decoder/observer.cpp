#include <kvlab/attention/observer.hpp>

#include <cstddef>

namespace kvlab {

const char* op_name(Op op) {
    static constexpr const char* kNames[] = {
        "embedding", "attention_norm", "query",         "key",      "value",
        "attention", "attention_out",  "attention_add", "ffn_norm", "ffn_hidden",
        "ffn_out",   "ffn_add",        "final_norm",    "logits"};
    return kNames[static_cast<std::size_t>(op)];
}

}  // namespace kvlab
