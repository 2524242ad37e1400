// recording.cpp - chapter 5: writing what changed in a step.
#include "recording.hpp"

#include <algorithm>

namespace kvlab::app {

namespace {

// Appends the runs of equal new classes, of positions that are new or have another class.
void add_changes(Index place,
                 const std::vector<SlotClass>& before,
                 const std::vector<SlotClass>& now,
                 Json& changes) {
    const auto changed = [&](std::size_t p) {
        return p >= before.size() || before[p] != now[p];
    };
    for (std::size_t p = 0; p < now.size();) {
        std::size_t end = p + 1;
        if (changed(p)) {
            while (end < now.size() && changed(end) && now[end] == now[p]) ++end;
            changes.push_back({place, p, end - 1, static_cast<int>(now[p])});
        }
        p = end;
    }
}

}  // namespace

RecordingWriter::RecordingWriter(std::shared_ptr<OutputFile> file, const Json& header)
    : file_(std::move(file)) {
    write(header);
}

void RecordingWriter::write(const Json& line) {
    // A piece of a text may end inside of a character.
    file_->write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
}

void RecordingWriter::start(const std::string& policy) {
    policy_ = policy;
    step_ = 0;
    known_.clear();
}

void RecordingWriter::step(const PolicyStore& store, const Json& outcome) {
    const KvShape& shape = store.shape();
    known_.resize(usize(shape.layers * shape.kv_heads));
    Json line{{"policy", policy_}, {"step", step_}};
    line.update(outcome);
    line["bytes"] = store.bytes().logical;
    line["held"] = line["changes"] = Json::array();
    for (Index layer = 0; layer < shape.layers; ++layer)
        for (Index h = 0; h < shape.kv_heads; ++h) {
            const Index place = layer * shape.kv_heads + h;
            std::vector<SlotClass>& known = at(known_, place);
            std::vector<SlotClass> now = slot_classes(store, layer, h);
            add_changes(place, known, now, line["changes"]);
            line["held"].push_back(
                now.size() - usize(std::count(now.begin(), now.end(), SlotClass::evicted)));
            known = std::move(now);
        }
    write(line);
    ++step_;
}

void RecordingWriter::finish() {
    file_->commit();
}

}  // namespace kvlab::app
