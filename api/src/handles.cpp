#include "handles.hpp"

#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab::api {

OpenCache::OpenCache(std::shared_ptr<OpenModel> of, Index tokens)
    : model(std::move(of)),
      decoder(model->model, *model->engine),
      capacity(tokens),
      store(std::make_unique<KvCache>(decoder.kv_shape(), tokens, model->level)) {}

OpenCache::OpenCache(const OpenCache& other)
    : model(other.model),
      decoder(model->model, *model->engine),
      capacity(other.capacity),
      store(other.store->fork()) {}

Registry<OpenModel>& models() {
    static auto& all = *new Registry<OpenModel>("model");
    return all;
}

Registry<OpenCache>& caches() {
    static auto& all = *new Registry<OpenCache>("cache");
    return all;
}

Registry<OpenRecording>& recordings() {
    static auto& all = *new Registry<OpenRecording>("recording");
    return all;
}

}  // namespace kvlab::api
