// trace.cpp - chapter 3: writing a run into a file, and reading it back.
#include "trace.hpp"

#include <algorithm>
#include <bit>
#include <fstream>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/input_file.hpp>

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

std::vector<float> from_hex(const std::string& text) {
    check(text.size() % 8 == 0, "bits: ", text.size(), " digits are not whole floats");
    std::vector<float> row(text.size() / 8);
    for (std::size_t i = 0; i < row.size(); ++i) {
        std::uint32_t bits = 0;
        for (std::size_t digit = 0; digit < 8; ++digit) {
            const char c = text[i * 8 + digit];
            const bool decimal = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
            check(decimal || letter, "bits: not a hexadecimal digit: ", c);
            bits = bits << 4 | static_cast<std::uint32_t>(decimal ? c - '0' : c - 'a' + 10);
        }
        row[i] = std::bit_cast<float>(bits);
    }
    return row;
}

Op op_of(const std::string& name) {
    for (int i = 0; i <= static_cast<int>(Op::logits); ++i)
        if (name == op_name(static_cast<Op>(i))) return static_cast<Op>(i);
    throw Error(concat("no such operator: ", name));
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

namespace {

class TraceReader {
public:
    Trace read(const std::string& path) {
        std::ifstream file = open_input(path);
        std::string text;
        Index number = 0;
        try {
            while (std::getline(file, text)) {
                ++number;
                const Json line = Json::parse(text);
                if (number == 1)
                    take_header(line);
                else
                    take_line(line);
            }
            check(number > 0, "not a trace: no header");
            for (const TraceRun& run : trace_.runs)
                check(!run.steps.empty() && open_.at(run.name).empty(), "run ", run.name,
                      " ends in the middle of a step");
        } catch (const std::exception& error) {  // of this reader, or of the JSON library
            throw Error(concat(path, ", line ", number, ": ", error.what()));
        }
        return std::move(trace_);
    }

private:
    void take_header(const Json& line) {
        check(line.is_object() && line.value("kvlab_trace", 0) == 1,
              "not a trace of version 1");
        trace_.model = printable(line.at("model").get<std::string>());
        trace_.head_dim = line.at("config").at("head_dim").get<Index>();
        check(trace_.head_dim > 0, "head_dim is ", trace_.head_dim);
        for (const Json& run : line.at("runs")) {
            trace_.runs.push_back({printable(run.at("name").get<std::string>()),
                                   printable(run.at("cache").get<std::string>()),
                                   {}});
            open_[trace_.runs.back().name];
        }
        check(!trace_.runs.empty(), "no runs");
    }

    void take_line(const Json& line) {
        const auto name = printable(line.at("run").get<std::string>());
        const auto run = std::find_if(trace_.runs.begin(), trace_.runs.end(),
                                      [&](const TraceRun& r) { return r.name == name; });
        check(run != trace_.runs.end(), "the header names no run ", name);
        check(line.at("step").get<std::size_t>() == run->steps.size(), "step ",
              line.at("step").get<Index>(), " where ", run->steps.size(), " was to come");
        StepRecord& open = open_[name];
        if (line.contains("op")) return open.push_back(take_op(line, known_[name]));
        check(!open.empty(), "a step without operators");
        run->steps.push_back(std::move(open));
        open.clear();
    }

    static OpRecord take_op(const Json& line, std::map<RowKey, std::vector<float>>& known) {
        OpRecord record{op_of(line.at("op").get<std::string>()),
                        line.at("layer").get<Index>(),
                        line.at("positions").get<std::vector<Index>>(),
                        line.at("width").get<Index>(),
                        {}};
        check(!record.positions.empty(), "an operator without rows");
        check(record.width > 0 && record.width <= Index{1} << 32, "width: expected 1 to 2^32, ",
              "found ", record.width);
        const auto bits = from_hex(line.at("bits").get<std::string>());
        const auto fresh = line.at("fresh").get<std::vector<Index>>();
        const auto width = usize(record.width);
        check(bits.size() == fresh.size() * width, "bits of ", bits.size(), " floats for ",
              fresh.size(), " rows of ", width);
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            const auto begin = bits.begin() + static_cast<std::ptrdiff_t>(i * width);
            known[{record.op, record.layer, fresh[i]}] = {
                begin, begin + static_cast<std::ptrdiff_t>(width)};
        }
        Checksum sum;
        for (const Index position : record.positions) {
            const auto row = known.find({record.op, record.layer, position});
            check(row != known.end() && row->second.size() == width, "position ", position,
                  " has no bits");
            record.rows.insert(record.rows.end(), row->second.begin(), row->second.end());
            sum.add(row->second);
        }
        check(sum.hex() == line.at("sum").get<std::string>(), op_name(record.op),
              ": the checksum is not that of the bits");
        return record;
    }

    Trace trace_;
    std::map<std::string, StepRecord> open_;  // by run: the step that is being read
    std::map<std::string, std::map<RowKey, std::vector<float>>> known_;
};

}  // namespace

Trace read_trace(const std::string& path) {
    return TraceReader().read(path);
}

}  // namespace kvlab::app
