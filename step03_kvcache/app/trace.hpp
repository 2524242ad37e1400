// trace.hpp - chapter 3: a run in a file: every number that the operators produced, one JSON
// line each, for `diverge --traces` and tools/viewer.py. trace_format.md has every key; here is
// the order in which they are written:
//
//   header  {"kvlab_trace": 1, "model", "config", "engine", "runs": [{"name", "cache"}],
//            "prompt": [tokens], "prompt_pieces": [text]}
//   op      {"run", "step", "op", "layer", "positions", "fresh", "width", "sum", "bits"}
//   step    {"run", "step", "token", "piece", "logits_sum", "work", "cache_bytes", "seconds"}
//
// An uncached run computes every row again in every step; since the bits are the same, "fresh"
// makes that no more lines than those of the cached run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/kvcache/counters.hpp>
#include <kvlab/kvcache/read_trace.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

class TraceWriter final : public Observer {
public:
    // The file gets its name when finish() is called; before, nothing is there.
    TraceWriter(std::shared_ptr<OutputFile> file,
                const OpenedModel& opened,
                std::span<const Token> prompt,
                const std::vector<std::pair<std::string, std::string>>& runs);  // name, cache

    // What follows belongs to this run.
    void start(const std::string& run);

    void on(Op op,
            Index layer,
            const View<const float>& rows,
            std::span<const Index> positions) override;
    void attended(Index layer, const AttentionWork& work) override;

    void end_step(Token token, const std::string& piece, Index cache_bytes, double seconds);

    void finish();

private:
    void write(const Json& line);

    std::shared_ptr<OutputFile> file_;
    std::string run_;
    Index step_ = 0;
    std::uint64_t logits_sum_ = 0;
    std::map<RowKey, std::vector<float>> known_;  // of this run
    Counters counters_;                           // of this step
};

}  // namespace kvlab::app
