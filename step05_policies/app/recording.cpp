// recording.cpp - chapter 5: writing what changed in a step.
#include "recording.hpp"

#include <algorithm>
#include <cstdio>

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

RecordingWriter::RecordingWriter(std::string path, const Json& header)
    : path_(std::move(path)),
      temporary_(path_ + ".part"),
      file_(temporary_, std::ios::binary | std::ios::trunc) {
    check(file_.is_open(), path_, ": cannot write the recording");
    write(header);
}

RecordingWriter::~RecordingWriter() {
    if (!file_.is_open()) return;
    file_.close();
    std::remove(temporary_.c_str());
}

void RecordingWriter::write(const Json& line) {
    // A piece of a text may end inside of a character.
    file_ << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

void RecordingWriter::start(const std::string& policy) {
    policy_ = policy;
    step_ = 0;
    known_.clear();
}

void RecordingWriter::step(const PolicyStore& store, const Json& outcome) {
    const KvShape& shape = store.shape();
    known_.resize(static_cast<std::size_t>(shape.layers * shape.kv_heads));
    Json line{{"policy", policy_}, {"step", step_}};
    line.update(outcome);
    line["bytes"] = store.bytes().logical;
    line["held"] = line["changes"] = Json::array();
    for (Index layer = 0; layer < shape.layers; ++layer)
        for (Index h = 0; h < shape.kv_heads; ++h) {
            const Index place = layer * shape.kv_heads + h;
            std::vector<SlotClass>& known = known_[static_cast<std::size_t>(place)];
            std::vector<SlotClass> now = slot_classes(store, layer, h);
            add_changes(place, known, now, line["changes"]);
            line["held"].push_back(now.size() -
                                   static_cast<std::size_t>(
                                       std::count(now.begin(), now.end(), SlotClass::evicted)));
            known = std::move(now);
        }
    write(line);
    ++step_;
}

void RecordingWriter::finish() {
    file_.close();
    check(!file_.fail() && std::rename(temporary_.c_str(), path_.c_str()) == 0, path_,
          ": cannot write the recording");
}

}  // namespace kvlab::app
