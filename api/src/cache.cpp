#include "decode.hpp"

using namespace kvlab;
using namespace kvlab::api;

int kvlab_cache_new(kvlab_model model, int64_t capacity, kvlab_cache* cache) {
    return guarded("kvlab_cache_new", [&] {
        require_pointer(cache, "cache");
        const auto opened = models().find(model.id);
        const Index context = opened->model->config.context;
        require(capacity >= 1 && capacity <= context, "capacity: expected 1 to ", context,
                ", found ", capacity);
        as(KVLAB_NO_ROOM,
           [&] { cache->id = caches().add(std::make_shared<OpenCache>(opened, capacity)); });
    });
}

int kvlab_cache_free(kvlab_cache cache) {
    return guarded("kvlab_cache_free", [&] { caches().remove(cache.id); });
}

int kvlab_cache_info_of(kvlab_cache cache, kvlab_cache_info* info) {
    return guarded("kvlab_cache_info_of", [&] {
        require_pointer(info, "info");
        const auto opened = caches().find(cache.id);
        const std::lock_guard lock(opened->mutex);
        const KvBytes bytes = opened->store->bytes();
        *info = {opened->store->next_position(), opened->capacity, bytes.logical,
                 bytes.allocated};
    });
}

int kvlab_cache_decode(kvlab_cache cache,
                       const int32_t* tokens,
                       int64_t T,
                       int rows,
                       kvlab_recording recording,
                       float* logits,
                       int64_t floats) {
    return guarded("kvlab_cache_decode", [&] {
        const auto opened = caches().find(cache.id);
        const std::lock_guard lock(opened->mutex);
        require(rows == KVLAB_LAST_ROW || rows == KVLAB_ALL_ROWS,
                "rows: expected KVLAB_LAST_ROW or KVLAB_ALL_ROWS, found ", rows);
        check_tokens(opened->decoder.config(), tokens, T);
        require_room(T <= opened->store->room(), "tokens: ", T,
                     " of them, the cache has room for ", opened->store->room());
        run(opened->decoder, *opened->store, span_of(tokens, T),
            rows == KVLAB_ALL_ROWS ? LogitsOf::all : LogitsOf::last, recording, logits, floats);
    });
}

int kvlab_cache_truncate(kvlab_cache cache, int64_t length) {
    return guarded("kvlab_cache_truncate", [&] {
        const auto opened = caches().find(cache.id);
        const std::lock_guard lock(opened->mutex);
        require(length >= 0 && length <= opened->store->next_position(),
                "length: expected 0 to ", opened->store->next_position(), ", found ", length);
        opened->store->truncate(length);
    });
}

int kvlab_cache_fork(kvlab_cache cache, kvlab_cache* copy) {
    return guarded("kvlab_cache_fork", [&] {
        require_pointer(copy, "copy");
        const auto opened = caches().find(cache.id);
        const std::lock_guard lock(opened->mutex);
        as(KVLAB_NO_ROOM,
           [&] { copy->id = caches().add(std::make_shared<OpenCache>(*opened)); });
    });
}
