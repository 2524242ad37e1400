#include "kv_formats.hpp"

#include <algorithm>
#include <cstdio>

#include <kvlab/quant/edited_weights.hpp>

namespace kvlab::app {

namespace {

QuantOptions with_codes(QuantOptions options, Format code, const std::string& side) {
    options.keys = side == "values" ? &formats::f32 : code;
    options.values = side == "keys" ? &formats::f32 : code;
    return options;
}

}  // namespace

KvRows kv_rows(const KvShape& shape,
               const QuantOptions& options,
               const std::vector<std::string>& codes,
               const std::vector<std::string>& sides) {
    KvRows table;
    for (const Format code : coded_formats()) {
        const bool wanted = codes.empty() || code == &formats::f32 ||
                            std::find(codes.begin(), codes.end(), code->name) != codes.end();
        if (!wanted) continue;
        if (options.before_rope && code->turned) {
            table.refused.push_back(
                concat(code->name, ": turned keys cannot be kept before RoPE"));
            continue;
        }
        for (const std::string& side : sides) {
            try {
                for (const bool keys : {true, false})
                    if (side == "both" || side == (keys ? "keys" : "values"))
                        check_row_format(code->of(keys), shape.head_dim, keys);
            } catch (const Error& error) {
                table.refused.push_back(concat(side, ": ", error.what()));
                continue;
            }
            table.rows.push_back({code, side, with_codes(options, code, side)});
            if (code == &formats::f32) break;
        }
    }
    return table;
}

std::unique_ptr<KvCache> filled_cache(const KvShape& shape,
                                      const QuantOptions& options,
                                      const RopeTable* rope,
                                      Index length) {
    auto cache = std::make_unique<KvCache>(shape, length, coded_rows(options), rope);
    constexpr Index kPiece = 64;
    const Tensor zeros({std::min(kPiece, length), shape.kv_heads, shape.head_dim});
    while (cache->room() > 0) {
        const Index T = std::min(kPiece, cache->room());
        cache->begin(T);
        for (Index layer = 0; layer < shape.layers; ++layer)
            cache->append(layer, zeros.view().slice(0, 0, T), zeros.view().slice(0, 0, T));
        cache->commit();
    }
    return cache;
}

double bits_per_number(Index bytes, const KvShape& shape, Index length) {
    const Index numbers = 2 * shape.layers * shape.kv_heads * shape.head_dim * length;
    return static_cast<double>(8 * bytes) / static_cast<double>(numbers);
}

double bits_seen(const KvShape& shape, const QuantOptions& options, Index from, Index window) {
    CodedRows rows(options, window, shape.kv_heads, shape.head_dim);
    const Tensor zeros({window, shape.kv_heads, shape.head_dim});
    rows.open(0, window);
    rows.write(0, 0, zeros.view(), zeros.view());
    rows.close(0, window);
    Index bytes = 0, numbers = 0;
    for (Index p = from; p < window; ++p) {
        bytes += rows.seen_bytes(p);
        numbers += 2 * (p + 1) * shape.kv_heads * shape.head_dim;
    }
    return static_cast<double>(8 * bytes) / static_cast<double>(numbers);
}

Json kv_sizes(const KvShape& shape,
              const QuantOptions& options,
              const RopeTable* rope,
              Index from,
              Index window) {
    Json sizes{{"bits", bits_seen(shape, options, 0, window)}, {"bits after", nullptr}};
    if (from < window) sizes["bits after"] = bits_seen(shape, options, from, window);
    sizes["bytes"] = filled_cache(shape, options, rope, window)->bytes().logical;
    return sizes;
}

void print_kv_footer(const Trial& trial) {
    std::printf(
        "  bits: of a number that a scored position sees, the mean over all of them, scales "
        "and "
        "residual counted.\n"
        "  bits after, KL after: of the positions from %td on alone; a residual before them is "
        "f16 for all.\n"
        "  bytes: of all keys and values at a window's end.\n"
        "  KL in bits, against the model without a cache: %.4f bits per byte.\n",
        trial.score_from, trial.plain_bits_per_byte());
}

Variant kv_variant(const OpenedModel& opened, const KvRow& row, const RopeTable* rope) {
    const auto make = [shape = opened.decoder.kv_shape(), options = row.options, rope,
                       level = opened.level](Index capacity) {
        return std::make_unique<KvCache>(shape, capacity, coded_rows(options, level), rope,
                                         level);
    };
    return {concat(row.code->name, " ", row.side), opened.model, opened.engine.get(), make, 0};
}

const RopeTable* rope_of(const Model& model) {
    return model.config.rope_dim > 0 ? &model.rope : nullptr;
}

std::shared_ptr<const Model> with_outliers(const WeightSource& file,
                                           const Config& config,
                                           Engine& engine) {
    constexpr float kTimes = 20.0f;
    EditedWeights edited(file);
    const Index D = config.head_dim;
    for (Index layer = 0; layer < config.layers; ++layer)
        for (const bool keys : {true, false}) {
            const std::string name =
                concat("blk.", layer, keys ? ".attn_k.weight" : ".attn_q.weight");
            Tensor rows = to_f32(edited.tensor(name));  // [N, K]
            for (Index n = 0; n < rows.dim(0); ++n)
                if (n % D >= D - 2)
                    for (Index k = 0; k < rows.dim(1); ++k)
                        rows(n, k) = keys ? rows(n, k) * kTimes : rows(n, k) / kTimes;
            edited.replace(name, std::move(rows));
        }
    return load_model(edited, engine);
}

}  // namespace kvlab::app
