// kv_formats.hpp - chapter 6: what the subcommands about the cache share: which formats fit a
// model's heads, what they hold, and a model whose keys have outliers.
#pragma once

#include <string>
#include <vector>

#include <kvlab/kvcache/judge.hpp>
#include <kvlab/quant/coded_rows.hpp>

#include "trial.hpp"

namespace kvlab::app {

struct KvRow {
    Format code;
    std::string side;      // "both", "keys" or "values"
    QuantOptions options;  // with the code on these sides, f32 on the other
};

struct KvRows {
    std::vector<KvRow> rows;
    std::vector<std::string> refused;  // one sentence each
};

// One row for each format and side that heads of this shape can be kept in; "f32" is one row,
// the first. `codes`: empty for all; f32 is always there.
KvRows kv_rows(const KvShape& shape,
               const QuantOptions& options,
               const std::vector<std::string>& codes,
               const std::vector<std::string>& sides);

// What flags accept.
inline const std::vector<int> kResiduals = {32, 64, 96, 128, 192, 256, 384, 512};

// Holds `length` tokens whose numbers are 0: of a cache to be weighed only lengths count.
std::unique_ptr<KvCache> filled_cache(const KvShape& shape,
                                      const QuantOptions& options,
                                      const RopeTable* rope,
                                      Index length);

// Of each number of the keys and values of `length` tokens.
double bits_per_number(Index bytes, const KvShape& shape, Index length);

// Of each number that the positions [from, window) of a text see: the bytes of all of them over
// the numbers of all of them. The bits at a window's end are not those that its positions were
// judged with: to the first R of them all of KIVI is f16.
double bits_seen(const KvShape& shape, const QuantOptions& options, Index from, Index window);

// A row of a table: bits of all positions of a window, of those from `from` on (or nothing, if
// there are none), and bytes at its end.
Json kv_sizes(const KvShape& shape,
              const QuantOptions& options,
              const RopeTable* rope,
              Index from,
              Index window);

// What the columns of these tables mean.
void print_kv_footer(const Trial& trial);

// The opened model's model on its engine, with this cache. `rope` must outlive it.
Variant kv_variant(const OpenedModel& opened, const KvRow& row, const RopeTable* rope);

// Null for a model without.
const RopeTable* rope_of(const Model& model);

// Two channels of every key 20 times as large, and those of the queries by as much smaller: the
// products, and the model but for rounding, stay. The pair that RoPE turns slowest, so that it
// stays in its channels; both of the pair, so that RoPE does not mix them.
std::shared_ptr<const Model> with_outliers(const WeightSource& file,
                                           const Config& config,
                                           Engine& engine);

}  // namespace kvlab::app
