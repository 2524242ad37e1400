// quant_rig.hpp - a small model whose text is run with a quantised cache, and without one.
#pragma once

#include <algorithm>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/uncached_quant.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "models.hpp"

namespace kvlab::test {

// A model with heads of a size that blocks of 32 fit into, and a text.
struct QuantRig {
    explicit QuantRig(Index head_dim = 32, Index threads = 1)
        : engine(make_cpu_engine({threads, default_simd_level()})),
          model(load_model(*make_synthetic(small_config(4, 2, head_dim), 7), *engine)),
          decoder(model, *engine) {}

    KvShape shape() const { return decoder.kv_shape(); }

    std::unique_ptr<KvCache> cache(const QuantOptions& options, Index capacity) const {
        return std::make_unique<KvCache>(shape(), capacity, coded_rows(options), &model->rope);
    }

    // All logits of a text without a cache, as rows that went through the formats.
    Tensor uncached(const QuantOptions& options, std::span<const Token> text) {
        UncachedQuant store(shape(), std::ssize(text), options, &model->rope);
        return copy(decoder.forward(store, text, LogitsOf::all));
    }

    // The same with a cache, `piece` tokens at a time, 0: all.
    Tensor cached(KvStore& store, std::span<const Token> text, Index piece) {
        const auto n = std::ssize(text);
        Tensor all({n, model->config.vocab});
        for (Index begin = 0; begin < n; begin += piece == 0 ? n : piece) {
            const Index count = std::min(piece == 0 ? n : piece, n - begin);
            const View<const float> rows =
                decoder.forward(store, text.subspan(usize(begin), usize(count)), LogitsOf::all);
            const std::span<const float> from = rows.flat();
            std::copy(from.begin(), from.end(), &all(begin, 0));
        }
        return all;
    }

    static Tensor copy(const View<const float>& rows) {
        Tensor all(rows.shape());
        const std::span<const float> from = rows.flat();
        std::copy(from.begin(), from.end(), all.data());
        return all;
    }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
};

inline Index differing(const Tensor& a, const Tensor& b) {
    return compare_bits(a.flat(), b.flat()).differ;
}

inline QuantOptions both(Format code) {
    return {code, code};
}

inline QuantOptions kivi(Format code, Index residual) {
    QuantOptions options = both(code);
    options.residual = residual;
    return options;
}

}  // namespace kvlab::test
