#include <kvlab/kvcache/counters.hpp>

namespace kvlab {

// ANCHOR: count
void Counters::on(Op op, Index layer, const View<const float>& rows, std::span<const Index>) {
    work_.activation_bytes += rows.size() * Index{sizeof(float)};
    // Rows times outputs is what was produced; each of them is a sum over the matrix's depth.
    const auto product = [&](Index& flops, const Matrix& matrix, Index outputs) {
        flops += 2 * rows.dim(0) * outputs * matrix.depth();
    };
    if (op == Op::logits) {
        product(work_.flops.head, model_->output_matrix(), rows.dim(1));
        work_.weight_bytes += model_->output_matrix().bytes();
        ++work_.steps;
        return;
    }
    if (layer < 0) return;
    const LayerWeights& w = at(model_->layers, layer);
    switch (op) {
        case Op::query:
            product(work_.flops.projections, *w.qkv.weight, rows.dim(1));
            work_.weight_bytes += w.qkv.weight->bytes();
            break;
        case Op::key:
            work_.kv_projections += rows.dim(0);
            product(work_.flops.projections, *w.qkv.weight, rows.dim(1));
            break;
        case Op::value:
            product(work_.flops.projections, *w.qkv.weight, rows.dim(1));
            break;
        case Op::attention_out:
            product(work_.flops.projections, *w.out.weight, rows.dim(1));
            work_.weight_bytes += w.out.weight->bytes();
            break;
        case Op::ffn_hidden:  // after the activation, which takes the gate's and the up's
                              // outputs
            product(work_.flops.ffn, *w.gate_up.weight, w.gate_up.weight->outputs());
            work_.weight_bytes += w.gate_up.weight->bytes();
            break;
        case Op::ffn_out:
            product(work_.flops.ffn, *w.down.weight, rows.dim(1));
            work_.weight_bytes += w.down.weight->bytes();
            break;
        default:
            break;
    }
}

void Counters::attended(Index, const AttentionWork& work) {
    work_.flops.attention += 4 * model_->config.head_dim * work.pairs;
    work_.cache_read += work.bytes_read;
    work_.cache_written += work.bytes_written;
}

// ANCHOR_END: count

}  // namespace kvlab
