// trace.hpp - chapter 3: a run in a file: every number that the operators produced, one JSON
// line each, for `diverge --traces` and tools/viewer.py.
//
//   header  {"kvlab_trace": 1, "model", "config", "engine", "runs": [{"name", "cache"}],
//            "prompt": [tokens], "prompt_pieces": [text]}
//   op      {"run", "step", "op", "layer", "positions", "fresh", "width", "sum", "bits"}
//   step    {"run", "step", "token", "piece", "logits_sum", "work", "cache_bytes", "seconds"}
//
// "positions" are the rows that were computed, "fresh" those of them whose bits this run had
// not recorded yet: "bits" holds these, eight hexadecimal digits per float. An uncached run
// computes every row again in every step; since the bits are the same, it needs no more lines
// than the cached one. "sum" is the checksum of all rows.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/kvcache/counters.hpp>
#include <kvlab/kvcache/recorder.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

// A row of a run: operator, layer, position.
using RowKey = std::tuple<Op, Index, Index>;

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

// A recorded run, as the recorder saw it.
struct TraceRun {
    std::string name, cache;
    std::vector<StepRecord> steps;
};

struct Trace {
    std::string model;
    Index head_dim = 0;
    std::vector<TraceRun> runs;
};

// Throws Error, with the line, for a file that cannot be read, is no such file, or is cut off.
Trace read_trace(const std::string& path);

}  // namespace kvlab::app
