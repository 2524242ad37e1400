#include <kvlab/kvcache/read_trace.hpp>

#include <algorithm>
#include <bit>
#include <fstream>
#include <map>

#include <nlohmann/json.hpp>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/input_file.hpp>

namespace kvlab {

namespace {

using Json = nlohmann::ordered_json;
using Known = std::map<RowKey, std::vector<float>>;  // the rows that a run has recorded

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

// What a line says under `key`, or `otherwise` where an engine has left it out.
template <class T>
T value_or(const Json& line, const char* key, const T& otherwise) {
    return line.contains(key) ? line.at(key).get<T>() : otherwise;
}

// All rows of an operator: those that are new from `bits`, the others as the run recorded them.
OpRecord take_op(const Json& line, Known& known) {
    const Op op = parse_op(line.at("op").get<std::string>());
    OpRecord record{op,
                    value_or<Index>(line, "layer", -1),
                    line.at("positions").get<std::vector<Index>>(),
                    0,
                    {}};
    check(!record.positions.empty(), "an operator without rows");
    const auto fresh = value_or(line, "fresh", record.positions);
    const auto bits = from_hex(line.at("bits").get<std::string>());
    const Index even = fresh.empty() ? 0 : std::ssize(bits) / std::ssize(fresh);
    record.width = value_or(line, "width", even);
    check(record.width > 0 && record.width <= Index{1} << 32, "width: expected 1 to 2^32, ",
          "found ", record.width);
    const auto width = usize(record.width);
    check(bits.size() == fresh.size() * width, "bits of ", bits.size(), " floats for ",
          fresh.size(), " rows of ", width);
    for (std::size_t i = 0; i < fresh.size(); ++i) {
        const auto begin = bits.begin() + static_cast<std::ptrdiff_t>(i * width);
        known[{op, record.layer, fresh[i]}] = {begin,
                                               begin + static_cast<std::ptrdiff_t>(width)};
    }
    Checksum sum;
    for (const Index position : record.positions) {
        const auto row = known.find({op, record.layer, position});
        check(row != known.end() && row->second.size() == width, "position ", position,
              " has no bits");
        record.rows.insert(record.rows.end(), row->second.begin(), row->second.end());
        sum.add(row->second);
    }
    check(value_or(line, "sum", sum.hex()) == sum.hex(), op_name(op),
          ": the checksum is not that of the bits");
    return record;
}

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
        trace_.model = printable(value_or<std::string>(line, "model", "unnamed"));
        if (line.contains("config") && line.at("config").contains("head_dim")) {
            trace_.head_dim = line.at("config").at("head_dim").get<Index>();
            check(trace_.head_dim > 0, "head_dim is ", trace_.head_dim);
        }
        for (const Json& run : value_or(line, "runs", Json::array({{{"name", "run"}}})))
            add_run({printable(run.at("name").get<std::string>()),
                     printable(value_or<std::string>(run, "cache", "not said")),
                     {},
                     {}});
        check(!trace_.runs.empty(), "no runs");
    }

    void add_run(TraceRun run) {
        check(!open_.contains(run.name), "two runs with the name ", run.name);
        open_[run.name];
        trace_.runs.push_back(std::move(run));
    }

    void take_line(const Json& line) {
        check(line.is_object(), "expected an object, found ", line.type_name());
        // A file of one run need not repeat its name in every line.
        const auto name = trace_.runs.size() == 1 && !line.contains("run")
                              ? trace_.runs.front().name
                              : printable(line.at("run").get<std::string>());
        const auto run = std::find_if(trace_.runs.begin(), trace_.runs.end(),
                                      [&](const TraceRun& r) { return r.name == name; });
        check(run != trace_.runs.end(), "the header names no run ", name);
        check(line.at("step").get<std::size_t>() == run->steps.size(), "step ",
              line.at("step").get<Index>(), " where ", run->steps.size(), " was to come");
        StepRecord& open = open_[name];
        if (line.contains("op")) {
            OpRecord record = take_op(line, known_[name]);
            for (const OpRecord& other : open)
                check(other.op != record.op || other.layer != record.layer, op_name(record.op),
                      " of layer ", record.layer, " for the second time in this step");
            return open.push_back(std::move(record));
        }
        check(!open.empty(), "a step without operators");
        run->steps.push_back(std::move(open));
        run->tokens.push_back(value_or<Token>(line, "token", -1));
        open.clear();
    }

    Trace trace_;
    std::map<std::string, StepRecord> open_;  // by run: the step that is being read
    std::map<std::string, Known> known_;
};

}  // namespace

Op parse_op(const std::string& name) {
    for (int i = 0; i <= static_cast<int>(Op::logits); ++i)
        if (name == op_name(static_cast<Op>(i))) return static_cast<Op>(i);
    throw Error(concat("no such operator: ", name));
}

const TraceRun& Trace::run(const std::string& name) const {
    for (const TraceRun& run : runs)
        if (name.empty() || run.name == name) return run;
    throw Error("no such run in this trace");
}

Trace read_trace(const std::string& path) {
    return TraceReader().read(path);
}

Trace read_trace_run(const std::string& file_and_run) {
    const auto mark = file_and_run.rfind('#');
    Trace trace = read_trace(file_and_run.substr(0, mark));
    try {
        trace.runs = {
            trace.run(mark == std::string::npos ? "" : file_and_run.substr(mark + 1))};
    } catch (const Error& error) {
        throw Error(concat(file_and_run, ": ", error.what()));
    }
    return trace;
}

Index keep_common(StepRecord& a, StepRecord& b) {
    const std::size_t before = a.size() + b.size();
    StepRecord both_a, both_b;
    for (OpRecord& record : a) {
        const auto other = std::find_if(b.begin(), b.end(), [&](const OpRecord& r) {
            return r.op == record.op && r.layer == record.layer;
        });
        if (other == b.end()) continue;
        both_a.push_back(std::move(record));
        both_b.push_back(std::move(*other));
        b.erase(other);
    }
    check(!both_a.empty(), "the runs have no operator in common");
    a = std::move(both_a);
    b = std::move(both_b);
    return static_cast<Index>(before - a.size() - b.size());
}

}  // namespace kvlab
