// objects.hpp - handles of the C interface that close themselves, as Python's objects.
#pragma once

#include <kvlab/kvlab.h>

#include "arrays.hpp"

namespace kvlab::python {

class Recording {
public:
    explicit Recording(int64_t head_dim) { must(kvlab_recording_new(head_dim, &handle)); }

    explicit Recording(kvlab_recording opened) : handle(opened) {}

    ~Recording() { kvlab_recording_free(handle); }

    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    kvlab_recording handle{0};
};

class Cache {
public:
    Cache(kvlab_cache opened, int64_t vocab_size) : handle(opened), vocab(vocab_size) {}

    ~Cache() { kvlab_cache_free(handle); }

    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

    kvlab_cache_info info() const {
        kvlab_cache_info found;
        must(kvlab_cache_info_of(handle, &found));
        return found;
    }

    kvlab_cache handle;
    int64_t vocab;
};

class Model {
public:
    explicit Model(const std::string& path);

    ~Model() { kvlab_model_close(handle); }

    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    kvlab_model handle{0};
    kvlab_config config;
};

// The recording's handle, or that of none for a null pointer (None).
inline kvlab_recording recording_of(const Recording* recording) {
    return recording != nullptr ? recording->handle : kvlab_recording{0};
}

void bind_model(nb::module_& module);
void bind_comparison(nb::module_& module);

}  // namespace kvlab::python
