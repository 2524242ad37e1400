// read_trace.hpp - chapter 3: a run that was recorded in a file, by this engine or by another
// one. trace_format.md says what a line holds, and which of it an engine may leave out.
#pragma once

#include <string>
#include <tuple>
#include <vector>

#include <kvlab/kvcache/recorder.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

// A row of a run: operator, layer, position.
using RowKey = std::tuple<Op, Index, Index>;

// The operator of this name. Throws Error for another one.
Op parse_op(const std::string& name);

// A recorded run, as the recorder saw it.
struct TraceRun {
    std::string name, cache;
    std::vector<StepRecord> steps;
    std::vector<Token> tokens;  // what each step chose; -1 where the file does not say
};

struct Trace {
    // Of this name; the first one for "". Throws Error if there is none.
    const TraceRun& run(const std::string& name) const;

    std::string model;
    Index head_dim = 0;  // 0: the file does not say
    std::vector<TraceRun> runs;
};

// Throws Error, with the line, for a file that cannot be read, is no such file, or is cut off.
Trace read_trace(const std::string& path);

// The same for FILE, whose first run is meant, or FILE#run: a trace of that run alone.
Trace read_trace_run(const std::string& file_and_run);

// Leaves in each the operators that both have, in the order of a: an engine may record less
// than another. Returns how many went. Throws Error if none is left.
Index keep_common(StepRecord& a, StepRecord& b);

}  // namespace kvlab
