#include <algorithm>

#include <kvlab/kvcache/read_trace.hpp>

#include "handles.hpp"

using namespace kvlab;
using namespace kvlab::api;

int kvlab_recording_new(int64_t head_dim, kvlab_recording* recording) {
    return guarded("kvlab_recording_new", [&] {
        require_pointer(recording, "recording");
        require(head_dim >= 0, "head_dim: expected 0 or more, found ", head_dim);
        recording->id = recordings().add(std::make_shared<OpenRecording>(head_dim));
    });
}

int kvlab_recording_free(kvlab_recording recording) {
    return guarded("kvlab_recording_free", [&] { recordings().remove(recording.id); });
}

int kvlab_recording_read(const char* file_and_run, kvlab_recording* recording) {
    return guarded("kvlab_recording_read", [&] {
        require_pointer(file_and_run, "file_and_run");
        require_pointer(recording, "recording");
        as(KVLAB_BAD_FILE, [&] {
            Trace trace = read_trace_run(file_and_run);
            const auto read = std::make_shared<OpenRecording>(trace.head_dim);
            read->steps = std::move(trace.runs.front().steps);
            read->tokens = std::move(trace.runs.front().tokens);
            recording->id = recordings().add(read);
        });
    });
}

int kvlab_recording_add(kvlab_recording recording,
                        const char* op,
                        int64_t layer,
                        const int64_t* positions,
                        int64_t rows,
                        const float* values,
                        int64_t width) {
    return guarded("kvlab_recording_add", [&] {
        require_pointer(op, "op");
        const auto into = recordings().find(recording.id);
        require(layer >= -1, "layer: expected -1 or more, found ", layer);
        require(rows >= 1 && width >= 1, "rows and width: expected at least 1, found ", rows,
                " and ", width);
        require_array(positions, "positions", {rows});
        const Index count = require_array(values, "values", {rows, width});
        OpRecord record{
            Op::logits, layer, {positions, positions + rows}, width, {values, values + count}};
        as(KVLAB_BAD_ARGUMENT, [&] { record.op = parse_op(op); });
        const std::lock_guard lock(into->mutex);
        for (const OpRecord& other : into->open)
            require(other.op != record.op || other.layer != layer, "op: ", op, " of layer ",
                    layer, " for the second time in this step");
        into->open.push_back(std::move(record));
    });
}

int kvlab_recording_end_step(kvlab_recording recording, int32_t token) {
    return guarded("kvlab_recording_end_step", [&] {
        const auto into = recordings().find(recording.id);
        const std::lock_guard lock(into->mutex);
        require(!into->open.empty(), "recording: a step without operators");
        into->tokens.reserve(into->tokens.size() + 1);
        into->steps.push_back(std::move(into->open));
        into->tokens.push_back(token);
        into->open.clear();
    });
}

int kvlab_recording_steps(kvlab_recording recording, int64_t* steps) {
    return guarded("kvlab_recording_steps", [&] {
        require_pointer(steps, "steps");
        const auto of = recordings().find(recording.id);
        const std::lock_guard lock(of->mutex);
        *steps = std::ssize(of->steps);
    });
}
