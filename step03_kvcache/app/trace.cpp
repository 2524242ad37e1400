// trace.cpp - chapter 3: writing a run into a file.
#include "trace.hpp"

#include <bit>

#include <kvlab/tensor/checksum.hpp>

namespace kvlab::app {

namespace {

std::string to_hex(std::span<const float> row) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(row.size() * 8);
    for (const float value : row) {
        const auto bits = std::bit_cast<std::uint32_t>(value);
        for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[bits >> shift & 15];
    }
    return text;
}

Json trace_config(const Config& c) {
    return {{"architecture", c.architecture == Architecture::gpt2 ? "gpt2" : "llama"},
            {"layers", c.layers},
            {"heads", c.heads},
            {"kv_heads", c.kv_heads},
            {"head_dim", c.head_dim},
            {"dim", c.dim},
            {"ffn", c.ffn},
            {"vocab", c.vocab},
            {"context", c.context}};
}

}  // namespace

TraceWriter::TraceWriter(std::shared_ptr<OutputFile> file,
                         const OpenedModel& opened,
                         std::span<const Token> prompt,
                         const std::vector<std::pair<std::string, std::string>>& runs)
    : file_(std::move(file)), counters_(opened.model) {
    Json header;
    header["kvlab_trace"] = 1;
    header["model"] = opened.model->config.name;
    header["config"] = trace_config(opened.model->config);
    header["engine"] = opened.engine->name();
    for (const auto& run : runs)
        header["runs"].push_back({{"name", run.first}, {"cache", run.second}});
    header["prompt"] = prompt;
    header["prompt_pieces"] = Json::array();
    for (const Token token : prompt)
        header["prompt_pieces"].push_back(opened.tokenizer->piece(token));
    write(header);
}

void TraceWriter::write(const Json& line) {
    // A piece of a text may end inside of a character.
    file_->write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
}

void TraceWriter::start(const std::string& run) {
    run_ = run;
    step_ = 0;
    known_.clear();
    counters_.reset();
}

void TraceWriter::on(Op op,
                     Index layer,
                     const View<const float>& rows,
                     std::span<const Index> positions) {
    counters_.on(op, layer, rows, positions);
    const Index R = rows.dim(0), width = rows.dim(1);
    const auto of = positions_of(R, positions);
    Json fresh = Json::array();
    std::string bits;
    Checksum sum;
    for (Index r = 0; r < R; ++r) {
        const std::span<const float> row(&rows(r, 0), usize(width));
        sum.add(row);
        std::vector<float>& known = known_[{op, layer, at(of, r)}];
        if (known.size() == row.size() && compare_bits(known, row).differ == 0) continue;
        known.assign(row.begin(), row.end());
        fresh.push_back(at(of, r));
        bits += to_hex(row);
    }
    if (op == Op::logits) logits_sum_ = sum.value();
    write({{"run", run_},
           {"step", step_},
           {"op", op_name(op)},
           {"layer", layer},
           {"positions", of},
           {"fresh", fresh},
           {"width", width},
           {"sum", sum.hex()},
           {"bits", bits}});
}

void TraceWriter::attended(Index layer, const AttentionWork& work) {
    counters_.attended(layer, work);
}

void TraceWriter::end_step(Token token,
                           const std::string& piece,
                           Index cache_bytes,
                           double seconds) {
    const Work& work = counters_.work();
    write({{"run", run_},
           {"step", step_},
           {"token", token},
           {"piece", piece},
           {"logits_sum", hex64(logits_sum_)},
           {"work",
            {{"flops", work.flops.total()},
             {"kv_projections", work.kv_projections},
             {"weight_bytes", work.weight_bytes},
             {"cache_read", work.cache_read},
             {"cache_written", work.cache_written},
             {"activation_bytes", work.activation_bytes}}},
           {"cache_bytes", cache_bytes},
           {"seconds", seconds}});
    ++step_;
    counters_.reset();
}

void TraceWriter::finish() {
    file_->commit();
}

}  // namespace kvlab::app
