// handles.hpp - what the numbers of the C interface stand for. A number is given once, so a
// handle that was closed is known as that, and never taken for another one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/kvcache/recorder.hpp>

#include "guard.hpp"

namespace kvlab::api {

// The objects of one kind by their numbers. Whoever has found one keeps it alive, so that
// another thread may close its handle meanwhile.
template <class Object>
class Registry {
public:
    explicit Registry(const char* kind) : kind_(kind) {}

    std::uint64_t add(std::shared_ptr<Object> object) {
        const std::lock_guard lock(mutex_);
        objects_.emplace(++last_, std::move(object));
        return last_;
    }

    std::shared_ptr<Object> find(std::uint64_t id) const {
        const std::lock_guard lock(mutex_);
        const auto found = objects_.find(id);
        require(found != objects_.end(), kind_, ": expected an open handle, found ",
                id == 0       ? concat("none")
                : id <= last_ ? concat("one that is closed")
                              : concat("one that was never made"));
        return found->second;
    }

    // The object lives on while it is in use.
    void remove(std::uint64_t id) {
        const std::shared_ptr<Object> kept = find(id);
        const std::lock_guard lock(mutex_);
        require(objects_.erase(id) == 1, kind_, ": closed by another thread");
    }

private:
    const char* kind_;
    mutable std::mutex mutex_;
    std::uint64_t last_ = 0;
    std::map<std::uint64_t, std::shared_ptr<Object>> objects_;
};

// With an engine of one thread, which decoders in several threads may share.
using OpenModel = OpenedModel;

struct OpenCache {
    OpenCache(std::shared_ptr<OpenModel> of, Index capacity);
    OpenCache(const OpenCache& other);

    std::shared_ptr<OpenModel> model;
    Decoder decoder;
    Index capacity;
    std::mutex mutex;                // of what follows, and of the decoder
    std::unique_ptr<KvStore> store;  // a KvCache
};

struct OpenRecording {
    explicit OpenRecording(Index width_of_a_head) : head_dim(width_of_a_head) {}

    const Index head_dim;  // 0: heads are not told apart
    std::mutex mutex;      // of what follows
    StepRecord open;
    std::vector<StepRecord> steps;
    std::vector<Token> tokens;  // [steps], -1: not told
};

// Never destroyed: another thread may still be at work when the program ends.
Registry<OpenModel>& models();
Registry<OpenCache>& caches();
Registry<OpenRecording>& recordings();

}  // namespace kvlab::api
