// observer.hpp - chapter 2: one hook through which counters, tracers and recordings
// watch the decoder.
#pragma once

#include <span>

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The places where the decoder can be watched, in the order in which a layer passes them.
enum class Op {
    embedding,       // [R, C] token (and position) embeddings
    attention_norm,  // [R, C]
    query,           // [R, Hq * D] after RoPE and scaling
    key,             // [R, Hkv * D] after RoPE
    value,           // [R, Hkv * D]
    attention,       // [R, Hq * D] weighted values
    attention_out,   // [R, C] projected, before it is added
    attention_add,   // [R, C] the residual stream after attention
    ffn_norm,        // [R, C]
    ffn_hidden,      // [R, F] after the activation
    ffn_out,         // [R, C] before it is added
    ffn_add,         // [R, C] the residual stream after the layer
    final_norm,      // [n, C] of the rows that want logits
    logits,          // [n, V]
};

const char* op_name(Op op);

// Attach one with Decoder::set_observer(). Costs one comparison per operator when
// there is none.
class Observer {
public:
    virtual ~Observer() = default;

    // `rows` is what the operator has just produced, for the batch's R tokens in order (all of
    // the first sequence, then the next); valid during the call only, in the engine's memory.
    // Queries and keys come as the store takes them (KvStore::key_form(): rotated, unless it
    // says otherwise). `layer` is -1 outside of the layers; `positions` are the rows' places in
    // their texts.
    virtual void on(Op op,
                    Index layer,
                    const View<const float>& rows,
                    std::span<const Index> positions) = 0;

    // What all sequences' attention of one layer did, before on(Op::attention) of that layer.
    virtual void attended(Index /*layer*/, const AttentionWork& /*work*/) {}
};

}  // namespace kvlab
