// c_api.hpp - the C interface in tests: handles that close themselves, and what was refused.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <kvlab/kvlab.h>

namespace kvlab::test {

inline const std::string kTiny = KVLAB_SOURCE_DIR "/weights/tiny.gguf";

// Fails the test, with the message, unless the call succeeded.
inline void must(int status) {
    INFO(kvlab_last_error());
    REQUIRE(status == KVLAB_OK);
}

struct ModelHandle : kvlab_model {
    explicit ModelHandle(const std::string& path = kTiny) : kvlab_model{0} {
        must(kvlab_model_open(path.c_str(), this));
        must(kvlab_model_config(*this, &config));
    }

    ~ModelHandle() { kvlab_model_close(*this); }

    ModelHandle(const ModelHandle&) = delete;
    ModelHandle& operator=(const ModelHandle&) = delete;

    std::vector<float> logits(const std::vector<int32_t>& tokens,
                              kvlab_recording recording = {0}) const {
        std::vector<float> rows(tokens.size() * static_cast<std::size_t>(config.vocab));
        must(kvlab_model_logits(*this, tokens.data(), std::ssize(tokens), recording,
                                rows.data(), std::ssize(rows)));
        return rows;
    }

    kvlab_config config{};
};

struct CacheHandle : kvlab_cache {
    explicit CacheHandle(const ModelHandle& model, int64_t capacity = 64)
        : kvlab_cache{0}, vocab(model.config.vocab) {
        must(kvlab_cache_new(model, capacity, this));
    }

    CacheHandle(kvlab_cache other, int64_t of_vocab) : kvlab_cache(other), vocab(of_vocab) {}

    ~CacheHandle() { kvlab_cache_free(*this); }

    CacheHandle(const CacheHandle&) = delete;
    CacheHandle& operator=(const CacheHandle&) = delete;

    std::vector<float> decode(const std::vector<int32_t>& tokens,
                              kvlab_rows rows = KVLAB_ALL_ROWS,
                              kvlab_recording recording = {0}) {
        const std::size_t n = rows == KVLAB_ALL_ROWS ? tokens.size() : 1;
        std::vector<float> out(n * static_cast<std::size_t>(vocab));
        must(kvlab_cache_decode(*this, tokens.data(), std::ssize(tokens), rows, recording,
                                out.data(), std::ssize(out)));
        return out;
    }

    kvlab_cache_info info() const {
        kvlab_cache_info found{};
        must(kvlab_cache_info_of(*this, &found));
        return found;
    }

    int64_t vocab;
};

struct RecordingHandle : kvlab_recording {
    explicit RecordingHandle(int64_t head_dim = 0) : kvlab_recording{0} {
        must(kvlab_recording_new(head_dim, this));
    }

    ~RecordingHandle() { kvlab_recording_free(*this); }

    RecordingHandle(const RecordingHandle&) = delete;
    RecordingHandle& operator=(const RecordingHandle&) = delete;

    kvlab_difference against(kvlab_recording other, double tolerance = 0) const {
        kvlab_difference found{};
        must(kvlab_compare(*this, other, tolerance, &found));
        return found;
    }
};

// Checks the status and, word for word, the line of a call that is refused.
inline void check_refused(int found, int status, const std::string& message) {
    CHECK(found == status);
    CHECK(kvlab_last_error() == message);
}

// Tokens that any run can make again.
inline std::vector<int32_t> some_tokens(int64_t count) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < count; ++i) tokens.push_back((7919 * i + 101) % 256);
    return tokens;
}

}  // namespace kvlab::test
